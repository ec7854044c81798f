"""Slow checks that anyone can run: ``python -m checks.NAME --help``."""
