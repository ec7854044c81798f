"""Steps of `tests.system.containers`."""
