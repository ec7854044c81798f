"""Readers' collections of cases and queries, and the history of their queries."""

from datetime import datetime
from typing import Annotated, Any, Literal, get_origin
from urllib.parse import parse_qs

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from xemplar.api.cases import Word
from xemplar.api.examples import CASE_ID, COLLECTION_ID, KEY_ID, QUERY_ID
from xemplar.api.results import CaseOut
from xemplar.api.search import SimilarParameters
from xemplar.names import CONTROLS, name_problem

MAX_NOTE = 2000
"""Characters of a note."""

MAX_CONDITIONS = 8000
"""Characters of the conditions of a search."""

MAX_FIELDS = 400

LINES = r"\x00-\x09\x0b-\x1f" + CONTROLS.removeprefix(r"\x00-\x1f")
"""Characters that a note may not contain: as those of names, line feeds apart."""


def _of_lines(note: str) -> str:
    if fault := name_problem(note.replace("\n", " ")):
        raise ValueError(fault)
    return note


Note = Annotated[
    str,
    Field(
        max_length=MAX_NOTE,
        description="Free text. It must not name or describe a patient so that they are "
        "recognised. Stored sealed.",
        examples=["Subpulmonic effusion, easily missed"],
        json_schema_extra={"pattern": f"^[^{LINES}]*$"},
    ),
    AfterValidator(_of_lines),
]


def _checked(search: str) -> str:
    """Refuses conditions that no search takes.

    Raises:
        InvalidArgument: a name is unknown, or a value out of range.
    """
    said: dict[str, Any] = dict(parse_qs(search, keep_blank_values=True, max_num_fields=MAX_FIELDS))
    fields = SimilarParameters.model_fields
    for name in said.keys() & fields.keys():
        if get_origin(fields[name].annotation) is not tuple:
            said[name] = said[name][-1]
    SimilarParameters(**said)
    return search


Conditions = Annotated[
    str,
    Field(
        max_length=MAX_CONDITIONS,
        description="Conditions under which it was looked at: the query string of GET "
        "/queries/{query_id}/similar or GET /cases/{case_id}/similar; empty for none.",
        examples=["k=8&sex=F"],
    ),
    AfterValidator(_checked),
]


class CollectionIn(BaseModel):
    """New collection."""

    model_config = ConfigDict(extra="forbid")

    name: Word = Field(examples=["Effusions for teaching"])
    note: Note = ""


class CollectionChange(BaseModel):
    """Changes to a collection; omitted fields stay as they are."""

    model_config = ConfigDict(extra="forbid")

    name: Word = Field("", examples=["Effusions for teaching"])
    note: Note = ""
    shared: bool = Field(
        False,
        strict=True,
        description="Lets every key that may read open it, with all that is in it.",
    )


class EntryIn(BaseModel):
    """Case or query that is put into a collection."""

    model_config = ConfigDict(extra="forbid")

    note: Note = ""
    search: Conditions = ""


class CollectionOut(BaseModel):
    """Collection, without its content."""

    collection_id: str = Field(examples=[COLLECTION_ID])
    name: str | None = Field(
        description="Null if it was sealed with another store's key and cannot be read."
    )
    note: str
    shared: bool
    mine: bool = Field(description="True if the caller may change it.")
    entries: int = Field(
        ge=0, description="Number of entries, including cases that the caller may not see."
    )
    changed_at: datetime


class CollectionList(BaseModel):
    """Collections of the caller, those that changed last first."""

    collections: list[CollectionOut]


class EntryOut(BaseModel):
    """Case or query in a collection."""

    kind: Literal["case", "query"]
    id: str = Field(description="Case id or query id.", examples=[CASE_ID])
    note: str
    search: str = Field(description="Conditions, as a query string.")
    added_at: datetime
    kept_until: datetime | None = Field(
        description="Time at which a query is deleted with its image; null for a case."
    )
    image_url: str
    case: CaseOut | None = Field(description="Null for a query.")


class CollectionDetailOut(CollectionOut):
    """Collection with its content."""

    content: list[EntryOut] = Field(
        description="In the order of addition; without cases that the caller may not see."
    )


class CollectionOwner(BaseModel):
    """Previous owner of collections."""

    model_config = ConfigDict(extra="forbid")

    previous: str | None = Field(
        pattern="^[0-9a-f]{16}$",
        description="Id of the key that owns them; null for collections from the time before the "
        "service had keys.",
        examples=[KEY_ID],
    )


class GivenCollections(BaseModel):
    """Result of giving collections to another key."""

    collections: int = Field(ge=0, description="Number of collections that changed their owner.")


class AskedQuery(BaseModel):
    """Query that the service remembers."""

    query_id: str = Field(examples=[QUERY_ID])
    asked_at: datetime
    kept_until: datetime | None = Field(
        description="Time at which it is forgotten, unless newer queries displace it before; null "
        "if it is in memory alone, until the service stops."
    )
    shared: bool
    case_id: str | None = Field(description="Case whose image was asked about; null for others.")
    image_url: str | None = Field(
        description="Null if the image was forgotten with the memory of a service that stopped."
    )


class QueryHistory(BaseModel):
    """Remembered queries of the caller, newest first."""

    queries: list[AskedQuery]
