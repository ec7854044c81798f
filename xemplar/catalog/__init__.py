"""The catalog: which images were indexed, what is known of them, what a checkpoint made of them.

It is the truth. An index generation is derived from it, and can always be built again without
decoding an image. SQLite by default, PostgreSQL by URL.
"""

from xemplar.catalog.access import EVERYTHING, NOTHING, Access
from xemplar.catalog.case import Batch, Case, Description, Entry, case_id_of
from xemplar.catalog.catalog import Catalog, open_catalog
from xemplar.catalog.filters import CaseFilter
from xemplar.catalog.generations import GenerationRecord, Generations
from xemplar.catalog.schema import migrate

__all__ = [
    "EVERYTHING",
    "NOTHING",
    "Access",
    "Batch",
    "Case",
    "CaseFilter",
    "Catalog",
    "Description",
    "Entry",
    "GenerationRecord",
    "Generations",
    "case_id_of",
    "migrate",
    "open_catalog",
]
