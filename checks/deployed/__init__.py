"""Steps of `checks/containers.py`."""
