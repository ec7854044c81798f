"""An archive of drawn films, and a store to fetch them into."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from xemplar_pacs.address import archive_address
from xemplar_pacs.fetch.archive import DicomWebArchive
from xemplar_pacs.fetch.fetching import Fetching
from xemplar_pacs.fetch.journal import Journal
from xemplar_pacs.fetch.query import FetchQuery, fetch_query

from tests.images import drawn_image
from tests.pacs.films import film
from tests.pacs.web_archive import WebArchive
from xemplar.archive.store import Store
from xemplar.catalog import Catalog
from xemplar.indexing.job import embed_images
from xemplar.indexing.result import IndexingResult
from xemplar.model.checkpoint import Checkpoint
from xemplar.model.encoder import Encoder, Precision, open_encoder
from xemplar.operations.fetched import Fetched


def archived(number: int, **fields: Any) -> bytes:
    """A film in a study of its own."""
    uids = {
        "StudyInstanceUID": f"1.2.3.{number}",
        "SeriesInstanceUID": f"1.2.4.{number}",
        "SOPInstanceUID": f"1.2.5.{number}",
        "PatientID": f"PLANTED-{number}",
        "BodyPartExamined": "CHEST",
    }
    return film(drawn_image(100 + number), **{**uids, **fields})


@pytest.fixture
def web() -> Iterator[WebArchive]:
    """Five films, each in its own study."""
    with WebArchive([archived(number) for number in range(5)]).running() as running:
        yield running


@pytest.fixture(scope="session")
def encoder(tiny: Checkpoint) -> Encoder:
    return open_encoder(tiny, precision=Precision.FLOAT32)


class Runner:
    """Fetches into a store.

    Attributes:
        result: of the last run's index job.
        fetching: the last run.
    """

    def __init__(self, web: WebArchive, store: Store, catalog: Catalog, encoder: Encoder) -> None:
        self._web, self._store, self._catalog = web, store, catalog
        self._embed = partial(
            embed_images, store=store, catalog=catalog, encoder=encoder, workers=2
        )

    def __call__(
        self, query: FetchQuery = fetch_query(["CR", "DX"]), *, again: bool = False, **options: Any
    ) -> IndexingResult:
        archive = DicomWebArchive(archive_address(self._web.url), waits=())
        journal = Journal(self._store, Fetched(self._catalog.engine), query, again=again)
        self.fetching = Fetching(archive, query, journal, "pacs", **options)
        try:
            self.result = self._embed(
                self.fetching.images(), load=self.fetching.load, on_kept=self.fetching.kept
            )
        finally:
            archive.close()
        return self.result


@pytest.fixture
def run(web: WebArchive, store: Store, catalog: Catalog, encoder: Encoder) -> Runner:
    return Runner(web, store, catalog, encoder)
