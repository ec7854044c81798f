"""Input validation: out-of-distribution check of images against the indexed ones."""
