"""`Snapshot`: encoder, generation and input validator that answer together, and opening one."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xemplar.archive.media import Media
from xemplar.archive.store import Store
from xemplar.catalog import Catalog
from xemplar.catalog.generations import Generations
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
    current,
    folder_of,
    open_generation,
    publish,
    read_manifest,
)
from xemplar.model.checkpoint import Checkpoint, find, keep, load
from xemplar.model.densenet import Features
from xemplar.model.encoder import Encoder
from xemplar.retrieval.ingest import embed_stored
from xemplar.retrieval.result import Answer

BATCH = 16
"""Images that one forward pass takes when cases are carried over."""

SEED = 0
"""Of the sample of images that the input validator is made from."""

VALIDATOR = "validator.safetensors"
"""File in a generation's folder that its manifest does not list: it can always be made anew."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What answers, changed as one: an image is sought in the index of the network that encoded it.

    Attributes:
        encoder: of the checkpoint that made the generation.
        generation: with what came and went since.
        input validator: knows the indexed images; None where they are too few.
    """

    encoder: Encoder
    generation: LiveIndex
    validator: InputValidator | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint that answers."""
        return self.encoder.checkpoint

    def judge(
        self, inputs: npt.NDArray[np.uint8], features: Features | None = None
    ) -> ValidationResult:
        """What the input validator says of an image.

        The network looks once more at one that seems turned or inverted, put upright.

        Args:
            inputs: of the network, uint8 (s, s).
            features: what it made of them (N = 1); None to let it run.
        """
        if self.validator is None:
            return ValidationResult()
        activations = self._see(inputs) if features is None else features.pooled()[0]
        return self.validator.check(inputs, activations, self._see)

    def _see(self, inputs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        seen: npt.NDArray[np.float64] = self.encoder.encode(inputs[None]).pooled()[0]
        return seen

    def check_gave(self, answer: Answer) -> None:
        """Refuse an answer of another checkpoint, whose maps mean other things.

        Raises:
            NotFound: another checkpoint answers by now.
        """
        if self.checkpoint.digest != answer.checkpoint:
            raise NotFound(
                f"query {answer.query_id} was answered by checkpoint {answer.checkpoint[:12]}, and "
                f"{self.checkpoint.digest[:12]} answers now; send the image again"
            )


def live_checkpoint(store: Store, otherwise: Path) -> Path:
    """File of the live generation's checkpoint, if the store keeps it, else the other one.

    Raises:
        NothingIndexed, CorruptArtefact: there is no live generation, or it cannot be read.
    """
    return _made_by(read_manifest(store.generations / current(store)).checkpoint, store, otherwise)


def publish_usable(
    name: str, store: Store, catalog: Catalog, otherwise: Path | None = None
) -> None:
    """Make a generation the live one, once it is sure that a service can answer with it.

    Its checkpoint is kept in the store, so that whoever has the store has all that answers.

    Args:
        name: of the generation.
        store: the folder.
        catalog: has its cases; remembers when.
        otherwise: file of its checkpoint, unless the store keeps that itself.

    Raises:
        NotFound: there is none of that name.
        ConfigurationError, Mismatch, CorruptArtefact: it could not answer; the live one stays.
        StorageError: disk or database cannot be written; the live one stays.
    """
    manifest = read_manifest(folder_of(name, store))
    checkpoint = load(_made_by(manifest.checkpoint, store, otherwise))
    check_cases(open_generation(store, checkpoint, name), catalog)
    if checkpoint.path is not None:
        keep(checkpoint.path, store)
    Generations(catalog.engine).publish(name, lambda: publish(store, name))


def _made_by(digest: str, store: Store, otherwise: Path | None) -> Path:
    """File of a checkpoint; if there is none, the one whose fault `load` or its user will tell."""
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
        store: the folder.
        catalog: what came and went since.
        opener: makes the encoder of a checkpoint.
        before: what answers until now. Its encoder and its input validator are used again if they
            are of that checkpoint: to learn anew what images look like can be done afterwards
            (`new_doorkeeper`).

    Raises:
        NothingIndexed, Mismatch, CorruptArtefact: generation or checkpoint cannot be used, or the
            catalog lacks its cases.
        DatabaseUnreachable: the catalog does not answer.
    """
    made_by = read_manifest(store.generations / current(store)).checkpoint
    if before is not None and made_by == before.checkpoint.digest:
        encoder = before.encoder
    else:
        encoder = opener(load(path))
    live = Snapshot(encoder, LiveIndex.of(open_generation(store, encoder.checkpoint), catalog))
    if before is not None and encoder is before.encoder:
        return replace(live, validator=before.validator)
    return replace(live, validator=new_validator(live, catalog, store))


def new_validator(live: Snapshot, catalog: Catalog, store: Store) -> InputValidator | None:
    """One that has learnt from a sample of the images that answer; None where they are too few.

    It is kept beside the generation's files, so that only one process learns, and only once: the
    network looks at `MAX_IMAGES` images, which takes some seconds.

    Raises:
        CorruptArtefact: a stored input is damaged.
        DatabaseUnreachable: the catalog does not answer.
    """
    path = store.generations / live.generation.name / VALIDATOR
    kept = InputValidator.load(path, live.checkpoint.digest)
    if kept is not None:
        return kept
    validator = _fitted_validator(live, catalog, Media(store.media))
    if validator is not None and path.parent.is_dir():
        with suppress(OSError):  # a store that cannot be written to answers all the same
            validator.save(path, live.checkpoint.digest)
    return validator


def _fitted_validator(live: Snapshot, catalog: Catalog, media: Media) -> InputValidator | None:
    count = min(len(live.generation), MAX_IMAGES)
    if count < MIN_IMAGES:
        return None
    drawn = np.random.default_rng(SEED).choice(live.generation.ids, count, replace=False)
    inputs = []
    for case in catalog.cases(map(int, drawn)).values():
        with suppress(NotFound):  # it was removed meanwhile
            inputs.append(media.input(case.image_sha256, live.checkpoint.card.spec))
    return validator_of(np.stack(inputs), live.encoder) if inputs else None


def validator_of(inputs: npt.NDArray[np.uint8], encoder: Encoder) -> InputValidator | None:
    """One that has learnt from these inputs of the network, uint8 (n, s, s); None for too few."""
    batches = (inputs[start : start + BATCH] for start in range(0, len(inputs), BATCH))
    return InputValidator.fit(inputs, np.concatenate([encoder.encode(b).pooled() for b in batches]))


def carry_over(before: Checkpoint, encoder: Encoder, catalog: Catalog, media: Media) -> None:
    """Embed with the checkpoint that is to answer what only the one before it has embedded.

    Otherwise cases that came while the new generation was built would be found no more. Those
    without a usable input are left out, as a reindex leaves them out.
    """
    if before.digest == encoder.checkpoint.digest:
        return
    known = catalog.embedded_ids(encoder.checkpoint.digest)
    late = np.setdiff1d(catalog.embedded_ids(before.digest), known).tolist()
    for start in range(0, len(late), BATCH):
        embed_stored(late[start : start + BATCH], encoder, catalog, media)
