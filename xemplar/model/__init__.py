"""The network: its shape, its runtimes, checkpoints, embeddings and explanations."""
