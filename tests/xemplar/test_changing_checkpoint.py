"""Another checkpoint begins to answer, and no case is lost that came at that moment."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.images import drawn_image, encoded, seeded_weights
from tests.stores import SmallStore, small_store
from xemplar.catalog import Description, Entry
from xemplar.imaging import decode
from xemplar.indexing.publishing import activate, build_generation
from xemplar.model.checkpoint import Checkpoint, keep, load, save
from xemplar.model.encoder import Precision, open_encoder
from xemplar.retrieval import ingest, retriever
from xemplar.retrieval.retriever import Retriever

IMAGE = encoded(drawn_image(70))
opener = partial(open_encoder, precision=Precision.FLOAT32)


@pytest.fixture
def own(tmp_path: Path, tiny_checkpoint: Path) -> SmallStore:
    return small_store(tmp_path, tiny_checkpoint)


@pytest.fixture
def opened(own: SmallStore) -> Iterator[Retriever]:
    one = Retriever.open(own.checkpoint, own.store, opener=opener)
    yield one
    one.close()


@pytest.fixture
def other(own: SmallStore, opened: Retriever, tmp_path: Path) -> tuple[Checkpoint, str]:
    """Another checkpoint, and a generation of it that holds all cases and is not live."""
    path, card = tmp_path / "other.safetensors", opened.checkpoint.card
    save(path, card, seeded_weights(card.architecture, len(card.findings), seed=9))
    other = load(keep(path, own.store))
    missing = opened.catalog.not_embedded(other.digest).tolist()
    ingest.embed_stored(missing, opener(other), opened.catalog, opened.media)
    return other, build_generation(own.store, opened.catalog, other, go_live=False).name


def first(opened: Retriever) -> str:
    return opened.ask(IMAGE).neighbours[0].case.case_id


def test_a_case_that_came_before_the_change_answers_after_it(
    own: SmallStore, opened: Retriever, other: tuple[Checkpoint, str]
) -> None:
    case = opened.put(decode(IMAGE), Description(source="clinic")).case
    assert first(opened) == case.case_id
    activate(own.store, opened.catalog, other[1])
    opened.refresh()
    assert opened.checkpoint.digest == other[0].digest
    assert first(opened) == case.case_id


def test_a_case_that_the_change_overtakes_is_embedded_again(
    own: SmallStore,
    opened: Retriever,
    other: tuple[Checkpoint, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def overtaken(*arguments: Any) -> tuple[npt.NDArray[np.uint8], Entry]:
        """The image is with the old network when the new one begins to answer."""
        activate(own.store, opened.catalog, other[1])
        opened.refresh()
        return ingest.embed_image(*arguments)

    monkeypatch.setattr(retriever, "embed_image", overtaken)
    case = opened.put(decode(IMAGE), Description(source="clinic")).case
    assert opened.checkpoint.digest == other[0].digest
    assert first(opened) == case.case_id
