"""What `tests.system.kills` kills, and how it is seen that nothing was lost."""
