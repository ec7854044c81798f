"""Slow system tests, run by ``python -m tests.system.NAME``; see each one's ``--help``."""
