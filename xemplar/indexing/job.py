"""The index job: stores and embeds images in concurrent stages.

::

    threads    read, decode, preprocess, write pictures                       -> NewImage
    streams    batches of 16, one forward pass: embedding, logits, Grad-CAM   -> Entry
    caller     leaves out duplicates, in the order of the images
    writer     one transaction in the catalog for each batch

Pillow, OpenCV and OpenVINO release Python's global lock, so decoding continues during a forward
pass. Threads that share a batch wait for each other at every layer, and so all wait for one whose
processor decodes an image; with two streams, the other one goes on. The job can be killed at any
time and restarted: batches enter the catalog atomically, and images in the catalog are not embedded
again.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias, TypeVar

import numpy as np

from xemplar.archive.media import Media
from xemplar.archive.store import Store
from xemplar.catalog import Catalog, Description, Entry
from xemplar.data.datasets import DatasetImage
from xemplar.data.splits import PatientSplit
from xemplar.imaging import Radiograph, decode
from xemplar.indexing.copies import SAME_IMAGE, DuplicateFinder
from xemplar.indexing.reader import (
    KnownImage,
    Load,
    NewImage,
    Read,
    Reader,
    SkippedImage,
    in_order,
    load_file,
)
from xemplar.indexing.reports import ReportReader
from xemplar.indexing.result import IndexingResult
from xemplar.model.checkpoint import Checkpoint
from xemplar.model.encoder import BATCH, Encoder
from xemplar.reports.report import StoredReport
from xemplar.retrieval.ingest import BLANK, embed
from xemplar.retrieval.references import StudyReferences

STREAMS = 2
"""Batches encoded at once (see `open_encoder`); more hold more memory and gain nothing."""

MOST_IMAGES = 16 * BATCH
"""Images of a batch that need no embedding; and images kept before `on_kept` is called."""

T = TypeVar("T")

Described: TypeAlias = tuple[T, Description]
"""An image, or its digest, with its description."""


def embed_images(
    images: Iterable[DatasetImage],
    store: Store,
    catalog: Catalog,
    encoder: Encoder,
    *,
    workers: int = 2,
    any_body_part: bool = False,
    burned_in_text: bool = False,
    decode: Callable[[bytes], Radiograph] = decode,
    load: Load = load_file,
    references: StudyReferences | None = None,
    reports: ReportReader | None = None,
    on_progress: Callable[[int], None] | None = None,
    on_kept: Callable[[Sequence[Path]], None] | None = None,
) -> IndexingResult:
    """Add images to a store's catalog and media, embedding new ones.

    Args:
        images: of one or more data sets, consumed lazily. For a repeated file, the later
            description wins; of several files with the same image, such as two resolutions, only
            the first is added.
        store: destination.
        catalog: of that store.
        encoder: of the checkpoint to embed with; encodes as many batches at once as it has
            streams.
        workers: number of threads for reading and decoding.
        any_body_part: include images that show another body part than the chest according to their
            DICOM header.
        burned_in_text: include images with burned-in text according to their DICOM header.
        decode: decodes an image's file; called from several threads.
        load: reads an image's bytes, as `load_file` does; called from several threads.
        references: seals the studies' UIDs; None to keep none.
        reports: reads and scrubs the images' reports; None to store none.
        on_progress: called with the number of processed images after each.
        on_kept: see `write_images`.

    Raises:
        ConfigurationError: the catalog cannot be written to.
        OSError: the store cannot be written to.
    """
    read = Reader(
        Media(store.media),
        encoder.checkpoint.card.spec,
        catalog.embedded(encoder.checkpoint.digest),
        any_body_part=any_body_part,
        burned_in_text=burned_in_text,
        decode=decode,
        load=load,
        references=references,
    )

    def entries(images: Sequence[Described[NewImage]]) -> Sequence[Entry | None]:
        return embed(encoder, [(new.prepared, about) for new, about in images])

    items = in_order(read, images, workers, ahead=2 * BATCH)
    return write_images(
        items,
        store,
        catalog,
        encoder.checkpoint,
        entries,
        on_progress,
        on_kept=on_kept,
        streams=encoder.streams,
        reports=reports,
    )


def write_images(
    items: Iterable[Read],
    store: Store,
    catalog: Catalog,
    checkpoint: Checkpoint,
    embed: Callable[[Sequence[Described[NewImage]]], Sequence[Entry | None]],
    on_progress: Callable[[int], None] | None = None,
    *,
    on_kept: Callable[[Sequence[Path]], None] | None = None,
    streams: int = 1,
    reports: ReportReader | None = None,
) -> IndexingResult:
    """Add read images to a store's catalog: the later stages of `embed_images`.

    Args:
        items: in the order of the images.
        store: contains their pictures.
        catalog: of that store.
        checkpoint: to embed with.
        embed: makes the catalog entries of up to `BATCH` new images, in their order; None for a
            zero embedding.
        on_progress: called with the number of processed images after each.
        on_kept: called from another thread with the paths of images that need never be read again:
            they are on disk and in the catalog, or left out for good.
        streams: calls of ``embed`` at once, from different threads.
        reports: see `embed_images`.

    Raises:
        ConfigurationError: the catalog cannot be written to.
        OSError: the store cannot be written to.
    """
    started = time.monotonic()
    media = Media(store.media)
    describe = partial(_description, store, checkpoint.card.split)
    reused, unreadable, seen = 0, list[SkippedImage](), set[str]()
    with _Batches(catalog, media, checkpoint, embed, streams, on_kept) as batches:
        for done, item in enumerate(items, start=1):
            if isinstance(item, SkippedImage):
                unreadable.append(item)
                batches.leave_out(item)
                if on_progress:
                    on_progress(done)
                continue
            if reports is not None:
                image, report = reports.read(item.image, item.sha256)
                item = replace(item, image=image)
                batches.report(item.sha256, report, mined=item.sha256 in reports.mined)
            if isinstance(item, KnownImage) or item.sha256 in seen:
                reused += 1
                batches.describe(item, describe(item))
            else:
                seen.add(item.sha256)
                batches.embed(item, describe(item))
            if on_progress:
                on_progress(done)
    media.sync()  # so that pictures are durable before an index is published
    unreadable += batches.left_out
    copies = sum(image.reason == SAME_IMAGE for image in unreadable)
    seconds = time.monotonic() - started
    read = reports or ReportReader()
    about = (read.count, tuple(read.left_out))
    return IndexingResult(batches.embedded, reused, tuple(unreadable), copies, seconds, *about)


@dataclass(frozen=True, eq=False)
class _Batch:
    """Images whose embeddings are computed, and what to write after them.

    Attributes:
        images: to embed.
        entries: their catalog entries; None if there are no images.
        described: descriptions of other images.
        references: image digest -> sealed reference, of all of these.
        reports: image digest -> scrubbed report, likewise.
        mined: digests of the images whose labels are from their reports.
        paths: of all of these and of images that were left out.
    """

    images: Sequence[NewImage]
    entries: Future[Sequence[Entry | None]] | None
    described: Sequence[Described[str]]
    references: Mapping[str, bytes]
    reports: Mapping[str, StoredReport]
    mined: Collection[str]
    paths: Sequence[Path]


class _Batches:
    """Later stages: embeds batches and passes them to the writer, in order.

    Attributes:
        embedded: number of images embedded.
        left_out: images with a zero embedding, and duplicates of other cases.
    """

    def __init__(
        self,
        catalog: Catalog,
        media: Media,
        checkpoint: Checkpoint,
        embed: Callable[[Sequence[Described[NewImage]]], Sequence[Entry | None]],
        streams: int,
        on_kept: Callable[[Sequence[Path]], None] | None,
    ) -> None:
        self.embedded = 0
        self.left_out: list[SkippedImage] = []
        self._catalog = catalog
        self._media = media
        self._copies = DuplicateFinder(catalog, media, checkpoint)
        self._checkpoint = checkpoint.digest
        self._embed = embed
        self._streams = streams
        self._on_kept = on_kept
        self._images: list[Described[NewImage]] = []
        self._described: list[Described[str]] = []
        self._references: dict[str, bytes] = {}
        self._reports: dict[str, StoredReport] = {}
        self._mined: set[str] = set()
        self._paths: list[Path] = []
        self._kept: list[Path] = []
        self._encoders = ThreadPoolExecutor(streams, "encoder")
        self._encoding: deque[_Batch] = deque()
        self._writer = ThreadPoolExecutor(1, "writer")
        self._written: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._flush()
            if kind is None or not issubclass(kind, Exception):
                while self._encoding:  # an interrupted job keeps the batches that it has begun
                    self._finish()
            self._wait()
            self._confirm()
        finally:
            self._encoders.shutdown(cancel_futures=True)
            self._writer.shutdown()

    def embed(self, image: NewImage, description: Description) -> None:
        """Add an image to the current batch; a full batch is embedded."""
        self._images.append((image, description))
        self._add(image)

    def describe(self, image: NewImage | KnownImage, description: Description) -> None:
        """Update the description of an image that needs no embedding."""
        self._described.append((image.sha256, description))
        self._add(image)

    def report(self, sha256: str, report: StoredReport | None, *, mined: bool) -> None:
        """Note the report of an image that is added next."""
        if report is not None:
            self._reports[sha256] = report
        if mined:
            self._mined.add(sha256)

    def leave_out(self, image: SkippedImage) -> None:
        """Note the path of an image that is not added."""
        self._paths.append(image.path)
        self._flush_if_full()

    def _add(self, image: NewImage | KnownImage) -> None:
        self._paths.append(image.image.path)
        if image.reference is not None:
            self._references[image.sha256] = image.reference
        self._flush_if_full()

    def _flush_if_full(self) -> None:
        if len(self._images) == BATCH or len(self._paths) >= MOST_IMAGES:
            self._flush()

    def _flush(self) -> None:
        """Begin to embed the current batch; finish the oldest one once all streams are busy."""
        images, described, references = self._images, self._described, self._references
        paths, self._paths = self._paths, []
        self._images, self._described, self._references = [], [], {}
        reports, mined = self._reports, self._mined
        self._reports, self._mined = {}, set()
        entries = self._encoders.submit(self._embed, images) if images else None
        new = [new for new, _ in images]
        self._encoding.append(_Batch(new, entries, described, references, reports, mined, paths))
        if len(self._encoding) > self._streams:
            self._finish()

    def _finish(self) -> None:
        batch = self._encoding.popleft()
        entries = self._entries(batch)
        self._wait()  # one batch is written at a time, in order
        self._written = self._writer.submit(self._write, entries, batch)

    def _entries(self, batch: _Batch) -> list[Entry]:
        """Wait for a batch's embeddings; leave out zero embeddings and duplicates."""
        if batch.entries is None:
            return []
        embedded = batch.entries.result()
        seen = [
            (new, entry)
            for new, entry in zip(batch.images, embedded, strict=True)
            if entry is not None
        ]
        entries = [entry for _, entry in seen]
        copies = frozenset[str]()
        if seen:
            inputs = [new.prepared.inputs for new, _ in seen]
            vectors = np.stack([entry.vector for entry in entries])
            copies = self._copies.find([new.sha256 for new, _ in seen], inputs, vectors)
        if copies:
            self._catalog.delete_unknown_pictures(copies, self._media.remove)
        self.left_out += [
            SkippedImage(new.image.path, BLANK if entry is None else SAME_IMAGE)
            for new, entry in zip(batch.images, embedded, strict=True)
            if entry is None or new.sha256 in copies
        ]
        kept = [entry for entry in entries if entry.image_sha256 not in copies]
        self.embedded += len(kept)
        return kept

    def _write(self, entries: Sequence[Entry], batch: _Batch) -> None:
        if entries or batch.described:
            self._catalog.add(self._checkpoint, entries, batch.described, batch.references)
            self._catalog.reports.put(batch.reports, mined=batch.mined)
        if self._on_kept is not None:
            self._kept += batch.paths
            if len(self._kept) >= MOST_IMAGES:
                self._confirm()

    def _confirm(self) -> None:
        """Report the images written so far; their pictures are durable before."""
        kept, self._kept = self._kept, []
        if kept and self._on_kept is not None:
            self._media.sync()
            self._on_kept(kept)

    def _wait(self) -> None:
        written, self._written = self._written, None
        if written is not None:
            written.result()


def _description(store: Store, rule: PatientSplit, item: NewImage | KnownImage) -> Description:
    """Convert a data set's metadata to a description for the catalog.

    The patient is replaced by a pseudonym. The split is stored even if it follows from the
    checkpoint's rule, as it cannot be derived from the catalog later. A plain folder has no
    metadata.
    """
    image = item.image
    return Description(
        source=image.source,
        file=image.file,
        patient=store.pseudonym(image.domain, image.patient) if image.patient else None,
        view=image.view,
        sex=image.sex,
        age=image.age,
        labels=image.labels,
        split=None if image.file is None else rule.of(image),
        followup=image.followup,
        day=image.day,
        shifted_day=item.shifted_day,
        outcomes=image.outcomes,
    )
