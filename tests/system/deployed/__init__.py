"""Steps of `tests/system/containers.py`."""
