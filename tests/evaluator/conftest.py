"""Phantoms with known findings and boxes, a store of the training ones, and material."""

from dataclasses import dataclass

import pytest
from xemplar_evaluator.gathering import Source, gather
from xemplar_evaluator.material import Material
from xemplar_evaluator.settings import Settings
from xemplar_indexer.job import embed_films
from xemplar_indexer.publishing import build_generation

from xemplar.catalog import migrate, open_catalog
from xemplar.checkpoint import Checkpoint
from xemplar.datasets import open_dataset
from xemplar.encoder import Encoder, Precision, open_encoder
from xemplar.phantom import write_phantoms
from xemplar.store import Store

FILMS = 60
SETTINGS = Settings(
    splits=("test",),
    resamples=100,
    quantus_films=3,
    lipschitz_samples=2,
    flipping_steps=4,
    cascade_films=3,
    masking_pairs=2,
    perturbations=12,
)


@dataclass(frozen=True)
class Phantoms:
    """A data set of phantoms whose training films are indexed with the tiny checkpoint."""

    source: Source
    encoder: Encoder


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory, tiny: Checkpoint) -> Phantoms:
    """60 phantoms of 64 pixels: 42 indexed for training, 6 to tune on, 12 to ask for."""
    root = tmp_path_factory.mktemp("evaluated")
    write_phantoms(root / "phantoms", FILMS, size=64)
    dataset, store = open_dataset(root / "phantoms"), Store(root / "store")
    encoder = open_encoder(tiny, precision=Precision.FLOAT32)
    migrate(store.database_url)
    with open_catalog(store.database_url) as catalog:
        train = [film for film in dataset.films if film.split == "train"]
        embed_films(train, store, catalog, encoder)
        build_generation(store, catalog, tiny)
    return Phantoms(Source(dataset, store), encoder)


@pytest.fixture(scope="session")
def material(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Material:
    """What the studies work on, of the phantoms."""
    work = tmp_path_factory.mktemp("work")
    return gather(phantoms.source, phantoms.encoder, SETTINGS, work, lambda *_: None)[0]
