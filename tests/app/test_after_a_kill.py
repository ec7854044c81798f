"""A service that starts finishes what a killed one had begun."""

from fastapi.testclient import TestClient
from xemplar_app.main import create_app
from xemplar_app.opening import open_retriever
from xemplar_app.settings import ServiceSettings

from tests.stores import SmallStore
from xemplar.archive.media import Media
from xemplar.catalog import open_catalog
from xemplar.model.checkpoint import load
from xemplar.model.encoder import Precision


def test_pictures_of_a_case_whose_removal_was_cut_off_are_deleted(own: SmallStore) -> None:
    checkpoint, media = load(own.checkpoint), Media(own.store.media)
    with open_catalog(own.store.database_url) as catalog:
        gone, stays, *_ = catalog.page(checkpoint.digest)
        catalog.remove([gone.case_id])  # the kill came before its pictures were deleted
    assert media.has(gone.image_sha256, checkpoint.card.spec)
    settings = ServiceSettings(
        store=own.store.root, checkpoint=own.checkpoint, precision=Precision.FLOAT32
    )
    with TestClient(create_app(settings, open_retriever(settings))) as client:
        assert client.get("/readyz").status_code == 200
        assert not list(own.store.media.rglob(f"*{gone.image_sha256}*"))
        assert media.has(stays.image_sha256, checkpoint.card.spec)
