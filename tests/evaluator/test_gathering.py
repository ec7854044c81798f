"""What an evaluation works on, and what does not fit together."""

import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from xemplar_evaluator.gathering import Source, gather
from xemplar_evaluator.material import Material
from xemplar_indexer.job import embed_films
from xemplar_indexer.publishing import build_generation

from tests.evaluator.conftest import SETTINGS, Phantoms
from tests.films import TINY, seeded_weights
from xemplar.catalog import migrate, open_catalog
from xemplar.checkpoint import Card, load, save
from xemplar.datasets import open_dataset
from xemplar.encoder import Encoder, open_encoder
from xemplar.errors import DatasetError, Mismatch, NothingIndexed
from xemplar.findings import NIH14
from xemplar.phantom import write_phantoms
from xemplar.preprocess import PreprocessSpec
from xemplar.splits import PatientSplit
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


def split_by(phantoms: Phantoms, rule: PatientSplit) -> Encoder:
    """The network of the phantoms' index, trained with other splits by patient."""
    tiny = phantoms.encoder.checkpoint
    card = replace(tiny.card, training={"split": asdict(rule)})
    return Encoder(replace(tiny, card=card), phantoms.encoder._backend)


@pytest.fixture
def unnamed(phantoms: Phantoms, tmp_path: Path) -> Source:
    """Phantoms whose splits nobody names, all of them indexed."""
    write_phantoms(tmp_path / "unnamed", 40, size=64)
    labels = tmp_path / "unnamed" / "labels.csv"
    labels.write_text(re.sub(",(train|val|test)$", ",", labels.read_text(), flags=re.M))
    dataset, store = open_dataset(tmp_path / "unnamed"), Store(tmp_path / "store")
    assert {film.split for film in dataset.films} == {None}
    migrate(store.database_url)
    with open_catalog(store.database_url) as catalog:
        embed_films(dataset.films, store, catalog, phantoms.encoder)
        build_generation(store, catalog, phantoms.encoder.checkpoint)
    return Source(dataset, store)


def test_cases_are_in_the_split_that_the_index_command_put_them_into(
    phantoms: Phantoms, unnamed: Source, tmp_path: Path
) -> None:
    found = gathered(
        phantoms,
        tmp_path / "work",
        source={"dataset": unnamed.dataset, "store": unnamed.store},
        index_splits=("train",),
    )
    rule = phantoms.encoder.checkpoint.card.split
    files = {film.file for film in unnamed.dataset.films if rule.of(film) == "train"}
    assert {case.file for case in found.candidates.cases} == files
    assert {film.file for film in found.queries.films}.isdisjoint(files)


def test_cases_that_were_split_otherwise_are_refused_with_the_command_that_mends_it(
    phantoms: Phantoms, unnamed: Source, tmp_path: Path
) -> None:
    other = split_by(phantoms, PatientSplit(seed=4, val=0.3, test=0.3))
    source = {"dataset": unnamed.dataset, "store": unnamed.store}
    asked = {"source": source, "encoder": other, "index_splits": ("train",)}
    with pytest.raises(
        Mismatch, match=r"of 40 indexed cases .* another split.* xemplar index"
    ) as no:
        gathered(phantoms, tmp_path / "work", **asked)
    again = str(no.value).split("xemplar index ")[1].split()
    assert again[0] == str(unnamed.dataset.root)
    rule = other.checkpoint.card.split
    with open_catalog(unnamed.store.database_url) as catalog:
        films = [film for film in unnamed.dataset.films if rule.of(film) in again[2::2]]
        assert embed_films(films, unnamed.store, catalog, other).embedded == 0
    assert gathered(phantoms, tmp_path / "work", **asked).candidates.cases


def test_films_that_could_be_trained_on_are_refused(
    phantoms: Phantoms, unnamed: Source, tmp_path: Path
) -> None:
    tiny = phantoms.encoder.checkpoint
    training = {"seed": 1, "datasets": {"unnamed": "another label file"}}
    card = replace(tiny.card, training=training)
    encoder = Encoder(replace(tiny, card=card), phantoms.encoder._backend)
    with pytest.raises(Mismatch, match="may have learnt from them"):
        gathered(
            phantoms,
            tmp_path / "work",
            source={"dataset": unnamed.dataset, "store": unnamed.store},
            encoder=encoder,
        )


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
