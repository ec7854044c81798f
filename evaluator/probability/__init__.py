"""Probability study: whether the network's probabilities mean what they say, and its calls."""
