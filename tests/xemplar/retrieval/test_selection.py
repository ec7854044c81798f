"""What is chosen of the similar cases, compared with the definition; and how far is looked."""

from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.xemplar.index.vectors import unit
from xemplar.api.search import NEAR_DUPLICATE, Search
from xemplar.catalog import EVERYTHING, Case, Catalog
from xemplar.errors import InvalidArgument, NotFound
from xemplar.index import Hits, LiveIndex
from xemplar.model.densenet import EmbeddingHead, Features, features
from xemplar.retrieval import selection
from xemplar.retrieval.choice import Found, choose
from xemplar.retrieval.duplicates import StoredImages
from xemplar.retrieval.selection import Scope
from xemplar.retrieval.steering import Target

DAY = datetime(2025, 3, 1, tzinfo=UTC)
QUERY = unit(np.float32([1, 1, 1]))
TARGET = Target(QUERY, QUERY)


def case(number: int, patient: str | None = None) -> Case:
    digest = f"{number:064x}"
    return Case(
        id=number, case_id=digest[-16:], image_sha256=digest, source="set", height=9, width=9,
        spacing_mm=None, photometric=None, created_at=DAY, patient=patient,
    )  # fmt: skip


def features_of(vector: npt.NDArray[np.float32]) -> Features:
    maps = vector[None, :, None, None]
    nothing = np.zeros((1, len(vector)), np.float32)
    head = EmbeddingHead(np.zeros_like(maps[0]))
    return features(maps, nothing, np.zeros(1, np.float32), head)


class Fake:
    """A generation and a catalog of a few vectors; counts how many cases each search asked for."""

    def __init__(
        self, vectors: npt.NDArray[np.float32], patients: list[str | None] | None = None
    ) -> None:
        self.vectors = vectors
        self.ids = np.arange(len(vectors), dtype=np.int64)
        self.patients = patients or [None] * len(vectors)
        self.copies: list[set[int]] = []
        self.asked: list[int] = []
        self.gone: set[int] = set()
        self.exact = False

    def search(
        self,
        vector: npt.NDArray[np.float32],
        k: int,
        excluded: Any = (),
        among: Any = None,
        *,
        exact: bool = False,
        **_: Any,
    ) -> Hits:
        self.asked.append(k)
        self.exact = exact
        scores = np.clip(self.vectors @ vector, 0, 1).astype(np.float32)
        order = [i for i in np.lexsort((self.ids, -scores)) if i not in excluded][:k]
        return Hits(self.ids[order], scores[order], 1.0 if exact else 0.99)

    def vector(self, number: int) -> npt.NDArray[np.float32]:
        return self.vectors[number]

    def cases(self, ids: Any) -> dict[int, Case]:
        return {n: case(n, self.patients[n]) for n in ids if n not in self.gone}

    def __contains__(self, number: int) -> bool:
        return number in self.ids

    def case(self, case_id: str) -> Case:
        return self.cases([int(case_id, 16)])[int(case_id, 16)]

    access = EVERYTHING

    def visible(self, _catalog: object) -> None:
        """No limits: all cases exist for the caller."""

    def sample(self, _catalog: object) -> npt.NDArray[np.float32]:
        return self.vectors

    def patient_ids(self, patient: str) -> tuple[int, ...]:
        return tuple(n for n, one in enumerate(self.patients) if one == patient)

    def contrast(self, sha256: str) -> Any:
        return int(sha256, 16)

    def same(self, one: Any, sha256: str) -> bool:
        return any({one, int(sha256, 16)} <= copies for copies in self.copies)

    @property
    def reports(self) -> "Fake":
        return self

    def saying_each(self, terms: Any) -> list[npt.NDArray[np.int64]]:
        return [self.ids[-1:] for _ in terms]

    def scope(self, search: Search) -> Scope:
        images = cast("StoredImages", self)
        return Scope(cast("LiveIndex", self), cast("Catalog", self), images, search)

    def neighbours(self, **asked: Any) -> list[int]:
        return [one.case.id for one in self.scope(Search(**asked)).neighbours(TARGET).cases]


