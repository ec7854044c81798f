"""Reads and writes checkpoints: self-describing safetensors files identified by their sha256.

They contain nothing executable (no pickle). Weight matrices and convolutions are stored in float16,
vectors (batch norm, biases) in float32; both are converted to float32 on loading.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from xemplar import __version__
from xemplar.archive.artefact import file_digest, write_file
from xemplar.archive.store import Store
from xemplar.data.splits import OLDEST_SCHEME, PatientSplit
from xemplar.errors import ConfigurationError, CorruptArtefact
from xemplar.imaging.preprocess import PreprocessSpec
from xemplar.model.calibration import Calibration, Population
from xemplar.model.densenet import Architecture, Weights, shapes

SCHEMA, READABLE = 3, (2, 3)
"""Schema that is written, and those that are read; 2 knew no base rates and no population."""


@dataclass(frozen=True)
class Card:
    """Metadata of a checkpoint.

    Attributes:
        findings: the outputs, in order.
        spec: preprocessing of the input.
        architecture: architecture of the network.
        calibration: one per finding, in order.
        population: images that the calibration was fitted on; None where it is not known.
        training: the trainer's settings, data sets with digests, epochs; for documentation, and to
            determine which images the network has seen.
        metrics: metrics on validation images, by name.
        code_version: version of the software that wrote it.
    """

    findings: tuple[str, ...]
    spec: PreprocessSpec = PreprocessSpec()
    architecture: Architecture = Architecture()
    calibration: tuple[Calibration, ...] = ()
    population: Population | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    code_version: str = __version__

    def __post_init__(self) -> None:
        if not self.calibration:
            object.__setattr__(self, "calibration", (Calibration(),) * len(self.findings))
        if len(self.calibration) != len(self.findings) or not self.findings:
            raise CorruptArtefact(
                f"a checkpoint with {len(self.findings)} findings and {len(self.calibration)} "
                "calibrations cannot be used; both must be equal and at least 1"
            )

    @property
    def split(self) -> PatientSplit:
        """Rule that split the patients of data sets without named splits in its training.

        Checkpoints of release 0.1 used the training's seed.

        Raises:
            CorruptArtefact: an invalid or unknown rule.
        """
        rule = self.training.get("split")
        if rule is None and "seed" in self.training:
            rule = {"seed": self.training["seed"], "scheme": OLDEST_SCHEME}
        try:
            return PatientSplit(**rule or {})
        except (TypeError, ConfigurationError) as error:
            raise CorruptArtefact(f"the checkpoint's split cannot be used: {error}") from error

    def trainings(self) -> Iterator["Card"]:
        """Yield this card and those of the checkpoints that initialised its training, newest first.

        Of the earlier cards, only `training` and `split` are their own.
        """
        yield self
        earlier = self.training.get("initial_training")
        if earlier is not None:
            yield from replace(self, training=earlier).trainings()


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A loaded checkpoint.

    Attributes:
        card: its metadata.
        weights: float32 arrays by torchvision's names.
        digest: sha256 hex digest of the file; identifies the checkpoint.
        path: path of the file; None if it was never saved.
    """

    card: Card
    weights: Weights
    digest: str
    path: Path | None = None

    def probabilities(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Compute calibrated probabilities, float32 (..., F) in [0, 1], of logits (..., F)."""
        scale = np.array([c.scale for c in self.card.calibration], np.float32)
        offset = np.array([c.offset for c in self.card.calibration], np.float32)
        # clipping affects only values where float32's sigmoid is 0 or 1
        odds = np.clip(logits * scale + offset, -80, 80)
        probability: npt.NDArray[np.float32] = 1 / (1 + np.exp(-odds, dtype=np.float32))
        return probability

    def lifts(self, probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Divide probabilities (..., F) by base rates, float32 (..., F); NaN without base rate."""
        rates = [np.nan if c.base_rate is None else c.base_rate for c in self.card.calibration]
        lifts: npt.NDArray[np.float32] = np.divide(probabilities, np.array(rates, np.float32))
        return lifts

    def order(self, probabilities: npt.NDArray[np.float32]) -> list[int]:
        """Sort the findings of one image, probabilities (F,), for people to read.

        Returns:
            Indices of the findings: by lift, the highest first; those without a threshold last;
            those without a base rate by probability. The first is explained by default.
        """
        lifts = np.nan_to_num(self.lifts(probabilities))
        keys = (-probabilities, -lifts, np.isinf(self.thresholds))
        return [int(index) for index in np.lexsort(keys)]

    def called(self, probabilities: npt.NDArray[np.float32], index: int) -> bool | None:
        """Tell whether one finding's probability, of (F,), is called; None if it never can be."""
        if self.card.calibration[index].threshold is None:
            return None
        return bool(probabilities[index] >= self.thresholds[index])

    @property
    def thresholds(self) -> npt.NDArray[np.float32]:
        """Probability at and above which each finding is called present, float32 (F,).

        Infinite for findings that are never called.
        """
        found = [np.inf if c.threshold is None else c.threshold for c in self.card.calibration]
        return np.array(found, np.float32)


def default_checkpoint() -> Path:
    """Locate the checkpoint shipped with this software."""
    return Path(str(files("xemplar"))) / "model" / "checkpoints" / "xemplar-densenet169.safetensors"


def save(path: Path, card: Card, weights: Weights) -> str:
    """Write a checkpoint atomically.

    Args:
        path: destination; an existing file is replaced.
        card: metadata.
        weights: float32 arrays by torchvision's names.

    Returns:
        Its sha256 hex digest.

    Raises:
        CorruptArtefact: the weights do not match the card, or are not finite; nothing is written.
    """
    with np.errstate(over="ignore"):  # values beyond float16 become infinite and are rejected below
        stored = {
            name: np.ascontiguousarray(value, np.float16 if value.ndim > 1 else np.float32)
            for name, value in weights.items()
        }
    _check(path, card, stored)
    card_json = json.dumps({"schema": SCHEMA, **asdict(card)}, sort_keys=True)
    write_file(path, safetensors.numpy.save(stored, {"xemplar": card_json}))
    return file_digest(path)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        ConfigurationError: no such file.
        CorruptArtefact: not a checkpoint of this software, or damaged.
    """
    if not path.is_file():
        raise ConfigurationError(
            f"there is no checkpoint at {path}; name one with --checkpoint (XEMPLAR_CHECKPOINT), "
            "or make one with `xemplar train`"
        )
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            card = _card(json.loads(metadata["xemplar"]))
            names = list(file.keys())  # a safetensors file is not a mapping
            weights = {name: file.get_tensor(name).astype(np.float32) for name in names}
    except (SafetensorError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise CorruptArtefact(
            f"{path} is no checkpoint of this software, or damaged: {error}; take another copy"
        ) from error
    _check(path, card, weights)
    return Checkpoint(card, weights, file_digest(path), path)


def keep(path: Path, store: Store) -> Path:
    """Copy a checkpoint's file into the store, so that every user of the store finds it.

    Replaces a damaged copy. The shipped checkpoint is not copied, as it is always available.

    Returns:
        Path of the copy; for the shipped checkpoint, the given path.

    Raises:
        StorageError: the disk is full, read-only or fails.
    """
    digest = file_digest(path)
    if digest == _shipped_digest():
        return path
    kept = store.checkpoint(digest)
    if not kept.is_file() or file_digest(kept) != digest:
        write_file(kept, path.read_bytes())
    return kept


@cache
def _shipped_digest() -> str:
    path = default_checkpoint()
    return file_digest(path) if path.is_file() else ""


def find(digest: str, store: Store, *others: Path) -> Path:
    """Find the file of a checkpoint in the store, among other files, or as the shipped one.

    Args:
        digest: sha256 hex digest of the checkpoint.
        store: searched first.
        others: further candidate files.

    Raises:
        ConfigurationError: none of these has the digest.
    """
    kept = store.checkpoint(digest)
    for path in (kept, *others, default_checkpoint()):
        if path.is_file() and file_digest(path) == digest:
            return path
    raise ConfigurationError(
        f"there is no checkpoint {digest[:12]} in {kept.parent}; run `xemplar reindex "
        "--checkpoint FILE`, which keeps it there, or name its file with --checkpoint "
        "(XEMPLAR_CHECKPOINT)"
    )


def _card(fields: Mapping[str, Any]) -> Card:
    if fields["schema"] not in READABLE:
        raise CorruptArtefact(
            f"the checkpoint has schema {fields['schema']!r}; this software reads "
            f"{' and '.join(map(str, READABLE))}; "
            "install the version that wrote it, or train again"
        )
    architecture = dict(fields["architecture"])
    blocks: Sequence[int] = architecture.pop("blocks")
    population = fields.get("population")
    return Card(
        findings=tuple(fields["findings"]),
        spec=PreprocessSpec.from_dict(fields["spec"]),
        architecture=Architecture(
            blocks=(blocks[0], blocks[1], blocks[2], blocks[3]), **architecture
        ),
        calibration=tuple(Calibration(**c) for c in fields["calibration"]),
        population=None if population is None else Population(**population),
        training=fields["training"],
        metrics=fields["metrics"],
        code_version=fields["code_version"],
    )


def _check(path: Path, card: Card, weights: Mapping[str, npt.NDArray[Any]]) -> None:
    """Reject weights that do not match the card or are not finite."""
    wanted = shapes(card.architecture, len(card.findings), card.spec.size)
    found = {name: value.shape for name, value in weights.items()}
    wrong = [
        f"{name} has shape {found.get(name)}, its card says {wanted.get(name)}"
        for name in sorted(wanted.keys() | found.keys())
        if found.get(name) != wanted.get(name)
    ]
    if wrong:
        raise CorruptArtefact(f"{path}: {'; '.join(wrong[:3])}; {len(wrong)} weights do not fit")
    broken = [name for name, value in weights.items() if not np.isfinite(value).all()]
    if broken:
        raise CorruptArtefact(f"{path}: weights are not finite in {', '.join(broken[:5])}")
