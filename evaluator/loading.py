"""Loads evaluation data from checkpoint, store and data set; refuses what does not fit."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xemplar.archive.media import Media
from xemplar.archive.store import Store
from xemplar.catalog import Case, Catalog, case_id_of, open_catalog
from xemplar.catalog.patients import check_domain
from xemplar.data.boxes import DrawnBox, box_file, left_out, place_boxes, read_boxes, rows_of
from xemplar.data.csv_table import read_rows
from xemplar.data.datasets import TRAIN, Dataset, DatasetImage
from xemplar.data.splits import PatientSplit
from xemplar.errors import DatasetError, Mismatch, NothingIndexed
from xemplar.index import SearchableGeneration, current, open_generation
from xemplar.model.checkpoint import default_checkpoint
from xemplar.model.encoder import Encoder

from .data import Candidates, EvaluationData, EvaluationImages
from .encoding import EncodedImages, encode_images
from .leaks import find_leaks, without_leaks
from .settings import EvaluationSettings
from .unseen import check_unseen

SEVERITY = "severity.csv"
CASES_PER_READ = 5000
"""Cases read by one SQL statement: databases limit the number of parameters."""


@dataclass(frozen=True)
class EvaluationSource:
    """Locations of the evaluation data.

    Attributes:
        dataset: the images, with their labels.
        store: the index.
        database: SQLAlchemy URL of the catalog; empty for the one in the store.
        boxes: a box file, or None for the one in the data set's folder, if any.
    """

    dataset: Dataset
    store: Store
    database: str = ""
    boxes: Path | None = None

    @property
    def box_file(self) -> Path | None:
        """The box file that is used, or None."""
        return self.boxes or box_file(self.dataset.root)


def load_evaluation_data(
    source: EvaluationSource,
    encoder: Encoder,
    settings: EvaluationSettings,
    work: Path,
    on_progress: Callable[[str, int, int], None],
) -> tuple[EvaluationData, Sequence[tuple[Path, str]]]:
    """Encodes the images and reads the indexed cases.

    Args:
        source: locations.
        encoder: of the checkpoint that built the index.
        settings: of the evaluation.
        work: folder for what is finished.
        on_progress: called with (stage, done, total).

    Returns:
        The data, and the unreadable images, each with the reason.

    Raises:
        DatasetError: no images of the asked splits, patients in several splits, or a label or box
            file that cannot be used.
        Mismatch: the index was built by another checkpoint, or patients were split otherwise in
            the training, or in the index; or there are leaks, see `find_leaks`.
        NothingIndexed: there is no index, or no case of this data set in it.
    """
    card = encoder.checkpoint.card
    findings, rule = card.findings, card.split
    live = current(source.store)
    box_file = source.box_file
    boxes = read_boxes(box_file) if box_file else ()
    asked = _images(source.dataset, settings.splits, rule)
    tuning = _images(source.dataset, (settings.tuning_split,), rule)
    if not asked:
        there = sorted({rule.of(image) for image in source.dataset.images if image.is_frontal})
        raise DatasetError(
            f"{source.dataset.name} has no frontal image of the split(s) "
            f"{', '.join(settings.splits)}; it has: {', '.join(there) or 'none at all'}; choose "
            "with --split"
        )
    trained = check_unseen(card, source.dataset, asked)
    with open_catalog(source.database or source.store.database_url) as catalog:
        generation = open_generation(source.store, encoder.checkpoint, live, catalog)
        candidates = _candidates(source, generation, catalog, encoder, settings)
    every = [*asked, *tuning]
    # each apart: an image may be in both
    boxed = {row for row in rows_of(boxes, asked) if row is not None}
    boxed |= {len(asked) + row for row in rows_of(boxes, tuning) if row is not None}
    encoded = encode_images(
        every,
        boxed,
        encoder,
        work,
        lambda done: on_progress("images", done, len(every)),
    )
    queries = _part(encoded, asked, 0, source.store, boxes, findings)
    leaks = find_leaks(card, source.dataset, queries, candidates)
    kept = without_leaks(leaks, queries, settings.leaks)
    data = EvaluationData(
        encoder=encoder,
        queries=kept,
        tuning=_part(encoded, tuning, len(asked), source.store, boxes, findings),
        candidates=candidates,
        settings=settings,
        generation=generation.name,
        severity=_severity(source.dataset.root / SEVERITY),
        boxes_left_out=left_out(boxes, asked, findings),
        trained=f"{trained} {leaks}",
        leaks=leaks.to_json() | {"images left out": len(queries) - len(kept)},
    )
    return data, [(every[index].path, reason) for index, reason in encoded.unreadable]


def _images(dataset: Dataset, splits: Sequence[str], rule: PatientSplit) -> list[DatasetImage]:
    """Selects the frontal images of the splits, in the order of the label file."""
    return [f for f in dataset.images if f.is_frontal and rule.of(f) in splits]


def _part(
    encoded: EncodedImages,
    images: Sequence[DatasetImage],
    begin: int,
    store: Store,
    boxes: Sequence[DrawnBox],
    findings: Sequence[str],
) -> EvaluationImages:
    """Selects the readable images that lie in the encoded list from ``begin`` on."""
    rows = np.flatnonzero((begin <= encoded.indices) & (encoded.indices < begin + len(images)))
    kept = tuple(images[int(encoded.indices[row]) - begin] for row in rows)
    shapes = encoded.shapes[rows]
    return EvaluationImages(
        records=kept,
        case_ids=tuple(case_id_of(encoded.sha256[row]) for row in rows),
        patients=tuple(store.pseudonym(f.domain, f.patient) if f.patient else None for f in kept),
        shapes=shapes,
        inputs=encoded.inputs[rows],
        embedding=encoded.embedding[rows],
        logits=encoded.logits[rows],
        maps={
            here: encoded.maps[row]
            for here, row in enumerate(map(int, rows))
            if row in encoded.maps
        },
        boxes=place_boxes(boxes, kept, shapes, findings),
    )


def _candidates(
    source: EvaluationSource,
    generation: SearchableGeneration,
    catalog: Catalog,
    encoder: Encoder,
    settings: EvaluationSettings,
) -> Candidates:
    """Reads the indexed cases of this data set alone: telling two data sets apart is no skill."""
    found: dict[int, Case] = {}
    for begin in range(0, len(generation), CASES_PER_READ):
        found |= catalog.cases(generation.ids[begin : begin + CASES_PER_READ])
    check_domain(source.dataset, source.store, catalog.named_patients(source.dataset.name))
    here = [found[i] for i in map(int, generation.ids) if i in found]
    cases = [case for case in here if case.source == source.dataset.name]
    if settings.index_splits:
        _check_kept_splits(source, encoder, cases, settings)
        cases = [case for case in cases if case.split in settings.index_splits]
    if not cases:
        names = ", ".join(sorted({f"{case.source} {case.split or ''}".strip() for case in here}))
        asked = " ".join((source.dataset.name, *settings.index_splits))
        command = _index_command(source, encoder, settings.index_splits or (TRAIN,))
        raise NothingIndexed(
            f"the index holds no case of {asked}; it holds {names or 'nothing'}; index the images "
            f"to be found first: {command}"
        )
    media, spec = Media(source.store.media), encoder.checkpoint.card.spec
    cams = np.zeros(generation.cams(cases[0].id).shape, np.float64)
    for case in cases:
        cams += generation.cams(case.id)
    return Candidates(
        cases=tuple(cases),
        embedding=np.stack([generation.vector(case.id) for case in cases]),
        inputs=np.stack([media.input(case.image_sha256, spec) for case in cases]),
        mean_cams=(cams / len(cases)).astype(np.float32),
    )


def _check_kept_splits(
    source: EvaluationSource, encoder: Encoder, cases: Sequence[Case], settings: EvaluationSettings
) -> None:
    """Refuses cases that were in another split when they were indexed.

    Raises:
        Mismatch: naming the command that fixes it.
    """
    dataset, rule = source.dataset, encoder.checkpoint.card.split
    now = {image.file: rule.of(image) for image in dataset.images if image.file is not None}
    moved = [
        now[case.file]
        for case in cases
        if case.file in now
        and now[case.file] != case.split
        and {now[case.file], case.split} & set(settings.index_splits)
    ]
    if moved:
        raise Mismatch(
            f"{len(moved):,} of {len(cases):,} indexed cases of {dataset.name} are kept in another "
            "split than this data set and this checkpoint put them into, or in none; index them "
            f"again, which embeds none twice: {_index_command(source, encoder, sorted(set(moved)))}"
        )


def _index_command(source: EvaluationSource, encoder: Encoder, splits: Sequence[str]) -> str:
    """Builds the command that indexes images of these splits for this checkpoint."""
    dataset, checkpoint = source.dataset, encoder.checkpoint.path
    words = ["xemplar", "index", str(dataset.root), "--store", str(source.store.root)]
    if checkpoint not in (None, default_checkpoint()):
        words += ["--checkpoint", str(checkpoint)]
    words += [word for split in splits for word in ("--split", split)]
    if dataset.name != dataset.root.resolve().name:
        words += ["--source", dataset.name]
    if dataset.images[0].patients:
        words += ["--patients", dataset.images[0].patients]
    return shlex.join(words)


def _severity(file: Path) -> Mapping[str, Mapping[str, float]]:
    """``file,finding,severity`` of a data set that knows it; empty where there is no such file.

    Raises:
        DatasetError: a severity outside (0, 1]; naming file, line and value.
    """
    if not file.is_file():
        return {}
    severity: dict[str, dict[str, float]] = {}
    for line, row in read_rows(file, ("file", "finding", "severity")):
        try:
            value = float(row["severity"])
            if not 0 < value <= 1:
                raise ValueError(f"severity {value:g} is not in (0, 1]")
        except ValueError as error:
            raise DatasetError(f"{file}, line {line}: {error}") from error
        severity.setdefault(row["file"], {})[row["finding"]] = value
    return severity
