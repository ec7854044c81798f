"""Reads reference and window from a store: what was indexed before a day, and what came after."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from xemplar.archive.media import Media
from xemplar.archive.store import Store
from xemplar.catalog import Case, open_catalog
from xemplar.errors import NothingIndexed
from xemplar.imaging.preprocess import PreprocessSpec
from xemplar.index import current, open_generation
from xemplar.model.checkpoint import Checkpoint

from .drift import Images

CASES_PER_READ = 5000

MOST_REFERENCE = 2000
"""Images of the reference, drawn at random: more make windows hardly better known."""


def read_arrivals(
    store: Store,
    database: str,
    checkpoint: Checkpoint,
    since: datetime,
    window: int,
    seed: int = 0,
) -> tuple[Images, Images]:
    """Read the reference and the window.

    Args:
        store: of the cases.
        database: URL of the catalog; empty for the one in the store.
        checkpoint: of the live generation.
        since: cases indexed from then on have arrived; UTC.
        window: most images of the window, the latest.
        seed: of the draw of the reference.

    Returns:
        The reference, and the window: of each patient one image in each view.

    Raises:
        NothingIndexed: there is no index, or no case was indexed before then.
        CorruptArtefact: a stored image is damaged.
    """
    name = current(store)
    with open_catalog(database or store.database_url) as catalog:
        generation = open_generation(store, checkpoint, name, catalog)
        found: dict[int, Case] = {}
        for begin in range(0, len(generation), CASES_PER_READ):
            found |= catalog.cases(generation.ids[begin : begin + CASES_PER_READ])
        before = [case for case in found.values() if case.created_at < since]
        after = [case for case in found.values() if case.created_at >= since]
        if not before:
            raise NothingIndexed(
                f"no case was indexed before {since.isoformat(timespec='minutes')}, so there is "
                "nothing to compare with; name a later day"
            )
        latest = sorted(_one_of_each_patient(after), key=lambda case: case.id)[-window:]
        drawn = np.random.default_rng(seed).permutation(len(before))
        reference = _one_of_each_patient([before[int(place)] for place in drawn])
        reference = reference[:MOST_REFERENCE]
        vectors = {case.id: generation.vector(case.id) for case in (*reference, *latest)}
    media, spec = Media(store.media), checkpoint.card.spec
    first, second = (
        images_of(some, [vectors[case.id] for case in some], media, spec)
        for some in (reference, latest)
    )
    return first, second


def images_of(
    cases: Sequence[Case], vectors: Sequence[np.ndarray], media: Media, spec: PreprocessSpec
) -> Images:
    """Measure what drift is named by: age, sex, source, and how bright and rich in contrast."""
    inputs = [media.input(case.image_sha256, spec) for case in cases]
    size = vectors[0].shape if vectors else (0,)
    return Images(
        vectors=np.array(vectors, np.float32).reshape(len(cases), *size),
        views=np.array([case.view or "" for case in cases], str),
        numbers={
            "age": np.array([np.nan if c.age is None else c.age for c in cases], np.float64),
            "brightness": np.array([float(one.mean()) for one in inputs], np.float64),
            "contrast": np.array([float(one.std()) for one in inputs], np.float64),
        },
        kinds={
            "sex": np.array([case.sex or "" for case in cases], str),
            "source": np.array([case.source for case in cases], str),
        },
    )


def _one_of_each_patient(cases: Sequence[Case]) -> list[Case]:
    """Keep the first image of each patient in each view; images without a patient all."""
    seen = set[tuple[str, str | None]]()
    kept = []
    for case in cases:
        key = (case.patient or case.case_id, case.view)
        if key not in seen:
            seen.add(key)
            kept.append(case)
    return kept
