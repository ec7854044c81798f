"""Snapshots: a new generation answers at once; its input validator is fitted afterwards."""

import errno
from collections.abc import Iterator
from typing import NoReturn

import pytest

from tests.stores import CASES, SmallStore
from xemplar.catalog import open_catalog
from xemplar.indexing.publishing import build_generation
from xemplar.model.checkpoint import load
from xemplar.model.encoder import Precision, open_encoder
from xemplar.retrieval import snapshot
from xemplar.retrieval.retriever import Retriever
from xemplar.retrieval.snapshot import new_validator


@pytest.fixture
def retriever(own: SmallStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Retriever]:
    """Its input validator is made from a few images."""
    monkeypatch.setattr(snapshot, "MIN_IMAGES", CASES - 1)
    monkeypatch.setattr("xemplar.imaging.validation.validator.MIN_IMAGES", CASES - 1)
    opened = Retriever.open(
        own.checkpoint,
        own.store,
        opener=lambda checkpoint: open_encoder(checkpoint, precision=Precision.FLOAT32),
    )
    yield opened
    opened.close()


def test_a_generation_is_taken_over_before_the_validator_has_learnt_from_it(
    own: SmallStore, retriever: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = retriever.live
    assert before.validator is not None
    with open_catalog(own.store.database_url) as catalog:
        name = build_generation(own.store, catalog, load(own.checkpoint)).name
    with monkeypatch.context() as patch:
        patch.setattr(snapshot, "new_validator", lambda *_: pytest.fail("that takes long"))
        retriever.refresh()
    assert retriever.generation.name == name
    assert retriever.live.validator is before.validator
    retriever.fit_validator()
    assert retriever.generation.name == name
    assert retriever.live.validator not in (None, before.validator)


def test_what_the_validator_learnt_is_kept_with_the_generation(
    own: SmallStore, retriever: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "fit_validator", lambda *_: pytest.fail("it learns once more"))
    again = new_validator(retriever.live, retriever.catalog, own.store)
    assert again is not None
    kept = own.store.generations / retriever.generation.name / snapshot.VALIDATOR
    kept.unlink()
    with pytest.raises(pytest.fail.Exception, match="it learns once more"):
        new_validator(retriever.live, retriever.catalog, own.store)


def test_a_store_that_cannot_be_written_to_has_a_validator_all_the_same(
    own: SmallStore, retriever: Retriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object) -> NoReturn:
        raise OSError(errno.EROFS, "read-only")

    (own.store.generations / retriever.generation.name / snapshot.VALIDATOR).unlink()
    monkeypatch.setattr("xemplar.imaging.validation.validator.write_file", read_only)
    assert new_validator(retriever.live, retriever.catalog, own.store) is not None


def test_an_image_that_is_removed_meanwhile_does_not_keep_the_validator_from_learning(
    own: SmallStore, retriever: Retriever
) -> None:
    (case, *_) = retriever.catalog.page(retriever.checkpoint.digest)
    retriever.media.remove(case.image_sha256)
    (own.store.generations / retriever.generation.name / snapshot.VALIDATOR).unlink()
    assert new_validator(retriever.live, retriever.catalog, own.store) is not None
