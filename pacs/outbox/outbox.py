"""`Outbox`: images and results that wait, on disk before anybody is told that they are kept.

::

    <folder>/node.sqlite     the rows of `tables`; no identity, as UIDs of images are digests there
    <folder>/spool/          the files: images as received, results as made; they name patients
    <folder>/lock            held by the node that runs

A file is written, flushed and renamed before its row is committed, and deleted after its row is: so
a kill at any moment leaves a file without a row at most, which the next start deletes.
"""

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Engine, Row, delete, func, insert, select, update

from xemplar.archive.artefact import write_file
from xemplar.archive.permissions import close_to_others, make_folder, private
from xemplar.archive.storage_errors import writing_files
from xemplar.catalog.schema import connect, reading, writing
from xemplar.errors import ConfigurationError, Mismatch, NotFound

from .tables import VERSION, DoneRow, ItemRow, NodeBase

IMAGE = "image"

WITHOUT_A_ROW = ".dcm"
"""Ending of the spool's files, by which `sweep` tells them from others."""


@dataclass(frozen=True)
class Item:
    """An image or a result that waits; see `tables.ItemRow` for the attributes."""

    id: int
    kind: str
    stage: str
    held: bool
    file: str
    digest: str
    uid: str
    sop_class: str
    tries: int
    retries: int
    reason: str
    since: datetime


@dataclass(frozen=True, repr=False)
class NewResult:
    """A result to deliver. Its representation shows nothing of the patient.

    Attributes:
        kind: "secondary capture" or "structured report".
        sop_class: its SOP Class UID.
        uid: its SOP Instance UID.
        data: the file (PS3.10).
    """

    kind: str
    sop_class: str
    uid: str
    data: bytes


def image_digest(dataset: bytes) -> str:
    """Compute the sha256 hex digest of a received data set, without file meta information.

    It says nothing to whoever does not have the image.
    """
    return hashlib.sha256(dataset).hexdigest()


