"""`Snapshot`: an encoder, a live index and an input validator that belong together."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xemplar.archive.media import Media
from xemplar.archive.store import Store
from xemplar.catalog import Catalog, Generations
from xemplar.errors import ConfigurationError, NotFound
from xemplar.imaging.validation.validator import (
    MAX_IMAGES,
    MIN_IMAGES,
    InputValidator,
    ValidationResult,
)
from xemplar.index import (
    LiveIndex,
    check_cases,
    check_content,
    current,
    manifest_of,
    open_generation,
    publish,
)
from xemplar.model.checkpoint import Checkpoint, find, keep, load
from xemplar.model.densenet import Features
from xemplar.model.encoder import BATCH, Encoder
from xemplar.retrieval.ingest import embed_stored
from xemplar.retrieval.result import ExplainedQuery

SEED = 0
"""Seed of the sample of images for fitting the input validator."""

VALIDATOR = "validator.safetensors"
"""File in a generation's folder, not listed in the manifest as it can be refitted."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Encoder, index and validator, replaced together so that they always match.

    Attributes:
        encoder: of the checkpoint that built the generation.
        generation: the generation with later additions and removals.
        validator: fitted on the indexed images; None if there are too few.
    """

    encoder: Encoder
    generation: LiveIndex
    validator: InputValidator | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """Checkpoint of the encoder."""
        return self.encoder.checkpoint

    def judge(
        self, inputs: npt.NDArray[np.uint8], features: Features | None = None
    ) -> ValidationResult:
        """Validate an input image.

        An image that seems rotated or inverted is corrected and encoded once more.

        Args:
            inputs: of the network, uint8 (s, s).
            features: the network's output for them (N = 1); None to compute it.
        """
        if self.validator is None:
            return ValidationResult()
        activations = self._activations(inputs) if features is None else features.pooled()[0]
        return self.validator.check(inputs, activations, self._activations)

    def _activations(self, inputs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        pooled: npt.NDArray[np.float64] = self.encoder.encode(inputs[None]).pooled()[0]
        return pooled

    def check_gave(self, answer: ExplainedQuery) -> None:
        """Refuse an answer from another checkpoint, whose maps are not comparable.

        Raises:
            NotFound: the answer is from another checkpoint.
        """
        if self.checkpoint.digest != answer.checkpoint:
            raise NotFound(
                f"query {answer.query_id} was answered by checkpoint {answer.checkpoint[:12]}, and "
                f"{self.checkpoint.digest[:12]} answers now; send the image again"
            )


def live_checkpoint(store: Store, otherwise: Path) -> Path:
    """Return the file of the live generation's checkpoint in the store, or else ``otherwise``.

    Raises:
        NothingIndexed, CorruptArtefact: there is no live generation, or it cannot be read.
    """
    return _made_by(manifest_of(store, current(store)).checkpoint, store, otherwise)


def publish_usable(
    name: str, store: Store, catalog: Catalog, otherwise: Path | None = None
) -> None:
    """Publish a generation after checking that a service can use it.

    Its checkpoint is copied into the store, so that the store is self-contained.

    Args:
        name: of the generation.
        store: contains the generation.
        catalog: contains its cases; records the time.
        otherwise: file of its checkpoint, if the store does not contain it.

    Raises:
        NotFound: there is no generation of that name.
        ConfigurationError, Mismatch, CorruptArtefact: it is unusable; the live one does not change.
        StorageError: disk or database cannot be written; the live one does not change.
    """
    manifest = check_content(store, name)
    checkpoint = load(_made_by(manifest.checkpoint, store, otherwise))
    check_cases(open_generation(store, checkpoint, name, catalog), catalog)
    if checkpoint.path is not None:
        keep(checkpoint.path, store)
    Generations(catalog.engine).publish(name, lambda: publish(store, name))


def _made_by(digest: str, store: Store, otherwise: Path | None) -> Path:
    """Find the file of a checkpoint; if missing, return a path whose use reports the problem."""
    kept = store.checkpoint(digest)
    try:
        return find(digest, store, *([otherwise] if otherwise else []))
    except ConfigurationError:
        return kept if kept.is_file() or otherwise is None else otherwise


def open_snapshot(
    path: Path,
    store: Store,
    catalog: Catalog,
    opener: Callable[[Checkpoint], Encoder],
    before: Snapshot | None = None,
) -> Snapshot:
    """Open a store's live generation with its checkpoint and an input validator.

    Args:
        path: of the checkpoint (`live_checkpoint`).
        store: contains the generation.
        catalog: later additions and removals.
        opener: creates the encoder of a checkpoint.
        before: the current snapshot. Its encoder and validator are reused if the checkpoint is the
            same; the validator can be refitted later (`new_validator`).

    Raises:
        NothingIndexed, Mismatch, CorruptArtefact: generation or checkpoint is unusable, or the
            catalog lacks its cases.
        DatabaseUnreachable: the catalog does not answer.
    """
    made_by = manifest_of(store, current(store)).checkpoint
    if before is not None and made_by == before.checkpoint.digest:
        encoder = before.encoder
    else:
        encoder = opener(load(path))
    generation = open_generation(store, encoder.checkpoint, catalog=catalog)
    live = LiveIndex.of(generation, catalog, None if before is None else before.generation)
    snapshot = Snapshot(encoder, live)
    if before is not None and encoder is before.encoder:
        return replace(snapshot, validator=before.validator)
    return replace(snapshot, validator=new_validator(snapshot, catalog, store))


def new_validator(snapshot: Snapshot, catalog: Catalog, store: Store) -> InputValidator | None:
    """Load or fit the input validator of a snapshot; None if there are too few images.

    It is saved beside the generation's files, so that it is fitted only once: encoding the sample
    of `MAX_IMAGES` images takes several seconds.

    Raises:
        CorruptArtefact: a stored input is damaged.
        DatabaseUnreachable: the catalog does not answer.
    """
    path = store.generations / snapshot.generation.name / VALIDATOR
    kept = InputValidator.load(path, snapshot.checkpoint.digest)
    if kept is not None:
        return kept
    validator = _fitted_validator(snapshot, catalog, Media(store.media))
    if validator is not None and path.parent.is_dir():
        with suppress(OSError):  # a read-only store is usable without it
            validator.save(path, snapshot.checkpoint.digest)
    return validator


def _fitted_validator(snapshot: Snapshot, catalog: Catalog, media: Media) -> InputValidator | None:
    count = min(len(snapshot.generation), MAX_IMAGES)
    if count < MIN_IMAGES:
        return None
    drawn = np.random.default_rng(SEED).choice(snapshot.generation.ids, count, replace=False)
    inputs = []
    for case in catalog.cases(map(int, drawn)).values():
        with suppress(NotFound):  # removed in the meantime
            inputs.append(media.input(case.image_sha256, snapshot.checkpoint.card.spec))
    return fit_validator(np.stack(inputs), snapshot.encoder) if inputs else None


def fit_validator(inputs: npt.NDArray[np.uint8], encoder: Encoder) -> InputValidator | None:
    """Fit an input validator to network inputs, uint8 (n, s, s); None if there are too few."""
    batches = (inputs[start : start + BATCH] for start in range(0, len(inputs), BATCH))
    return InputValidator.fit(inputs, np.concatenate([encoder.encode(b).pooled() for b in batches]))


def embed_missed_cases(
    before: Checkpoint, encoder: Encoder, catalog: Catalog, media: Media
) -> None:
    """Embed with a new checkpoint the cases that only the previous one has embedded.

    Otherwise cases added while the new generation was built would no longer be found. Cases without
    a usable input are skipped, as in a reindex.
    """
    if before.digest == encoder.checkpoint.digest:
        return
    known = catalog.embedded_ids(encoder.checkpoint.digest)
    late = np.setdiff1d(catalog.embedded_ids(before.digest), known).tolist()
    for start in range(0, len(late), BATCH):
        embed_stored(late[start : start + BATCH], encoder, catalog, media)