def gains(fake: Fake, chosen: list[int], search: Search) -> dict[int, float]:
    """Of every case that may be chosen next: its maximal marginal relevance."""
    hits = fake.search(QUERY, len(fake.ids))
    patients = {fake.patients[other] for other in chosen} - {None}
    found = {}
    for number, score in zip(map(int, hits.ids), map(float, hits.similarity), strict=True):
        cosines = [float(fake.vectors[number] @ fake.vectors[other]) for other in chosen]
        twice = max([score, *cosines]) > NEAR_DUPLICATE
        if not (
            number in chosen
            or score < search.min_similarity
            or (search.near_duplicates == "drop" and twice)
            or (search.one_per_patient and fake.patients[number] in patients)
        ):
            nearest = max(cosines, default=0)
            found[number] = (1 - search.diversity) * score - search.diversity * nearest
    return found


@settings(deadline=None)
@given(data=st.data())
def test_choosing_follows_its_definition(data: st.DataObject) -> None:
    """Vectors on a coarse grid, so that duplicates and equal similarities are common."""
    count = data.draw(st.integers(1, 40))
    grid = st.lists(st.integers(1, 4), min_size=3, max_size=3)
    vectors = unit(np.float32(data.draw(st.lists(grid, min_size=count, max_size=count))))
    patient = st.sampled_from(["a", "b", "c", None])
    fake = Fake(vectors, data.draw(st.lists(patient, min_size=count, max_size=count)))
    search = Search(
        k=data.draw(st.integers(1, 12)),
        diversity=data.draw(st.sampled_from([0.0, 0.3, 0.5, 1.0])),
        min_similarity=data.draw(st.sampled_from([0.0, 0.9, 0.97])),
        near_duplicates=data.draw(st.sampled_from(["keep", "drop"])),
        one_per_patient=data.draw(st.booleans()),
    )
    chosen = [one.case.id for one in fake.scope(search).neighbours(TARGET).cases]
    for step, number in enumerate(chosen):
        possible = gains(fake, chosen[:step], search)
        assert possible[number] >= max(possible.values()) - 1e-6
    assert len(chosen) == search.k or not gains(fake, chosen, search)


def test_diversity_prefers_a_less_similar_case_to_one_like_the_first() -> None:
    fake = Fake(unit(np.float32([[5, 5, 4], [5, 5, 4.1], [9, 1, 1], [1, 9, 1]])))
    assert fake.neighbours(k=3) == [1, 0, 2]
    assert fake.neighbours(k=3, diversity=0.7) == [1, 2, 3]
    assert fake.neighbours(k=4, diversity=1) == [1, 2, 3, 0]


def test_near_duplicates_of_the_query_and_of_chosen_cases_are_dropped_on_request_only() -> None:
    fake = Fake(unit(np.float32([[1, 1, 1.01], [3, 1.7, 1.7], [3, 1.7, 1.71], [1, 2, 1]])))
    assert fake.neighbours(k=4) == [0, 2, 1, 3]
    assert fake.neighbours(k=4, near_duplicates="drop") == [2, 3]


def test_each_patient_once_and_unknown_patients_as_often_as_they_come() -> None:
    vectors = unit(np.float32([[1, 1, 1 + n / 10] for n in range(6)]))
    fake = Fake(vectors, ["a", "a", None, "b", None, "a"])
    assert fake.neighbours(k=6, one_per_patient=True) == [0, 2, 3, 4]


def test_other_cases_of_the_patients_shown_are_named_where_each_patient_is_shown_once() -> None:
    vectors = unit(np.float32([[1, 1, 1 + n / 10] for n in range(6)]))
    fake = Fake(vectors, ["a", "a", None, "b", "a", "a"])
    shown = [case(0, "a"), case(2), case(3, "b")]
    once = Search(one_per_patient=True, exclude=(case(5).case_id,))
    named = fake.scope(once).more_of_patient(shown)
    assert named == {case(0).case_id: (case(1).case_id, case(4).case_id), case(3).case_id: ()}
    assert fake.scope(Search()).more_of_patient(shown) == {}


def test_a_similarity_is_compared_with_those_of_a_sample_of_cases() -> None:
    fake = Fake(unit(np.float32([[1, 0, 0], [1, 1, 1], [1, 1, 0]])))
    cosines = fake.scope(Search()).usual(TARGET)
    assert cosines == pytest.approx([(1 / 3) ** 0.5, (2 / 3) ** 0.5, 1], abs=1e-6)


