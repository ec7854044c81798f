"""What an evaluation works on, and what does not fit together."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from xemplar_evaluator.gathering import gather
from xemplar_evaluator.material import Material

from tests.evaluator.conftest import SETTINGS, Phantoms
from tests.films import TINY, seeded_weights
from xemplar.checkpoint import Card, load, save
from xemplar.datasets import open_dataset
from xemplar.encoder import open_encoder
from xemplar.errors import DatasetError, Mismatch, NothingIndexed
from xemplar.findings import NIH14
from xemplar.phantom import write_phantoms
from xemplar.preprocess import PreprocessSpec
from xemplar.store import Store


def gathered(phantoms: Phantoms, work: Path, **changes) -> Material:
    source = replace(phantoms.source, **changes.pop("source", {}))
    encoder = changes.pop("encoder", phantoms.encoder)
    return gather(source, encoder, replace(SETTINGS, **changes), work, lambda *_: None)[0]


def test_queries_candidates_and_tuning_films_are_of_their_splits(material: Material) -> None:
    assert {film.split for film in material.queries.films} == {"test"}
    assert {film.split for film in material.tuning.films} == {"val"}
    assert {case.split for case in material.candidates.cases} == {"train"}
    assert (len(material.queries), len(material.tuning), len(material.candidates)) == (12, 6, 42)


def test_patients_are_the_catalogs_pseudonyms(material: Material, phantoms: Phantoms) -> None:
    film = material.queries.films[0]
    assert film.patient is not None
    assert material.queries.patients[0] == phantoms.source.store.pseudonym("phantoms", film.patient)


def test_boxes_lie_on_their_films(material: Material) -> None:
    assert material.queries.boxes
    for row, boxes in material.queries.boxes.items():
        present = {f for f, value in material.queries.films[row].labels.items() if value == 1}
        assert {box.finding for box in boxes} <= present
        assert row in material.queries.maps


def test_the_mean_map_is_that_of_the_indexed_cases(material: Material) -> None:
    assert material.candidates.mean_cams.shape == (14, 2, 2)
    assert np.isfinite(material.candidates.mean_cams).all()
    assert material.candidates.mean_cams.any()


def test_severities_are_read_where_the_data_set_knows_them(material: Material) -> None:
    file = next(f.file for f in material.queries.films if "No Finding" not in str(f.labels))
    assert file is not None
    assert all(0 < s <= 1 for s in material.severity.get(file, {"": 1}).values())
    assert material.severity


def test_an_index_of_another_checkpoint_is_refused(phantoms: Phantoms, tmp_path: Path) -> None:
    save(
        tmp_path / "other.safetensors",
        Card(NIH14, PreprocessSpec(size=64), TINY),
        seeded_weights(TINY, 14, seed=1),
    )
    other = open_encoder(load(tmp_path / "other.safetensors"))
    with pytest.raises(Mismatch, match="built with checkpoint"):
        gathered(phantoms, tmp_path / "work", encoder=other)


def test_a_store_without_an_index_is_refused(phantoms: Phantoms, tmp_path: Path) -> None:
    with pytest.raises(NothingIndexed, match="xemplar index"):
        gathered(phantoms, tmp_path / "work", source={"store": Store(tmp_path)})


def test_an_index_without_this_data_set_is_refused(phantoms: Phantoms, tmp_path: Path) -> None:
    write_phantoms(tmp_path / "others", 10, size=64)
    others = open_dataset(tmp_path / "others")
    with pytest.raises(NothingIndexed, match="no case of others; it holds phantoms train"):
        gathered(phantoms, tmp_path / "work", source={"dataset": others})


def test_indexed_cases_may_be_chosen_by_split(phantoms: Phantoms, tmp_path: Path) -> None:
    with pytest.raises(NothingIndexed, match="no case of phantoms val"):
        gathered(phantoms, tmp_path / "work", index_splits=("val",))


def test_a_split_without_films_is_refused_naming_those_there_are(
    phantoms: Phantoms, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="it has: test, train, val"):
        gathered(phantoms, tmp_path / "work", splits=("box",))


@pytest.mark.parametrize("text", ["0", "1.5", "much", ""])
def test_an_impossible_severity_is_refused_with_file_and_line(
    phantoms: Phantoms, tmp_path: Path, text: str
) -> None:
    write_phantoms(tmp_path / "phantoms", 10, size=64)
    (tmp_path / "phantoms" / "severity.csv").write_text(f"file,finding,severity\na.png,Mass,{text}")
    dataset = open_dataset(tmp_path / "phantoms")
    with pytest.raises(DatasetError, match=r"severity\.csv, line 2"):
        gathered(phantoms, tmp_path / "work", source={"dataset": dataset})
