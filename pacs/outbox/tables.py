"""Tables of the node's own database. They name no patient: an image appears as a digest."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, Integer, MetaData, String, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from xemplar.catalog.table_base import UtcTime

VERSION = 1
"""Of the schema, in SQLite's ``user_version``."""


class NodeBase(DeclarativeBase):
    """Base of the node's tables, apart from the catalog's."""

    metadata = MetaData()


class ItemRow(NodeBase):
    """An image or a result that is not done with.

    Attributes:
        id: in the order of arrival; never reused.
        kind: "image", "secondary capture" or "structured report".
        stage: what is to be done with it: "ask", "index" or "send".
        held: whether it waits for `xemplar dicom outbox retry`.
        file: name within the spool folder.
        digest: of an image (`image_digest`); empty for a result.
        uid: SOP Instance UID of a result, which is derived from digests; empty for an image.
        sop_class: of the object.
        tries: attempts that failed since it arrived, or was told to be retried.
        retries: how often it was told to be retried.
        reason: why the last attempt failed; empty before the first.
        since: arrival.
    """

    __tablename__ = "items"
    __table_args__ = (
        CheckConstraint("stage IN ('ask', 'index', 'send')"),
        Index("items_digest", "digest", unique=True, sqlite_where=text("digest != ''")),
        Index("items_uid", "uid", unique=True, sqlite_where=text("uid != ''")),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    stage: Mapped[str] = mapped_column(String(8))
    held: Mapped[bool]
    file: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))
    uid: Mapped[str] = mapped_column(String(64))
    sop_class: Mapped[str] = mapped_column(String(64))
    tries: Mapped[int]
    retries: Mapped[int]
    reason: Mapped[str]
    since: Mapped[datetime] = mapped_column(UtcTime)


class DoneRow(NodeBase):
    """An image that was done with: a repetition of it is acknowledged, and does nothing.

    Attributes:
        digest: of the image.
        outcome: "answered", "indexed", or why it was not.
        at: when.
    """

    __tablename__ = "done"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    outcome: Mapped[str]
    at: Mapped[datetime] = mapped_column(UtcTime, index=True)
