"""Reports and outcomes stay through backup, restore into either database, reindex and upgrade."""

import io
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from alembic import command
from xemplar_indexer.backup import back_up, restore
from xemplar_indexer.reindex import reindex

from tests.indexer.test_reindex import Quiet
from tests.stores import SmallStore, small_store
from xemplar.api import Search
from xemplar.archive.store import Store
from xemplar.catalog import CaseReport, migrate, open_catalog
from xemplar.catalog.schema import _config, connect
from xemplar.data.outcomes import Diagnosis, Outcome, Proof
from xemplar.model.checkpoint import keep, load
from xemplar.model.encoder import open_encoder
from xemplar.reports.report import StoredReport
from xemplar.retrieval.retriever import Retriever

REPORTS = (StoredReport("Left effusion.", "Effusion."), StoredReport("No effusion. Mass."))
OUTCOME = Outcome(Diagnosis("Lung Cancer"), Proof("biopsy"), 12)


@dataclass(frozen=True)
class Told:
    """What a store tells of its first two cases, and of words.

    Attributes:
        reports: by case id.
        outcomes: likewise.
        found: ids of the cases that a search by words finds, best first.
    """

    reports: dict[str, CaseReport]
    outcomes: dict[str, tuple[Outcome, ...] | None]
    found: list[str]


def told(store: Store, database: str) -> Told:
    checkpoint = next((store.root / "checkpoints").iterdir())
    with closing(Retriever.open(checkpoint, store, database, opener=open_encoder)) as retriever:
        catalog = retriever.catalog
        cases = catalog.cases(range(1, 100))
        return Told(
            {cases[n].case_id: one for n, one in catalog.reports.of(cases).items()},
            {case.case_id: case.outcomes for case in cases.values() if case.outcomes},
            [
                one.case.case_id
                for one in retriever.ask_words(Search(text="effusion with mass")).neighbours
            ],
        )


@pytest.fixture
def story(tmp_path: Path, tiny_checkpoint: Path) -> SmallStore:
    """A store of which two cases have a report, the second one's labels mined, and one outcome."""
    made = small_store(tmp_path, tiny_checkpoint)
    keep(made.checkpoint, made.store)
    with open_catalog(made.store.database_url) as catalog:
        first, second = (catalog.cases([1, 2])[number] for number in (1, 2))
        images = (first.image_sha256, second.image_sha256)
        catalog.reports.put(dict(zip(images, REPORTS, strict=True)), mined=images[1:])
        catalog.describe(first.case_id, {"outcomes": (OUTCOME,)})
    return made


@pytest.fixture
def before(story: SmallStore) -> Told:
    """What it told at first, which must be something."""
    known = told(story.store, story.store.database_url)
    assert [one.mined for one in known.reports.values()] == [False, True]
    assert list(known.outcomes.values()) == [(OUTCOME,)]
    assert len(known.found) == 2
    return known


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_restored_backup_tells_the_same(
    story: SmallStore, before: Told, tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    out, target = io.BytesIO(), Store(tmp_path / "elsewhere")
    back_up(story.store, story.store.database_url, out)
    database = target.database_url
    if kind == "postgresql":
        database = request.getfixturevalue("postgres").create(f"story_{tmp_path.name[:20]}")
    out.seek(0)
    restore(out, target, database, key=story.store.pseudonym_key.read_bytes())
    assert told(target, database) == before


def test_a_reindex_tells_the_same(story: SmallStore, before: Told) -> None:
    checkpoint = load(story.checkpoint)
    with open_catalog(story.store.database_url) as catalog:
        reindex(story.store, catalog, checkpoint, lambda: open_encoder(checkpoint), Quiet())
    assert told(story.store, story.store.database_url) == before


def test_an_upgraded_catalog_tells_the_same(story: SmallStore, before: Told) -> None:
    url = story.store.database_url
    engine = connect(url)
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0012")  # the first with reports
    engine.dispose()
    migrate(url)
    assert told(story.store, url) == before
