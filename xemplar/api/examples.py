"""Example ids in the OpenAPI document.

They exist in no store; the page /docs shows ids of its own store instead, for operations that read.
"""

CASE_ID = "0fd0a7f2b8a1c9de"
QUERY_ID = "5f2b6c0a9d3e4f71"
JOB_ID = "7c1e0b9a45d2f386"
KEY_ID = "1d7e4c0b95a2f368"
COLLECTION_ID = "9b3f6d2a81c05e74"
GENERATION = "20261123T094814Z-1f0c2b7a"
STUDY_ID = "3f0a7f2b8a1c9de5"
