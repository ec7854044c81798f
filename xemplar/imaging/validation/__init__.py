"""Input validation: whether an image looks like the indexed ones (out-of-distribution check)."""
