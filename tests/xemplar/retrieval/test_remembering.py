"""A remembered query draws, explains and repeats what the query itself did, bit for bit."""

from collections.abc import Iterator
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.images import drawn_image, encoded
from tests.stores import NEVER, SmallStore, small_store
from xemplar.api import Search
from xemplar.errors import CorruptArtefact, NotFound
from xemplar.model.encoder import Precision, open_encoder
from xemplar.retrieval import render
from xemplar.retrieval.remembering import pack, unpack
from xemplar.retrieval.result import Answer, ExplainedQuery
from xemplar.retrieval.retriever import Retriever

STRANGER = encoded(drawn_image(78, 300, 260))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> SmallStore:
    return small_store(tmp_path_factory.mktemp("small"), tiny_checkpoint)


@pytest.fixture(scope="module")
def retriever(small: SmallStore) -> Iterator[Retriever]:
    opener = partial(open_encoder, precision=Precision.FLOAT32)
    one = Retriever.open(small.checkpoint, small.store, opener=opener)
    yield one
    one.close()


@pytest.fixture(scope="module")
def answer(retriever: Retriever) -> Answer:
    return retriever.ask(STRANGER, Search(k=3))


@pytest.fixture(scope="module")
def restored(answer: Answer, retriever: Retriever) -> ExplainedQuery:
    return unpack(pack(answer, with_pixels=True), retriever.checkpoint)


def test_every_picture_is_the_same(
    answer: Answer, restored: ExplainedQuery, retriever: Retriever
) -> None:
    live, media, case = retriever.live, retriever.media, answer.neighbours[0].case
    assert render.query_image(restored) == render.query_image(answer)
    for finding in (None, NEVER, *live.checkpoint.card.findings):
        overlay = render.query_overlay(live, restored, finding)
        assert overlay == render.query_overlay(live, answer, finding)
    evidence = render.query_evidence(live, restored, case)
    assert evidence == render.query_evidence(live, answer, case)
    evidence = render.case_evidence(live, media, restored, case)
    assert evidence == render.case_evidence(live, media, answer, case)
    shares = render.matches(live, media, restored, case)
    np.testing.assert_array_equal(shares, render.matches(live, media, answer, case))


def test_it_is_repeated_as_the_query_is(
    answer: Answer, restored: ExplainedQuery, retriever: Retriever
) -> None:
    search = Search(k=4, sex="F")
    found, wanted = retriever.again(restored, search), retriever.again(answer, search)
    assert (found.query_id, found.neighbours) == (answer.query_id, wanted.neighbours)
    assert found.predictions == wanted.predictions
    assert (found.warnings, found.doubts) == (wanted.warnings, wanted.doubts)


def test_without_pixels_all_but_the_image_is_there(answer: Answer, retriever: Retriever) -> None:
    content = pack(answer, with_pixels=False)
    blind = unpack(content, retriever.checkpoint)
    assert len(content) < len(pack(answer, with_pixels=True)) - answer.image.size
    for draw in (
        lambda: render.query_image(blind),
        lambda: render.query_overlay(retriever.live, blind),
    ):
        with pytest.raises(NotFound, match="send the image again"):
            draw()
    found = retriever.again(blind, Search(k=3))
    assert found.neighbours == answer.neighbours
    assert found.archived_as is None
    case, media = answer.neighbours[0].case, retriever.media
    assert render.case_evidence(retriever.live, media, blind, case)


def test_nothing_is_packed_but_what_explains_the_query(
    answer: Answer, retriever: Retriever
) -> None:
    packed = {field.name for field in fields(ExplainedQuery)}
    assert not packed & {"neighbours", "counter_examples", "archived_as", "timings_ms"}
    near = answer.neighbours[0].case
    for text in (near.case_id, near.patient, near.file, near.source):
        assert str(text).encode() not in pack(answer, with_pixels=True)


def test_damaged_content_is_refused(answer: Answer, retriever: Retriever) -> None:
    whole = pack(answer, with_pixels=True)
    for broken in (b"", whole[:100], whole[:-1], whole.replace(b'"explained"', b'"exploined"')):
        with pytest.raises(CorruptArtefact, match="send the image again"):
            unpack(broken, retriever.checkpoint)


def test_a_query_of_another_checkpoint_is_not_compared(
    restored: ExplainedQuery, retriever: Retriever, answer: Answer
) -> None:
    other = replace(restored, checkpoint="0" * 64)
    with pytest.raises(NotFound, match="send the image again"):
        render.query_evidence(retriever.live, other, answer.neighbours[0].case)
