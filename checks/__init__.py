"""Slow checks that anyone can run: ``python checks/NAME.py --help``."""
