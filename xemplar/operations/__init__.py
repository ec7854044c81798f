"""Operational records in the catalog's database: jobs, audit trail, API keys, ratings."""