def test_less_similar_cases_than_asked_for_are_not_shown() -> None:
    fake = Fake(unit(np.float32([[1, 1, 1], [1, 1, 0], [1, 0, 0]])))
    assert fake.neighbours(min_similarity=0.8) == [0, 1]
    assert fake.neighbours(min_similarity=0.99) == [0]


def test_it_looks_further_until_k_are_found() -> None:
    same = np.tile(unit(np.float32([1, 1, 0])), (300, 1))
    fake = Fake(np.concatenate([same, unit(np.float32([[1, 0, 0], [0, 1, 0]]))]))
    assert fake.neighbours(k=3, near_duplicates="drop") == [0, 300, 301]
    assert fake.asked == [50, 200, 800]


def test_it_looks_no_further_than_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "MAX_POOL", 100)
    same = np.tile(unit(np.float32([1, 1, 0])), (300, 1))
    fake = Fake(np.concatenate([same, unit(np.float32([[1, 0, 0]]))]))
    assert fake.neighbours(k=3, near_duplicates="drop") == [0]
    assert fake.asked == [50, 100]


def test_cases_that_are_gone_from_the_catalog_make_room_for_others() -> None:
    fake = Fake(unit(np.float32([[1, 1, 1 + n / 10] for n in range(6)])))
    fake.gone = {0, 2}
    assert fake.neighbours(k=3) == [1, 3, 4]


def test_plain_search_asks_for_no_more_than_k() -> None:
    fake = Fake(unit(np.float32([[1, 1, 1 + n / 10] for n in range(6)])))
    assert fake.neighbours(k=2) == [0, 1]
    assert fake.asked == [2]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"k": 0}, "k is 0; it must be from 1 to 100"),
        ({"counter_examples": 21}, "counter_examples is 21; it must be from 0 to 20"),
        ({"min_similarity": 1.1}, "min_similarity is 1.1; it must be from -1 to 1"),
        ({"diversity": -0.1}, "diversity is -0.1; it must be from 0 to 1"),
        ({"diversity": float("nan")}, "diversity is nan"),
    ],
)
def test_what_is_out_of_its_range_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        Search(**wrong)


def test_of_nothing_nothing_is_chosen() -> None:
    empty: list[Found] = []
    assert choose(empty, np.empty((0, 0), np.float32), 3, Search(), lambda *_: False) == []


def test_an_image_takes_one_place_and_others_fill_the_answer() -> None:
    fake = Fake(unit(np.float32([[1, 1, 1 + n / 20] for n in range(8)])))
    fake.copies = [{0, 2, 3}, {1, 5}]
    assert fake.neighbours(k=4) == [0, 1, 4, 6]
    assert fake.neighbours(k=8) == [0, 1, 4, 6, 7]
    assert fake.neighbours(k=3, diversity=0.01) == [0, 1, 4]


def test_copies_of_excluded_cases_are_excluded_too() -> None:
    fake = Fake(unit(np.float32([[1, 1, 1 + n / 20] for n in range(6)])))
    fake.copies = [{0, 2}]
    assert fake.neighbours(k=6, exclude=("0" * 16,)) == [1, 3, 4, 5]


def test_images_are_compared_of_similar_cases_only() -> None:
    fake = Fake(unit(np.float32([[1, 1, 1], [1, 0, 0]])))
    fake.copies = [{0, 1}]
    assert fake.neighbours(k=2) == [0, 1]


