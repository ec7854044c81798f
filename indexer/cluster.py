"""The index job on a Ray cluster (extra ``ray``): its machines read and embed.

::

    actors     read, decode, preprocess, write pictures; one forward pass   -> EmbeddedImage
    caller     one transaction in the catalog for each batch, as in `xemplar.indexing.job`

Results arrive in the order of the images, so the catalog is that of `embed_images`, row for row.
The work of an actor that was killed, or whose machine was lost, is done again by another one. If
the caller is killed, the same command goes on where it was: finished batches are in the catalog.

Actors are sent paths and get back no name: patient ids and labels stay with the caller.
"""

import logging
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.exceptions import RayError

from xemplar.archive.media import Media
from xemplar.archive.store import Store
from xemplar.catalog import Catalog, Description, Entry
from xemplar.data.datasets import DatasetImage
from xemplar.errors import ConfigurationError, XemplarError
from xemplar.imaging import Limits
from xemplar.imaging.decoder_pool import decoder
from xemplar.indexing.job import Described, write_images
from xemplar.indexing.reader import MISSING, NewImage, Read, Reader, SkippedImage
from xemplar.indexing.reports import ReportReader
from xemplar.indexing.result import IndexingResult
from xemplar.model.checkpoint import Checkpoint, load
from xemplar.model.encoder import BATCH, Precision, open_encoder
from xemplar.retrieval.ingest import embed
from xemplar.retrieval.references import study_references

LOCAL = "local"
"""Address that starts a cluster of this machine alone, for as long as the job runs."""

CPUS = 2
"""Processors for each actor: one for the network, one for its decoding process."""

LARGEST_BLOCK = 16 * BATCH
"""Images of a task at most; of a killed actor, that many are read and embedded again."""

CONNECT_SECONDS = 5

PROOF = "cluster"
"""Domain of the pseudonyms by which machines prove that they see the store."""


@dataclass(frozen=True, eq=False)
class EmbeddedImage(NewImage):
    """A new image that an actor embedded.

    Attributes:
        entry: with a description of the header alone; None for a zero embedding.
    """

    entry: Entry | None = None


@dataclass(frozen=True)
class EmbeddingTask:
    """Description of a job for its actors.

    Attributes:
        store: folder of the store, which every machine must see under the same path.
        proof: name and pseudonym, made with the store's key: what a machine must know that does.
        checkpoint: digest of a checkpoint in the store.
        precision: of the network.
        threads: of the network in each actor; 0 for one per processor.
        decode_seconds: time limit for decoding an image.
        any_body_part: see `Reader`; so for ``burned_in_text``.
        viewer_url: see `study_references`.
    """

    store: Path
    proof: tuple[str, str]
    checkpoint: str
    precision: Precision
    threads: int
    decode_seconds: int
    any_body_part: bool
    burned_in_text: bool
    viewer_url: str


