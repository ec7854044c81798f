"""Records of operation, in the database of the cases: jobs, audit trail, API keys, ratings."""
