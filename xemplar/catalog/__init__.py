"""The catalog: indexed images, their metadata, and the embeddings of each checkpoint.

It is the source of truth. An index generation is derived from it and can always be rebuilt without
decoding an image. The database is SQLite by default, PostgreSQL by URL.
"""

from xemplar.catalog.access import EVERYTHING, NOTHING, Access
from xemplar.catalog.case import Batch, Case, Description, Entry, case_id_of
from xemplar.catalog.catalog import Catalog, open_catalog
from xemplar.catalog.columns import FilterColumns
from xemplar.catalog.generations import GenerationRecord, Generations
from xemplar.catalog.reports import CaseReport, CaseReports
from xemplar.catalog.schema import migrate

__all__ = [
    "EVERYTHING",
    "NOTHING",
    "Access",
    "Batch",
    "Case",
    "CaseReport",
    "CaseReports",
    "Catalog",
    "Description",
    "Entry",
    "FilterColumns",
    "GenerationRecord",
    "Generations",
    "case_id_of",
    "migrate",
    "open_catalog",
]