class Outbox:
    """Images and results waiting in a folder. Thread-safe; commands may use it beside a node."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder = folder
        self._spool = folder / "spool"
        self._engine = engine

    @classmethod
    def open(cls, folder: Path, *, make: bool = True) -> Self:
        """Open the outbox of a folder.

        Args:
            folder: of the node's own.
            make: create it if it does not exist.

        Raises:
            ConfigurationError: there is none, and none shall be made.
            Mismatch: another version of this software made it.
            StorageError: the disk is full, read-only or fails.
        """
        database = folder / "node.sqlite"
        if not make and not database.is_file():
            raise ConfigurationError(
                f"there is no outbox in {folder}; name the node's folder (XEMPLAR_PACS_FOLDER)"
            )
        with writing_files(folder):
            make_folder(folder / "spool")
            close_to_others(folder)
        engine = connect(f"sqlite:///{database.resolve()}")
        try:
            _create(engine)
        except BaseException:
            engine.dispose()
            raise
        return cls(folder, engine)

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Hold the folder for the one node that may run on it, and delete what a kill left.

        Raises:
            ConfigurationError: a node runs on it already.
        """
        with writing_files(self.folder):
            held = open(self.folder / "lock", "wb", opener=private)  # noqa: SIM115 -- closed below
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            held.close()
            raise ConfigurationError(
                f"another node runs on {self.folder}; stop it, or name another folder "
                "(XEMPLAR_PACS_FOLDER)"
            ) from error
        try:
            self._sweep()
            yield
        finally:
            held.close()

    def knows(self, digest: str) -> bool:
        """Return True if an image waits, or was done with."""
        with reading(self._engine) as connection:
            for row in (ItemRow, DoneRow):
                found = select(row.digest).where(row.digest == digest)
                if connection.scalar(found) is not None:
                    return True
        return False

    def keep(self, data: bytes, digest: str, sop_class: str, stage: str) -> bool:
        """Keep a received image: it is on disk when this returns.

        Args:
            data: the file (PS3.10).
            digest: `image_digest` of its data set.
            sop_class: of the image.
            stage: "ask" or "index".

        Returns:
            False if it waits already, or was done with; then nothing is written.

        Raises:
            StorageError: it could not be kept.
        """
        if self.knows(digest):
            return False
        values = _values(IMAGE, stage, sop_class=sop_class, digest=digest)
        with self._written([data]) as (file,), writing(self._engine) as connection:
            row = select(ItemRow.id).where(ItemRow.digest == digest)
            if connection.scalar(row) is not None:  # sent twice at the same moment
                self._unlink(file)
                return False
            connection.execute(insert(ItemRow).values(file=file, **values))
        return True

    def waiting(self, *stages: str, limit: int = 20) -> Sequence[Item]:
        """Return items of these stages that are not held, oldest first."""
        chosen = select(ItemRow).where(ItemRow.stage.in_(stages), ItemRow.held.is_(False))
        return self._items(chosen.order_by(ItemRow.id).limit(limit))

    def all(self, limit: int = 1000) -> Sequence[Item]:
        """Return all items, oldest first."""
        return self._items(select(ItemRow).order_by(ItemRow.id).limit(limit))

    def path(self, item: Item) -> Path:
        """Path of an item's file."""
        return self._spool / item.file

    def answered(self, image: Item, results: Sequence[NewResult], next_stage: str | None) -> None:
        """Put an image's results into the outbox, and the image to its next stage, at once.

        A result that waits already keeps its first bytes.

        Args:
            image: that was asked about.
            results: of it.
            next_stage: "index", or None if the image is done.

        Raises:
            StorageError: nothing was changed.
        """
        done: list[str] = []
        with (
            self._written([one.data for one in results]) as files,
            writing(self._engine) as connection,
        ):
            for one, file in zip(results, files, strict=True):
                known = select(ItemRow.id).where(ItemRow.uid == one.uid)
                if connection.scalar(known) is not None:
                    done.append(file)
                    continue
                values = _values(one.kind, "send", sop_class=one.sop_class, uid=one.uid)
                connection.execute(insert(ItemRow).values(file=file, **values))
            chosen = ItemRow.id == image.id
            if next_stage is None:
                connection.execute(delete(ItemRow).where(chosen))
                _remember(connection, image.digest, "answered")
                done.append(image.file)
            else:
                reset = {"stage": next_stage, "tries": 0, "reason": ""}
                connection.execute(update(ItemRow).where(chosen).values(reset))
        for file in done:
            self._unlink(file)

    def finish(self, item: Item, outcome: str) -> None:
        """Delete an item that is done with; remember the digest of an image."""
        with writing(self._engine) as connection:
            connection.execute(delete(ItemRow).where(ItemRow.id == item.id))
            if item.kind == IMAGE:
                _remember(connection, item.digest, outcome)
        self._unlink(item.file)

    def fail(self, item: Item, reason: str, *, most: int) -> bool:
        """Count a failed attempt; hold the item after ``most`` of them.

        Returns:
            True if it is held now.
        """
        held = item.tries + 1 >= most
        self._change(item, {"tries": item.tries + 1, "reason": reason, "held": held})
        return held

    def postpone(self, item: Item, reason: str) -> None:
        """Tell why an item waits, though nothing is wrong with it."""
        if reason != item.reason:
            self._change(item, {"reason": reason})

    def retry(self, ids: Sequence[int] | None = None) -> int:
        """Let items be tried again at once, held or not; None for all. Returns their number."""
        changed = update(ItemRow).values(held=False, tries=0, retries=ItemRow.retries + 1)
        with writing(self._engine) as connection:
            if ids is None:
                return connection.execute(changed).rowcount
            _check_known(connection, ids)
            return connection.execute(changed.where(ItemRow.id.in_(ids))).rowcount

    def drop(self, ids: Sequence[int]) -> int:
        """Delete items undone, with their files; return their number.

        Raises:
            NotFound: one of them does not wait; none is deleted.
        """
        chosen = ItemRow.id.in_(ids)
        with writing(self._engine) as connection:
            _check_known(connection, ids)
            files = list(connection.scalars(select(ItemRow.file).where(chosen)))
            connection.execute(delete(ItemRow).where(chosen))
        for file in files:
            self._unlink(file)
        return len(files)

    def counts(self) -> Mapping[tuple[str, bool], int]:
        """Count items by kind and whether they are held."""
        counted = select(ItemRow.kind, ItemRow.held, func.count()).group_by(
            ItemRow.kind, ItemRow.held
        )
        with reading(self._engine) as connection:
            return {(kind, held): number for kind, held, number in connection.execute(counted)}

    def oldest(self) -> datetime | None:
        """Return the arrival of the oldest item."""
        with reading(self._engine) as connection:
            found: datetime | None = connection.scalar(select(func.min(ItemRow.since)))
            return found

    def outcomes(self) -> Mapping[str, int]:
        """Count the images that were done with and are remembered, by outcome."""
        counted = select(DoneRow.outcome, func.count()).group_by(DoneRow.outcome)
        with reading(self._engine) as connection:
            return {str(row[0]): int(row[1]) for row in connection.execute(counted)}

    def forget(self, days: int) -> int:
        """Delete digests of images that were done with more than ``days`` ago; return how many.

        After a jump of the clock into the past, those of the future go as well.
        """
        now = datetime.now(UTC)
        old = (DoneRow.at <= now - timedelta(days=days)) | (DoneRow.at > now + timedelta(days=1))
        with writing(self._engine) as connection:
            return connection.execute(delete(DoneRow).where(old)).rowcount

    def _change(self, item: Item, values: Mapping[str, Any]) -> None:
        """Change an item, unless it was retried or dropped in the meantime."""
        same = (ItemRow.id == item.id) & (ItemRow.retries == item.retries)
        with writing(self._engine) as connection:
            connection.execute(update(ItemRow).where(same).values(values))

    def _items(self, chosen: Any) -> Sequence[Item]:
        with reading(self._engine) as connection:
            return [_item(row) for row in connection.execute(chosen)]

    @contextmanager
    def _written(self, contents: Sequence[bytes]) -> Iterator[list[str]]:
        """Write files of the spool; delete them if the block fails."""
        files: list[str] = []
        try:
            for content in contents:
                files.append(f"{secrets.token_hex(16)}{WITHOUT_A_ROW}")
                write_file(self._spool / files[-1], content)
            yield files
        except BaseException:
            for file in files:
                self._unlink(file)
            raise

    def _unlink(self, file: str) -> None:
        with suppress(OSError):  # the next start deletes it
            (self._spool / file).unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Delete files without a row: a kill came between the two."""
        with reading(self._engine) as connection:
            known = set(connection.scalars(select(ItemRow.file)))
        for entry in os.scandir(self._spool):
            if entry.name not in known:
                self._unlink(entry.name)


def _create(engine: Engine) -> None:
    """Create the tables, unless they are there; an outbox on a full disk can be read."""
    with reading(engine) as connection:
        found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if found not in (0, VERSION):
        raise Mismatch(
            f"the outbox {engine.url.database} has schema {found}, and this software needs "
            f"{VERSION}; let the version that made it deliver what waits, then delete the file"
        )
    if found == VERSION:
        return
    with writing(engine) as connection:
        NodeBase.metadata.create_all(connection)
        connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")


def _values(
    kind: str, stage: str, *, sop_class: str, digest: str = "", uid: str = ""
) -> dict[str, Any]:
    """Return a new row's values, without its file."""
    return {
        "kind": kind,
        "stage": stage,
        "held": False,
        "digest": digest,
        "uid": uid,
        "sop_class": sop_class,
        "tries": 0,
        "retries": 0,
        "reason": "",
        "since": datetime.now(UTC),
    }


def _remember(connection: Any, digest: str, outcome: str) -> None:
    connection.execute(delete(DoneRow).where(DoneRow.digest == digest))
    values = {"digest": digest, "outcome": outcome, "at": datetime.now(UTC)}
    connection.execute(insert(DoneRow).values(values))


def _check_known(connection: Any, ids: Sequence[int]) -> None:
    known = set(connection.scalars(select(ItemRow.id).where(ItemRow.id.in_(ids))))
    if missing := sorted(set(ids) - known):
        raise NotFound(
            f"nothing waits under {', '.join(map(str, missing))}; `xemplar dicom outbox list` "
            "shows what does"
        )


def _item(row: Row[Any]) -> Item:
    return Item(**{name: getattr(row, name) for name in Item.__dataclass_fields__})
