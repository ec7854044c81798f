"""Patients and pictures of the training under other names: counted, refused, or left out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from xemplar_evaluator.data import EvaluationData
from xemplar_evaluator.loading import EvaluationSource, load_evaluation_data

from tests.evaluator.conftest import SETTINGS
from tests.images import TINY, seeded_weights
from xemplar.archive.store import Store
from xemplar.catalog import migrate, open_catalog
from xemplar.data.datasets import DatasetImage, open_dataset
from xemplar.data.findings import NIH14
from xemplar.data.membership import Membership
from xemplar.data.splits import PatientSplit
from xemplar.errors import CorruptArtefact, DatasetError, Mismatch
from xemplar.imaging.preprocess import PreprocessSpec
from xemplar.indexing.job import embed_images
from xemplar.indexing.publishing import build_generation
from xemplar.model.checkpoint import Card, load, save
from xemplar.model.encoder import Encoder, Precision, open_encoder
from xemplar.phantom import write_phantoms

QUERIES, PATIENTS, COPIES, INDEXED = 40, 20, 10, 5
SIZE = 224  # of a real network's input: in 64 pixels two phantoms may look the same
SPEC, SALT = PreprocessSpec(SIZE), bytes(range(16))


def copied(image: DatasetImage, folder: Path, patient: str) -> DatasetImage:
    """The film again, smaller and as a JPEG, under another patient's id."""
    pixels = cv2.imread(str(image.path), cv2.IMREAD_GRAYSCALE)
    small = cv2.resize(pixels, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
    path = folder / f"{patient}.jpg"
    cv2.imwrite(str(path), small, [cv2.IMWRITE_JPEG_QUALITY, 75])
    return replace(image, path=path, file=path.name, patient=patient, split="train")


@dataclass(frozen=True)
class Planted:
    """Queries of which 20 patients and 10 others' films were trained on, and 5 are indexed."""

    source: EvaluationSource
    encoder: Encoder
    trained_on: Sequence[DatasetImage]

    def loaded(
        self, work: Path, leaks: str = "drop", training: Mapping[str, Any] | None = None
    ) -> EvaluationData:
        tiny = self.encoder.checkpoint
        members = Membership.of(self.trained_on, tiny.card.spec, SALT)
        known = {
            "datasets": {"elsewhere": "digest"},
            "split": asdict(PatientSplit()),
            "membership": members.to_json(),
        }
        card = replace(tiny.card, training=known if training is None else training)
        encoder = Encoder(replace(tiny, card=card), self.encoder._backend)
        settings = replace(SETTINGS, leaks=leaks)
        return load_evaluation_data(self.source, encoder, settings, work, lambda *_: None)[0]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    root = tmp_path_factory.mktemp("planted")
    save(root / "network", Card(NIH14, SPEC, TINY), seeded_weights(TINY, 14, size=SIZE))
    checkpoint = load(root / "network")
    write_phantoms(root / "ours", QUERIES + 30, size=256)
    (root / "copies").mkdir()
    dataset = open_dataset(root / "ours", patients="city")
    images = [
        replace(image, split="test" if n < QUERIES else "train")
        for n, image in enumerate(dataset.images)
    ]
    queries, rest = images[:QUERIES], images[QUERIES:]
    taught = [
        # other films of these patients, which nobody needs to read
        *(replace(image, path=root / "absent.png", source="elsewhere") for image in queries[:20]),
        *(
            copied(image, root / "copies", f"taught-{n}")
            for n, image in enumerate(queries[PATIENTS : PATIENTS + COPIES])
        ),
        *rest[:10],
    ]
    indexed = [
        copied(image, root / "copies", f"indexed-{n}") for n, image in enumerate(queries[-INDEXED:])
    ]
    encoder, store = open_encoder(checkpoint, precision=Precision.FLOAT32), Store(root / "store")
    migrate(store.database_url)
    with open_catalog(store.database_url) as catalog:
        embed_images([*rest, *indexed], store, catalog, encoder)
        build_generation(store, catalog, checkpoint)
    source = EvaluationSource(replace(dataset, images=tuple(images)), store)
    return Planted(source, encoder, taught)


def test_leaks_are_counted_and_refused_with_what_to_do(planted: Planted, tmp_path: Path) -> None:
    with pytest.raises(Mismatch, match="--leaks drop") as refused:
        planted.loaded(tmp_path, "refuse")
    told = str(refused.value)
    assert "Of 40 queried patients 20 have a digest of the training's" in told
    assert "Of 40 queried pictures 10 are the training's, and 5 are indexed" in told
    assert "leave the 35 images out" in told


def test_leaks_are_left_out_on_demand_and_their_counts_reported(
    planted: Planted, tmp_path: Path
) -> None:
    data = planted.loaded(tmp_path)
    assert [image.patient for image in data.queries.records] == [
        image.patient for image in planted.source.dataset.images[30:35]
    ]
    assert set(data.queries.boxes) == set(data.queries.maps) <= set(range(5))
    assert data.leaks["patients of the training"] == PATIENTS
    assert data.leaks["patients of the training, by chance"] < 0.1
    assert data.leaks["pictures of the training"] == COPIES
    assert data.leaks["pictures indexed under another patient"] == INDEXED
    assert data.leaks["images left out"] == 35
    assert "20 have a digest" in data.trained


def test_a_training_before_this_one_is_compared_too(planted: Planted, tmp_path: Path) -> None:
    members = Membership.of(planted.trained_on, SPEC, SALT).to_json()
    before = {"datasets": {"elsewhere": "digest"}, "membership": members}
    later = {"datasets": {"here": "another"}, "initial_training": before}
    data = planted.loaded(tmp_path, training=later)
    assert data.leaks["patients of the training"] == PATIENTS
    assert "keeps no digests" in data.trained  # the later one


def test_a_checkpoint_without_digests_is_said_to_tell_nothing(
    planted: Planted, tmp_path: Path
) -> None:
    """But what is indexed under another patient is seen all the same."""
    data = planted.loaded(tmp_path, training={})
    assert "patients and pictures that it saw under other names cannot be told" in data.trained
    assert "Of 40 queried pictures 5 are indexed" in data.trained
    assert data.leaks["every training keeps digests"] is False
    assert data.leaks["pictures of the training"] is None
    assert len(data.queries) == QUERIES - INDEXED


def test_of_another_identity_domain_only_pictures_are_compared(
    planted: Planted, tmp_path: Path
) -> None:
    elsewhere = [replace(image, patients="village") for image in planted.trained_on]
    data = replace(planted, trained_on=elsewhere).loaded(tmp_path)
    assert "only pictures could be compared" in data.trained
    assert data.leaks["patients of the training"] == 0
    assert data.leaks["pictures of the training"] == COPIES


def test_what_luck_explains_is_told_and_not_refused(planted: Planted, tmp_path: Path) -> None:
    """As many strangers' digests as there are in all: each patient of the queries has one."""
    members = Membership(
        b"salt", 4, np.arange(12, dtype=np.uint32), np.empty((0, 32), np.uint8), ("city",)
    )
    assert members.strangers == 0.75
    # the copies in the index would be refused rightly
    images = planted.source.dataset.images[: QUERIES - INDEXED]
    source = replace(planted.source, dataset=replace(planted.source.dataset, images=images))
    training = {"datasets": {"elsewhere": "digest"}, "membership": members.to_json()}
    data = replace(planted, source=source).loaded(tmp_path, "refuse", training)
    assert 0 < data.leaks["patients of the training"] < len(data.queries) == 35
    assert data.leaks["images left out"] == 0


def test_images_of_train_of_a_set_that_was_trained_on_are_no_leak(
    planted: Planted, tmp_path: Path
) -> None:
    """That they were trained on is said by their split."""
    dataset = planted.source.dataset
    taught = tuple(replace(image, split="train") for image in dataset.images[:30])
    source = replace(planted.source, dataset=replace(dataset, images=taught))
    members = Membership.of(planted.trained_on, SPEC, SALT).to_json()
    training = {"datasets": {dataset.name: dataset.digest}, "membership": members, "seed": 0}
    card = replace(planted.encoder.checkpoint.card, training=training)
    encoder = Encoder(replace(planted.encoder.checkpoint, card=card), planted.encoder._backend)
    settings = replace(SETTINGS, splits=("train",))
    data, _ = load_evaluation_data(source, encoder, settings, tmp_path, lambda *_: None)
    assert data.leaks["patients of the training"] == 0
    assert "figures on them are too good" in data.trained


def test_where_all_images_leaked_there_is_nothing_to_evaluate(
    planted: Planted, tmp_path: Path
) -> None:
    dataset = planted.source.dataset
    source = replace(planted.source, dataset=replace(dataset, images=dataset.images[:PATIENTS]))
    with pytest.raises(DatasetError, match="No image would be left"):
        replace(planted, source=source).loaded(tmp_path)


def test_damaged_digests_are_refused(planted: Planted, tmp_path: Path) -> None:
    with pytest.raises(CorruptArtefact, match="take another copy"):
        planted.loaded(tmp_path, training={"membership": {"salt": "%"}})
