"""The retriever: what an answer promises, checked against index, catalog and network."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.images import drawn_image, encoded
from tests.stores import CASES, NEVER, SmallStore, small_store
from xemplar.api import Search
from xemplar.archive.store import Store
from xemplar.catalog import Case
from xemplar.data.findings import NIH14
from xemplar.errors import (
    InvalidArgument,
    NotARadiograph,
    NotFound,
    NothingIndexed,
    UnknownFinding,
    UnreadableImage,
)
from xemplar.imaging.overlay import jpeg, shrink
from xemplar.model.checkpoint import Checkpoint
from xemplar.model.densenet import Features
from xemplar.model.encoder import Precision, open_encoder
from xemplar.model.explain import similarity_evidence
from xemplar.phantom import phantom
from xemplar.retrieval import render
from xemplar.retrieval.query import predictions
from xemplar.retrieval.result import Answer
from xemplar.retrieval.retriever import Retriever
from xemplar.retrieval.snapshot import fit_validator

STRANGER = encoded(drawn_image(77, 1500, 1200))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> SmallStore:
    return small_store(tmp_path_factory.mktemp("small"), tiny_checkpoint)


def opened(small: SmallStore) -> Retriever:
    opener = partial(open_encoder, precision=Precision.FLOAT32)
    return Retriever.open(small.checkpoint, small.store, opener=opener)


@pytest.fixture(scope="module")
def retriever(small: SmallStore) -> Iterator[Retriever]:
    one = opened(small)
    yield one
    one.close()


@pytest.fixture(scope="module")
def answer(retriever: Retriever) -> Answer:
    return retriever.ask(STRANGER, Search(k=CASES))


def pixels(picture: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_UNCHANGED))


def test_the_indexed_image_asked_again_is_its_own_nearest_case(
    retriever: Retriever, small: SmallStore
) -> None:
    for image in small.images:
        answer = retriever.ask(image, Search(k=1))
        (first,) = answer.neighbours
        assert first.similarity == pytest.approx(1, abs=1e-5)
        assert first.case.image_sha256.startswith(first.case.case_id)
        stored = retriever.generation.vector(first.case.id)
        assert answer.features.embedding[0] == pytest.approx(stored, abs=1e-5)
        logits = retriever.generation.logits(first.case.id)
        assert answer.features.logits[0] == pytest.approx(logits, abs=1e-3)


def test_cases_similar_to_a_case_are_those_of_its_image_without_itself(
    retriever: Retriever, small: SmallStore
) -> None:
    for image in small.images[:3]:
        asked = retriever.ask(image, Search(k=CASES))
        own = asked.neighbours[0].case.case_id
        answer = retriever.similar(own, Search(k=CASES))
        found = [near.case.case_id for near in answer.neighbours]
        assert found == [near.case.case_id for near in asked.neighbours[1:]]
        assert [near.rank for near in answer.neighbours] == list(range(1, CASES))
        assert answer.predictions[0].finding == asked.predictions[0].finding
        assert answer.features.embedding == pytest.approx(asked.features.embedding, abs=1e-5)


def test_other_images_of_a_cases_patient_are_left_out_unless_they_are_asked_for(
    retriever: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = list(retriever.catalog.cases(retriever.generation.ids).values())
    first, sibling = cases[0], cases[5]
    monkeypatch.setattr(retriever.catalog, "patient_ids", lambda _: (first.id, sibling.id))
    alone = retriever.similar(first.case_id, Search(k=CASES))
    assert sibling.case_id not in [near.case.case_id for near in alone.neighbours]
    assert len(alone.neighbours) == CASES - 2
    both = retriever.similar(first.case_id, Search(k=CASES), same_patient=True)
    assert sibling.case_id in [near.case.case_id for near in both.neighbours]
    assert first.case_id not in [near.case.case_id for near in both.neighbours]


def test_similar_cases_of_an_unknown_case_are_refused(retriever: Retriever) -> None:
    with pytest.raises(NotFound, match="no case"):
        retriever.similar("0" * 16)


def test_neighbours_are_ranked_by_the_cosine_of_the_embeddings(
    retriever: Retriever, answer: Answer
) -> None:
    assert [near.rank for near in answer.neighbours] == list(range(1, CASES + 1))
    exact = retriever.generation.ids[
        np.argsort(
            [
                -float(answer.features.embedding[0] @ retriever.generation.vector(i))
                for i in retriever.generation.ids
            ],
            kind="stable",
        )
    ]
    assert [near.case.id for near in answer.neighbours] == list(exact)


def test_similarity_evidence_adds_up_to_the_similarity_shown_in_both_directions(
    retriever: Retriever, answer: Answer
) -> None:
    for near in answer.neighbours:
        vector = retriever.generation.vector(near.case.id)
        on_query = similarity_evidence(answer.features, vector)
        spec = retriever.checkpoint.card.spec
        inputs = retriever.media.input(near.case.image_sha256, spec)
        features = retriever.encoder.encode(inputs[None])
        on_case = similarity_evidence(features, answer.features.embedding[0])
        assert on_query.sum() == pytest.approx(near.similarity, abs=1e-4)
        assert on_case.sum() == pytest.approx(near.similarity, abs=1e-4)


def test_predictions_are_calibrated_and_those_most_above_their_base_rate_come_first(
    retriever: Retriever, answer: Answer, tiny: Checkpoint
) -> None:
    by_name = dict(
        zip(tiny.card.findings, tiny.probabilities(answer.features.logits[0]), strict=True)
    )
    assert {p.finding: p.probability for p in answer.predictions} == pytest.approx(by_name)
    *ordered, last = answer.predictions
    lifts = [p.lift or 0 for p in ordered]
    assert lifts == sorted(lifts, reverse=True)
    assert lifts == pytest.approx([p.probability / (p.base_rate or 0) for p in ordered])
    assert (last.finding, last.threshold, last.called) == (NEVER, None, None)
    assert {p.finding for p in answer.predictions if p.called} == set(tiny.card.findings[::2])
    assert answer.explained == answer.predictions[0].finding
    assert answer.population == retriever.checkpoint.card.population


def test_without_base_rates_the_most_probable_finding_comes_first(tiny: Checkpoint) -> None:
    old = replace(tiny, card=replace(tiny.card, calibration=()))
    found = predictions(old, np.linspace(0.2, 0.8, len(NIH14), dtype=np.float32))
    assert [p.finding for p in found] == list(reversed(NIH14))
    assert {(p.base_rate, p.lift, p.threshold) for p in found} == {(None, None, 0.5)}
    assert [p.called for p in found] == [True] * 7 + [False] * 7


def test_a_finding_can_be_chosen_and_its_synonyms_are_understood(retriever: Retriever) -> None:
    assert retriever.ask(STRANGER, Search(finding="Pleural Effusion")).explained == "Effusion"
    with pytest.raises(UnknownFinding, match="unknown finding 'Gout'; this checkpoint knows: Atel"):
        retriever.ask(STRANGER, Search(finding="Gout"))


def test_k_is_how_many_cases_unless_there_are_fewer(retriever: Retriever) -> None:
    assert len(retriever.ask(STRANGER).neighbours) == 5
    assert len(retriever.ask(STRANGER, Search(k=1)).neighbours) == 1
    assert len(retriever.ask(STRANGER, Search(k=100)).neighbours) == CASES


@pytest.mark.parametrize("k", [0, -1, 101])
def test_a_k_out_of_range_is_refused(retriever: Retriever, k: int) -> None:
    with pytest.raises(InvalidArgument, match=f"k is {k}; it must be from 1 to 100"):
        retriever.ask(STRANGER, Search(k=k))


def test_excluded_cases_are_left_out_and_no_others(retriever: Retriever, answer: Answer) -> None:
    ids = [near.case.case_id for near in answer.neighbours]
    rest = retriever.ask(STRANGER, Search(k=CASES, exclude=(ids[0], ids[3])))
    assert [near.case.case_id for near in rest.neighbours] == [ids[1], ids[2], *ids[4:]]
    assert [near.rank for near in rest.neighbours] == list(range(1, CASES - 1))
    assert retriever.ask(STRANGER, Search(exclude=tuple(ids))).neighbours == ()


def test_excluding_a_case_that_does_not_exist_is_refused(retriever: Retriever) -> None:
    with pytest.raises(NotFound, match="there is no case '0123456789abcdef'"):
        retriever.ask(STRANGER, Search(exclude=("0123456789abcdef",)))


def test_filters_leave_the_order_of_the_others_as_it_was(
    retriever: Retriever, answer: Answer
) -> None:
    wanted = Search(k=CASES, any_of=("Effusion", "Mass"), none_of=("Hernia",), age_max=37)
    filtered = retriever.ask(STRANGER, wanted)
    cases = [near.case for near in answer.neighbours]
    expected = [c for c in cases if {"Effusion", "Mass"} & set(c.findings) and c.age <= 37]
    assert [near.case for near in filtered.neighbours] == expected
    assert 0 < filtered.matched == len(expected) < CASES == answer.matched


def test_what_matches_nothing_is_answered_with_nothing(retriever: Retriever) -> None:
    nothing = retriever.ask(STRANGER, Search(source=("elsewhere",)))
    assert (nothing.neighbours, nothing.matched) == ((), 0)
    assert nothing.predictions


def test_excluding_a_cases_patient_leaves_out_the_case_too(
    retriever: Retriever, answer: Answer
) -> None:
    first, second = (near.case for near in answer.neighbours[:2])
    rest = retriever.ask(STRANGER, Search(k=CASES, exclude_patient_of=(first.case_id,)))
    assert rest.neighbours[0].case == second
    assert rest.matched == len(rest.neighbours) == CASES - 1


def test_counter_examples_are_the_most_similar_cases_known_not_to_have_the_finding(
    retriever: Retriever, answer: Answer
) -> None:
    shown = retriever.ask(
        STRANGER,
        Search(
            k=2,
            finding="Effusion",
            counter_examples=CASES,
            any_of=("Effusion",),
            sex="F",
        ),
    )
    assert all("Effusion" in near.case.findings for near in shown.neighbours)
    cases = [near.case for near in answer.neighbours if near.case.sex == "F"]
    expected = [case for case in cases if case.labels.get("Effusion") == 0]
    assert [near.case for near in shown.counter_examples] == expected
    assert expected
    assert [near.rank for near in shown.counter_examples] == list(range(1, len(expected) + 1))
    drawn = render.overlays(retriever.live, retriever.media, shown)
    assert set(drawn) == {
        "query",
        *(n.case.case_id for n in (*shown.neighbours, *shown.counter_examples)),
    }


def test_no_case_is_both_a_neighbour_and_a_counter_example(retriever: Retriever) -> None:
    search = Search(k=4, finding="Effusion", counter_examples=CASES)
    shown = retriever.ask(STRANGER, search)
    above = {near.case.case_id for near in shown.neighbours}
    below = {near.case.case_id for near in shown.counter_examples}
    without = {
        near.case.case_id
        for near in retriever.ask(STRANGER, Search(k=CASES)).neighbours
        if near.case.labels.get("Effusion") == 0
    }
    assert below == without - above
    assert below
    assert without & above


def test_images_asked_together_get_the_answers_of_images_asked_alone(
    retriever: Retriever, small: SmallStore
) -> None:
    search = Search(k=3, counter_examples=1)
    images = [*small.images, b"no image", *small.images[:6]]  # more than one forward pass takes
    together = retriever.ask_all(images, search)
    assert isinstance(together[CASES], UnreadableImage)
    for image, one in zip(images, together, strict=True):
        if isinstance(one, Answer):
            alone = retriever.ask(image, search)
            assert [n.case for n in one.neighbours] == [n.case for n in alone.neighbours]
            assert one.features.logits == pytest.approx(alone.features.logits, abs=1e-4)
            assert one.explained == alone.explained
            assert list(one.timings_ms) == list(alone.timings_ms)
            assert one.features.maps.base is None  # it keeps no other image's maps in memory
    assert sum(isinstance(one, Answer) for one in together) == len(images) - 1


def test_all_answers_come_from_the_generation_that_was_live_when_they_were_asked_for(
    retriever: Retriever, small: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, live = retriever.encoder.encode, retriever.live

    def swapped(inputs: npt.NDArray[np.uint8]) -> Features:
        monkeypatch.setattr(retriever, "live", None)
        return encode(inputs)

    monkeypatch.setattr(retriever.encoder, "encode", swapped)
    answers = retriever.ask_all(list(small.images[:2]), Search(counter_examples=2))
    assert [one.generation for one in answers if isinstance(one, Answer)] == [
        live.generation.name
    ] * 2


def test_an_answer_names_what_gave_it(retriever: Retriever, answer: Answer) -> None:
    assert answer.checkpoint == retriever.checkpoint.digest
    assert answer.generation == retriever.generation.name
    assert answer.image.shape == (1024, 819)
    stages = ["decode", "preprocess", "encode", "search", "explain", "describe", "text"]
    assert list(answer.timings_ms) == stages
    assert answer.query_id != retriever.ask(STRANGER).query_id


def test_a_finding_that_is_not_called_has_no_map(retriever: Retriever, answer: Answer) -> None:
    plain = jpeg(shrink(answer.image, 512))
    shown = {
        p.finding: render.query_overlay(retriever.live, answer, p.finding)
        for p in answer.predictions
    }
    called = {p.finding for p in answer.predictions if p.called}
    assert len(called) == 7
    for finding, picture in shown.items():
        assert (picture == plain) == (finding not in called)
    case = answer.neighbours[0].case
    image = jpeg(shrink(retriever.media.display(case.image_sha256), 512))
    for finding in shown:
        assert (render.case_overlay(retriever.live, retriever.media, case, finding) == image) == (
            finding not in called
        )


def test_a_neighbours_probability_is_of_the_explained_finding(
    retriever: Retriever, answer: Answer
) -> None:
    place = retriever.checkpoint.card.findings.index(answer.explained)
    for near in answer.neighbours:
        logits = retriever.generation.logits(near.case.id)
        assert near.probability == retriever.checkpoint.probabilities(logits)[place]
        assert near.called == (place % 2 == 0)


def test_every_picture_has_its_images_shape_and_the_side_asked_for(
    retriever: Retriever, answer: Answer, small: SmallStore
) -> None:
    large = retriever.ask(small.images[0], Search(k=1)).neighbours[0].case  # 700 x 560
    assert pixels(render.query_image(answer)).shape == (1024, 819)
    overlay = render.query_overlay(retriever.live, answer, side=100)
    assert pixels(overlay).shape == (100, 80, 3)
    evidence = render.query_evidence(retriever.live, answer, large, side=256)
    assert pixels(evidence).shape == (256, 205, 3)
    for side, shape in {512: (512, 410, 3), 1024: (700, 560, 3)}.items():
        evidence = render.case_evidence(retriever.live, retriever.media, answer, large, side)
        assert pixels(evidence).shape == shape


def test_all_overlays_are_the_overlays_one_by_one(retriever: Retriever, answer: Answer) -> None:
    drawn = render.overlays(retriever.live, retriever.media, answer)
    cases: dict[str, Case] = {near.case.case_id: near.case for near in answer.neighbours}
    assert drawn.pop("query") == render.query_overlay(retriever.live, answer)
    assert drawn == {
        n: render.case_overlay(retriever.live, retriever.media, c, answer.explained)
        for n, c in cases.items()
    }


def test_a_case_removed_from_the_catalog_is_shown_to_nobody(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    retriever = opened(small_store(tmp_path, tiny_checkpoint))
    ids = [near.case.case_id for near in retriever.ask(STRANGER, Search(k=CASES)).neighbours]
    retriever.catalog.remove([ids[1]])
    rest = retriever.ask(STRANGER, Search(k=CASES)).neighbours
    assert [near.case.case_id for near in rest] == [ids[0], *ids[2:]]
    assert [near.rank for near in rest] == list(range(1, CASES))
    with pytest.raises(NotFound, match=f"there is no case '{ids[1]}'"):
        retriever.indexed(ids[1])
    retriever.close()


def test_a_store_without_a_generation_cannot_be_opened(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    with pytest.raises(NothingIndexed, match="run `xemplar index"):
        Retriever.open(tiny_checkpoint, Store(tmp_path))


# ---- The input validator
# -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(small: SmallStore) -> Iterator[Retriever]:
    """A retriever whose input validator knows phantoms."""
    one = opened(small)
    images = np.stack([phantom(seed, size=64).pixels for seed in range(120)])
    one.live = replace(one.live, validator=fit_validator(images, one.encoder))
    yield one
    one.close()


def test_few_indexed_images_make_no_validator(retriever: Retriever) -> None:
    assert retriever.live.validator is None
    assert retriever.ask(STRANGER).warnings == ()


def test_an_image_on_its_head_is_answered_with_a_warning(guarded: Retriever) -> None:
    image = phantom(1000, size=128).pixels
    upright = guarded.ask(encoded(image))
    assert (upright.warnings, upright.doubts) == ((), ())
    turned = guarded.ask(encoded(np.ascontiguousarray(image[::-1, ::-1])))
    (warning,) = turned.warnings
    assert "upside down" in warning
    assert guarded.again(turned, Search()).doubts == turned.doubts == ("upside_down",)


def test_what_is_surely_no_image_is_refused_alone_and_in_a_batch(guarded: Retriever) -> None:
    page = np.full((200, 160), 255, np.uint8)
    page[20:180:12, 20:140] = 0
    with pytest.raises(NotARadiograph, match="no image of the kind that is indexed here"):
        guarded.ask(encoded(page))
    refusal, answer = guarded.ask_all([encoded(page), encoded(phantom(7, size=128).pixels)])
    assert isinstance(refusal, NotARadiograph)
    assert isinstance(answer, Answer)


def test_a_request_of_many_images_does_not_take_minutes(
    retriever: Retriever, small: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xemplar.retrieval.query.BATCH_SECONDS", -1)
    answers = retriever.ask_all(list(small.images[:2]))
    assert all(isinstance(answer, InvalidArgument) for answer in answers)
    assert "send it in another one" in str(answers[0])
