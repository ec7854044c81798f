"""Rounds of `tests.system.kills`, and the checks that nothing was lost."""