class Embedder:
    """Reads and embeds batches of images in an actor of the cluster."""

    def __init__(self, task: EmbeddingTask, known: frozenset[str]) -> None:
        """``known``: digests of the images that the checkpoint has embedded before."""
        self._failure: XemplarError | None = None
        try:
            self._open(task, known)
        except XemplarError as error:
            self._failure = error

    def _open(self, task: EmbeddingTask, known: frozenset[str]) -> None:
        store = Store(task.store)
        name, pseudonym = task.proof
        if not store.pseudonym_key.is_file() or store.pseudonym(PROOF, name) != pseudonym:
            raise ConfigurationError(
                f"a machine of the Ray cluster does not see the store {task.store}; mount it, and "
                "the folders of images, on every machine under the same path"
            )
        checkpoint = load(store.checkpoint(task.checkpoint))
        self._encoder = open_encoder(checkpoint, precision=task.precision, threads=task.threads)
        self._media = Media(store.media)
        self._closing = ExitStack()
        decode = self._closing.enter_context(decoder(1, Limits(), task.decode_seconds))
        spec = checkpoint.card.spec
        references = study_references(store, task.viewer_url)
        self._read = Reader(
            self._media,
            spec,
            known,
            any_body_part=task.any_body_part,
            burned_in_text=task.burned_in_text,
            decode=decode,
            references=references,
        )

    def __call__(self, batch: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Read and embed the images of a column "path".

        Returns:
            A column "read" of `Read`, or of the error that ends the job: raised here it would
            reach the caller as text.
        """
        found = np.empty(len(batch["path"]), object)
        try:
            if self._failure is not None:
                raise self._failure
            found[:] = self._embedded([Path(str(path)) for path in batch["path"]])
        except XemplarError as error:
            found[:] = [error] * len(found)
        return {"number": batch["number"], "read": found}

    def _embedded(self, paths: Sequence[Path]) -> list[Read]:
        read = [self._read(DatasetImage(path, "")) for path in paths]
        new = [item for item in read if isinstance(item, NewImage)]
        about = Description(source="", labels={})  # the caller has the data set's
        entries = iter(embed(self._encoder, [(one.prepared, about) for one in new]) if new else ())
        self._media.sync()  # of this machine; the caller's own sync does not reach it
        return [
            EmbeddedImage(item.image, item.prepared, item.reference, entry=next(entries))
            if isinstance(item, NewImage)
            else item
            for item in read
        ]


def embed_images_on_cluster(
    images: Sequence[DatasetImage],
    store: Store,
    catalog: Catalog,
    checkpoint: Checkpoint,
    address: str,
    *,
    precision: Precision = Precision.AUTO,
    threads: int = 0,
    decode_seconds: int = 60,
    any_body_part: bool = False,
    burned_in_text: bool = False,
    viewer_url: str = "",
    reports: ReportReader | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> IndexingResult:
    """Add images to a store's catalog and media as `embed_images` does, on a Ray cluster.

    Args:
        images: whose paths every machine of the cluster sees; otherwise see `embed_images`.
        store: destination, on a file system of all machines; contains the checkpoint.
        catalog: of that store; only this process connects to it.
        checkpoint: to embed with.
        address: of the cluster, HOST:PORT; "auto" for the one that runs on this machine; `LOCAL`.
        precision: of the network.
        threads: of the network in each actor; 0 for one per processor.
        decode_seconds: time limit for decoding an image.
        any_body_part: see `embed_images`.
        burned_in_text: see `embed_images`.
        viewer_url: see `study_references`.
        reports: see `embed_images`; read in this process.
        on_progress: called with the number of processed images after each.

    Raises:
        ConfigurationError: the cluster cannot be used, ended, or does not see store and images.
        OSError: the store cannot be written to.
    """
    name = secrets.token_hex(16)
    task = EmbeddingTask(
        store.root.resolve(),
        (name, store.pseudonym(PROOF, name)),
        checkpoint.digest,
        precision,
        threads,
        decode_seconds,
        any_body_part,
        burned_in_text,
        viewer_url,
    )
    with _cluster(address):
        items = _read(images, task, catalog.embedded(checkpoint.digest))
        return write_images(
            items, store, catalog, checkpoint, _entries, on_progress, reports=reports
        )


def _entries(images: Sequence[Described[NewImage]]) -> list[Entry | None]:
    """Complete the entries that actors made with the data sets' descriptions."""
    return [
        replace(new.entry, description=new.prepared.completed(about))
        if isinstance(new, EmbeddedImage) and new.entry is not None
        else None
        for new, about in images
    ]


def _read(
    images: Sequence[DatasetImage], task: EmbeddingTask, known: frozenset[str]
) -> Iterator[Read]:
    """Read and embed images on the cluster; yields them in their order."""
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call,unused-ignore]
    actors = max(1, int(resources.get("CPU", 1)) // CPUS)
    blocks = max(ceil(len(images) / LARGEST_BLOCK), min(4 * actors, ceil(len(images) / BATCH)))
    paths = [
        {"number": number, "path": str(image.path.resolve())} for number, image in enumerate(images)
    ]
    found = ray.data.from_items(paths, override_num_blocks=blocks).map_batches(
        Embedder,
        fn_constructor_args=(task, known),
        batch_size=BATCH,
        batch_format="numpy",
        compute=ActorPoolStrategy(size=actors),
        num_cpus=1,
    )
    for batch in found.iter_batches(batch_size=None, batch_format="numpy"):
        for number, item in zip(batch["number"], batch["read"], strict=True):
            if isinstance(item, XemplarError):
                raise item
            image = images[int(number)]
            if not isinstance(item, SkippedImage):
                yield replace(item, image=image)
                continue
            if item.reason == MISSING and image.path.is_file():
                raise ConfigurationError(
                    f"a machine of the Ray cluster does not see {image.path}; mount the folders of "
                    "images on every machine under the same path"
                )
            yield replace(item, path=image.path)


@contextmanager
def _cluster(address: str) -> Iterator[None]:
    """Connect to a cluster, or start one.

    Raises:
        ConfigurationError: it cannot be reached or started, or it ended the job.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray reports to its makers
    try:
        try:
            if ":" in address:  # Ray would try again for minutes
                host, _, port = address.rpartition(":")
                socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
            options: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {}
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
        except Exception as error:  # Ray raises bare exceptions
            raise ConfigurationError(
                f"the Ray cluster {address} cannot be used ({type(error).__name__}); start one "
                "with `ray start --head`, or name another one with --ray"
            ) from error
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = True
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        yield
    except RayError as error:
        raise ConfigurationError(
            f"the Ray cluster {address} ended the job ({type(error).__name__}), and its log tells "
            "why; run the same command again to continue: finished batches are kept"
        ) from error
    finally:
        ray.shutdown()
