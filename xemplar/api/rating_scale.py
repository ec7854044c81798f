"""Rating scale, form of readers' pseudonyms, and columns of ratings files."""

COLUMNS = ("query_id", "case_id", "rater", "rating")
"""Columns of a ratings file, written by the service, read by `xemplar evaluate ranking`."""

HISTORY_COLUMNS = (*COLUMNS, "rated_at", "superseded_at")
"""Columns of a file that includes superseded ratings."""

MAX_RATING = 5
"""Highest rating: practically the same image. The lowest, 0, means nothing in common."""

RATER = "^[a-z][a-z0-9-]{0,31}$"
"""Pattern of a reader's pseudonym, which no spreadsheet interprets as a formula."""
