"""What an evaluation works on, and what does not fit together."""

import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from xemplar_evaluator.data import EvaluationData
from xemplar_evaluator.loading import EvaluationSource, load_evaluation_data

from tests.evaluator.conftest import SETTINGS, Phantoms
from tests.images import TINY, seeded_weights
from xemplar.archive.store import Store
from xemplar.catalog import migrate, open_catalog
from xemplar.data.datasets import open_dataset
from xemplar.data.findings import NIH14
from xemplar.data.splits import PatientSplit
from xemplar.errors import DatasetError, Mismatch, NothingIndexed
from xemplar.imaging.preprocess import PreprocessSpec
from xemplar.indexing.job import embed_images
from xemplar.indexing.publishing import build_generation
from xemplar.model.checkpoint import Card, load, save
from xemplar.model.encoder import Encoder, open_encoder
from xemplar.phantom import write_phantoms


def loaded(phantoms: Phantoms, work: Path, **changes) -> EvaluationData:
    source = replace(phantoms.source, **changes.pop("source", {}))
    encoder = changes.pop("encoder", phantoms.encoder)
    return load_evaluation_data(
        source, encoder, replace(SETTINGS, **changes), work, lambda *_: None
    )[0]


def test_queries_candidates_and_tuning_images_are_of_their_splits(data: EvaluationData) -> None:
    assert {image.split for image in data.queries.records} == {"test"}
    assert {image.split for image in data.tuning.records} == {"val"}
    assert {case.split for case in data.candidates.cases} == {"train"}
    assert (len(data.queries), len(data.tuning), len(data.candidates)) == (16, 8, 56)


def test_patients_are_the_catalogs_pseudonyms(data: EvaluationData, phantoms: Phantoms) -> None:
    image = data.queries.records[0]
    assert image.patient is not None
    assert data.queries.patients[0] == phantoms.source.store.pseudonym("phantoms", image.patient)


def test_boxes_lie_on_their_images(data: EvaluationData) -> None:
    assert data.queries.boxes
    for row, boxes in data.queries.boxes.items():
        present = {f for f, value in data.queries.records[row].labels.items() if value == 1}
        assert {box.finding for box in boxes} <= present
        assert row in data.queries.maps


def test_the_mean_map_is_that_of_the_indexed_cases(data: EvaluationData) -> None:
    assert data.candidates.mean_cams.shape == (14, 2, 2)
    assert np.isfinite(data.candidates.mean_cams).all()
    assert data.candidates.mean_cams.any()


def test_severities_are_read_where_the_data_set_knows_them(data: EvaluationData) -> None:
    file = next(f.file for f in data.queries.records if "No Finding" not in str(f.labels))
    assert file is not None
    assert all(0 < s <= 1 for s in data.severity.get(file, {"": 1}).values())
    assert data.severity


def test_an_index_of_another_checkpoint_is_refused(phantoms: Phantoms, tmp_path: Path) -> None:
    save(
        tmp_path / "other.safetensors",
        Card(NIH14, PreprocessSpec(size=64), TINY),
        seeded_weights(TINY, 14, seed=1),
    )
    other = open_encoder(load(tmp_path / "other.safetensors"))
    with pytest.raises(Mismatch, match="built with checkpoint"):
        loaded(phantoms, tmp_path / "work", encoder=other)


def test_a_store_without_an_index_is_refused(phantoms: Phantoms, tmp_path: Path) -> None:
    with pytest.raises(NothingIndexed, match="xemplar index"):
        loaded(phantoms, tmp_path / "work", source={"store": Store(tmp_path)})


def test_an_index_without_this_data_set_is_refused(phantoms: Phantoms, tmp_path: Path) -> None:
    write_phantoms(tmp_path / "others", 10, size=64)
    others = open_dataset(tmp_path / "others")
    with pytest.raises(NothingIndexed, match="no case of others; it holds phantoms train"):
        loaded(phantoms, tmp_path / "work", source={"dataset": others})


def test_an_index_of_the_same_patients_in_another_identity_domain_is_refused(
    phantoms: Phantoms, tmp_path: Path
) -> None:
    other = open_dataset(phantoms.source.dataset.root, patients="theirs")
    with pytest.raises(Mismatch, match=r"56 images of phantoms .*domain 'theirs'; name the domain"):
        loaded(phantoms, tmp_path / "work", source={"dataset": other})


