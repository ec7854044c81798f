"""`xemplar.open`: an archive from Python, without a server."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import xemplar
from tests.stores import CASES, SmallStore
from xemplar.errors import InvalidArgument, NotFound, NothingIndexed
from xemplar.retrieval.archive import Archive


@pytest.fixture
def archive(own: SmallStore) -> Iterator[Archive]:
    with xemplar.open(own.store.root, checkpoint=own.checkpoint) as opened:
        yield opened


def test_an_image_finds_itself_first(archive: Archive, own: SmallStore) -> None:
    answer = archive.search(own.images[2], k=3)
    assert len(answer.neighbours) == 3
    assert answer.neighbours[0].similarity == pytest.approx(1, abs=1e-2)  # bfloat16
    assert answer.neighbours[0].case.file == "image-2.png"


def test_an_image_may_be_a_file_and_a_search_has_the_services_options(
    archive: Archive, own: SmallStore, tmp_path: Path
) -> None:
    file = tmp_path / "query.png"
    file.write_bytes(own.images[2])
    answer = archive.search(file, k=CASES, sex="F")
    assert {near.case.sex for near in answer.neighbours} == {"F"}
    with pytest.raises(InvalidArgument):
        archive.search(file, k=0)


def test_a_case_finds_others(archive: Archive) -> None:
    first = next(archive.cases())
    found = [near.case.case_id for near in archive.similar(first.case_id, k=4).neighbours]
    assert len(found) == 4
    assert first.case_id not in found


def test_cases_are_filtered(archive: Archive) -> None:
    assert len(list(archive.cases())) == len(archive) == CASES
    assert all("Effusion" in case.findings for case in archive.cases(any_of=("Effusion",)))


def test_embeddings_are_in_the_order_of_their_cases(archive: Archive) -> None:
    found = archive.embeddings()
    assert len(found) == CASES
    assert found.vectors.shape == (CASES, 6)
    assert found.probabilities.shape == (CASES, len(found.findings))
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-3)
    women = archive.embeddings(sex="F")
    rows = [number for number, case in enumerate(found.cases) if case.sex == "F"]
    np.testing.assert_array_equal(women.vectors, found.vectors[rows])


def test_pictures_of_a_case(archive: Archive) -> None:
    case = next(archive.cases())
    assert archive.image(case.case_id).shape == (700, 560)
    assert archive.overlay(case.case_id, "Effusion").startswith(b"\xff\xd8")
    with pytest.raises(NotFound):
        archive.case("0" * 16)


def test_a_folder_without_an_index_is_no_archive(tmp_path: Path) -> None:
    with pytest.raises(NothingIndexed, match="nothing is indexed"):
        xemplar.open(tmp_path)
