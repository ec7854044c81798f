"""What a rating is, to whoever gives, keeps or reads one: its scale, its reader, its file."""

COLUMNS = ("query_id", "case_id", "rater", "rating")
"""Of a ratings file, as the service writes and `xemplar evaluate ranking` reads it."""

HISTORY_COLUMNS = (*COLUMNS, "rated_at", "superseded_at")
"""Of a file that holds earlier ratings too."""

MAX_RATING = 5
"""Readers rate from 0, nothing in common, to this, as good as the same picture."""

RATER = "^[a-z][a-z0-9-]{0,31}$"
"""Form of a reader's pseudonym. No spreadsheet takes one for a formula."""
