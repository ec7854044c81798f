"""From a radiograph to similar cases and the evidence for them."""
