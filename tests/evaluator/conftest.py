"""Phantoms with known findings and boxes, a store of the training ones, and data."""

from dataclasses import dataclass

import pytest
from xemplar_evaluator.data import EvaluationData
from xemplar_evaluator.loading import EvaluationSource, load_evaluation_data
from xemplar_evaluator.settings import EvaluationSettings

from xemplar.archive.store import Store
from xemplar.catalog import migrate, open_catalog
from xemplar.data.datasets import open_dataset
from xemplar.indexing.job import embed_images
from xemplar.indexing.publishing import build_generation
from xemplar.model.checkpoint import Checkpoint
from xemplar.model.encoder import Encoder, Precision, open_encoder
from xemplar.phantom import write_phantoms

IMAGES = 80
SETTINGS = EvaluationSettings(
    splits=("test",),
    resamples=100,
    quantus_samples=3,
    lipschitz_samples=2,
    flipping_steps=4,
    randomisation_samples=3,
    masking_pairs=2,
    perturbations=12,
)


@dataclass(frozen=True)
class Phantoms:
    """A data set of phantoms whose training images are indexed with the tiny checkpoint."""

    source: EvaluationSource
    encoder: Encoder


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory, tiny: Checkpoint) -> Phantoms:
    """80 phantoms of 64 pixels: 56 indexed for training, 8 to tune on, 16 to ask for."""
    root = tmp_path_factory.mktemp("evaluated")
    write_phantoms(root / "phantoms", IMAGES, size=64)
    dataset, store = open_dataset(root / "phantoms"), Store(root / "store")
    encoder = open_encoder(tiny, precision=Precision.FLOAT32)
    migrate(store.database_url)
    with open_catalog(store.database_url) as catalog:
        train = [image for image in dataset.images if image.split == "train"]
        embed_images(train, store, catalog, encoder)
        build_generation(store, catalog, tiny)
    return Phantoms(EvaluationSource(dataset, store), encoder)


@pytest.fixture(scope="session")
def data(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> EvaluationData:
    """What the studies work on, of the phantoms."""
    work = tmp_path_factory.mktemp("work")
    return load_evaluation_data(phantoms.source, phantoms.encoder, SETTINGS, work, lambda *_: None)[
        0
    ]