def test_indexed_cases_may_be_chosen_by_split(phantoms: Phantoms, tmp_path: Path) -> None:
    with pytest.raises(NothingIndexed, match="no case of phantoms val"):
        loaded(phantoms, tmp_path / "work", index_splits=("val",))


def split_by(phantoms: Phantoms, rule: PatientSplit) -> Encoder:
    """The network of the phantoms' index, trained with other splits by patient."""
    tiny = phantoms.encoder.checkpoint
    card = replace(tiny.card, training={"split": asdict(rule)})
    return Encoder(replace(tiny, card=card), phantoms.encoder._backend)


@pytest.fixture
def unnamed(phantoms: Phantoms, tmp_path: Path) -> EvaluationSource:
    """Phantoms whose splits nobody names, all of them indexed."""
    write_phantoms(tmp_path / "unnamed", 40, size=64)
    labels = tmp_path / "unnamed" / "labels.csv"
    labels.write_text(re.sub(",(train|val|test)$", ",", labels.read_text(), flags=re.M))
    dataset, store = open_dataset(tmp_path / "unnamed"), Store(tmp_path / "store")
    assert {image.split for image in dataset.images} == {None}
    migrate(store.database_url)
    with open_catalog(store.database_url) as catalog:
        embed_images(dataset.images, store, catalog, phantoms.encoder)
        build_generation(store, catalog, phantoms.encoder.checkpoint)
    return EvaluationSource(dataset, store)


def test_cases_are_in_the_split_that_the_index_command_put_them_into(
    phantoms: Phantoms, unnamed: EvaluationSource, tmp_path: Path
) -> None:
    found = loaded(
        phantoms,
        tmp_path / "work",
        source={"dataset": unnamed.dataset, "store": unnamed.store},
        index_splits=("train",),
    )
    rule = phantoms.encoder.checkpoint.card.split
    files = {image.file for image in unnamed.dataset.images if rule.of(image) == "train"}
    assert {case.file for case in found.candidates.cases} == files
    assert {image.file for image in found.queries.records}.isdisjoint(files)


def test_cases_that_were_split_otherwise_are_refused_with_the_command_that_mends_it(
    phantoms: Phantoms, unnamed: EvaluationSource, tmp_path: Path
) -> None:
    other = split_by(phantoms, PatientSplit(seed=4, val=0.3, test=0.3))
    source = {"dataset": unnamed.dataset, "store": unnamed.store}
    asked = {"source": source, "encoder": other, "index_splits": ("train",)}
    with pytest.raises(
        Mismatch, match=r"of 40 indexed cases .* another split.* xemplar index"
    ) as no:
        loaded(phantoms, tmp_path / "work", **asked)
    again = str(no.value).split("xemplar index ")[1].split()
    assert again[0] == str(unnamed.dataset.root)
    rule = other.checkpoint.card.split
    with open_catalog(unnamed.store.database_url) as catalog:
        images = [image for image in unnamed.dataset.images if rule.of(image) in again[2::2]]
        assert embed_images(images, unnamed.store, catalog, other).embedded == 0
    assert loaded(phantoms, tmp_path / "work", **asked).candidates.cases


def test_images_that_could_be_trained_on_are_refused(
    phantoms: Phantoms, unnamed: EvaluationSource, tmp_path: Path
) -> None:
    tiny = phantoms.encoder.checkpoint
    training = {"seed": 1, "datasets": {"unnamed": "another label file"}}
    card = replace(tiny.card, training=training)
    encoder = Encoder(replace(tiny, card=card), phantoms.encoder._backend)
    with pytest.raises(Mismatch, match="may have learnt from them"):
        loaded(
            phantoms,
            tmp_path / "work",
            source={"dataset": unnamed.dataset, "store": unnamed.store},
            encoder=encoder,
        )


def test_a_split_without_images_is_refused_naming_those_there_are(
    phantoms: Phantoms, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="it has: test, train, val"):
        loaded(phantoms, tmp_path / "work", splits=("box",))


@pytest.mark.parametrize("text", ["0", "1.5", "much", ""])
def test_an_impossible_severity_is_refused_with_file_and_line(
    phantoms: Phantoms, tmp_path: Path, text: str
) -> None:
    write_phantoms(tmp_path / "phantoms", 10, size=64)
    (tmp_path / "phantoms" / "severity.csv").write_text(f"file,finding,severity\na.png,Mass,{text}")
    dataset = open_dataset(tmp_path / "phantoms")
    with pytest.raises(DatasetError, match=r"severity\.csv, line 2"):
        loaded(phantoms, tmp_path / "work", source={"dataset": dataset})