@pytest.mark.parametrize("search", [Search(), Search(exclude=("2".zfill(16),)), Search(k=1)])
def test_the_case_of_a_images_own_image_is_told_whatever_is_left_out(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = Fake(unit(np.float32([[1, 1, 1 + n / 20] for n in range(6)])))
    fake.copies = [{100, 2}]
    monkeypatch.setattr("xemplar.retrieval.duplicates.local_contrast", lambda number: number)
    scope = fake.scope(search)
    neighbours, inputs = scope.neighbours(TARGET), cast("npt.NDArray[np.uint8]", 100)
    assert scope.archived(TARGET, inputs, neighbours) == case(2)
    assert scope.archived(TARGET, cast("npt.NDArray[np.uint8]", 101), neighbours) is None


def test_an_image_unlike_all_cases_is_not_sought_a_second_time() -> None:
    fake = Fake(unit(np.float32([[1, 0, 0], [0, 1, 0]])))
    scope = fake.scope(Search(k=1))
    neighbours = scope.neighbours(TARGET)
    assert scope.archived(TARGET, np.zeros((9, 9), np.uint8), neighbours) is None
    assert fake.asked == [1]


@pytest.mark.parametrize(("left_out", "searches"), [((), 1), (("1".zfill(16),), 2)])
def test_the_case_of_an_image_is_sought_again_only_if_the_search_left_cases_out(
    left_out: tuple[str, ...], searches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = Fake(unit(np.float32([[1, 1, 1.1], [1, 1, 1.2], [1, 0, 0], [0, 1, 0]])))
    fake.copies = [{100, 1}]
    monkeypatch.setattr("xemplar.retrieval.duplicates.local_contrast", lambda number: number)
    scope = fake.scope(Search(k=3, exclude=left_out))
    neighbours = scope.neighbours(TARGET)
    assert scope.archived(TARGET, cast("npt.NDArray[np.uint8]", 100), neighbours) == case(1)
    assert len(fake.asked) == searches


def test_the_case_of_an_image_is_among_those_that_words_were_fused_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = Fake(unit(np.float32([[1, 1, 1.1], [1, 1, 1.2], [1, 0, 0], [0, 1, 0]])))
    fake.copies = [{100, 1}]
    monkeypatch.setattr("xemplar.retrieval.duplicates.local_contrast", lambda number: number)
    scope = fake.scope(Search(k=1, text="effusion"))
    neighbours = scope.neighbours(TARGET)
    searches = len(fake.asked)
    assert [one.case.id for one in neighbours.cases] == [3]
    assert scope.archived(TARGET, cast("npt.NDArray[np.uint8]", 100), neighbours) == case(1)
    assert scope.archived(TARGET, cast("npt.NDArray[np.uint8]", 101), neighbours) is None
    assert len(fake.asked) == searches


def test_a_case_is_found_behind_a_copy_that_is_shown_instead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = Fake(unit(np.float32([[1, 1, 1.1], [1, 1, 1.2], [1, 0, 0]])))
    fake.copies = [{0, 1}, {100, 1}]
    monkeypatch.setattr("xemplar.retrieval.duplicates.local_contrast", lambda number: number)
    scope = fake.scope(Search(k=3))
    neighbours = scope.neighbours(TARGET)
    searches = len(fake.asked)
    assert [one.case.id for one in neighbours.cases] == [0, 2]
    assert scope.archived(TARGET, cast("npt.NDArray[np.uint8]", 100), neighbours) == case(1)
    assert len(fake.asked) == searches


@pytest.mark.parametrize(("exact", "recall"), [(False, 0.99), (True, 1.0)])
def test_a_selection_states_the_recall_of_its_search(exact: bool, recall: float) -> None:
    fake = Fake(unit(np.float32([[1, 1, 1], [1, 1, 2]])))
    assert fake.scope(Search(k=1, exact=exact)).neighbours(TARGET).recall_at_10 == recall
    assert fake.exact is exact


def test_marked_cases_are_left_out_and_move_the_search() -> None:
    fake = Fake(unit(np.float32([[1, 1, 0], [1, 0, 1], [1, 0.9, 0], [1, 0, 0.9], [0, 1, 0]])))
    scope = fake.scope(Search(k=2, like=(f"{1:016x}",), unlike=(f"{0:016x}",)))
    query = features_of(np.float32([1, 0.5, 0.5]))
    found = scope.neighbours(scope.target(query, None)).cases
    assert [one.case.id for one in found] == [3, 2]
    assert scope.matched == 3
    for one in found:
        cosine = float(query.embedding[0] @ fake.vectors[one.case.id])
        assert one.similarity == pytest.approx(cosine, abs=1e-6)
    assert found[0].score > found[0].similarity


def test_a_marked_case_that_is_not_in_the_index_is_refused() -> None:
    fake = Fake(unit(np.float32([[1, 1, 0], [1, 0, 1]])), [None] * 3)  # the catalog has a third one
    with pytest.raises(NotFound, match="unmark it"):
        fake.scope(Search(like=(f"{2:016x}",)))
