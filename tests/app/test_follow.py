"""A running service takes over what is published, and no request notices."""

import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update
from xemplar_app import following, main
from xemplar_app.main import create_app
from xemplar_app.opening import open_retriever
from xemplar_app.settings import ServiceSettings
from xemplar_indexer.purge import purge
from xemplar_indexer.reindex import reindex

from tests.agreement import wait_until
from tests.app.asking import ask, problem
from tests.images import drawn_image, encoded, seeded_weights
from tests.stores import SmallStore
from xemplar.archive.media import Media
from xemplar.archive.store import Store
from xemplar.catalog import Description, open_catalog
from xemplar.catalog.tables import RemovalRow
from xemplar.imaging import decode
from xemplar.index import SimilarityCalibration, current, publish
from xemplar.indexing.publishing import activate, build_generation
from xemplar.model.checkpoint import keep, load, save
from xemplar.model.encoder import Precision, open_encoder
from xemplar.retrieval import render
from xemplar.retrieval.ingest import add_case, delete_case, embed_stored


def published(own: SmallStore, calibration: SimilarityCalibration | None = None) -> str:
    """The name of a new generation of the same cases."""
    with open_catalog(own.store.database_url) as catalog:
        return build_generation(
            own.store, catalog, load(own.checkpoint), calibration=calibration
        ).name


def until(client: TestClient, image: bytes, right: Callable[[dict[str, object]], bool]) -> None:
    """Ask, and never be refused, until an answer is right."""
    wait_until(lambda: right(ask(client, image, k=3)))


def test_a_new_generation_answers_soon_and_no_request_fails(
    own_client: TestClient, own: SmallStore
) -> None:
    for _ in range(2):
        name = published(own)
        until(own_client, own.images[1], lambda answer, name=name: answer["generation"] == name)
        assert own_client.get("/readyz").json()["generation"] == name


def test_pictures_of_an_answer_can_be_fetched_after_the_generation_has_changed(
    own_client: TestClient, own: SmallStore
) -> None:
    before = ask(own_client, own.images[1], k=2)
    name = published(own)
    until(own_client, own.images[1], lambda answer: answer["generation"] == name)
    for near in before["neighbours"]:
        for address in ("overlay_url", "evidence_url", "query_evidence_url", "image_url"):
            assert own_client.get(near[address]).status_code == 200


def test_a_calibration_that_is_published_stands_beside_the_similarity(
    own_client: TestClient, own: SmallStore
) -> None:
    before = ask(own_client, own.images[1], k=3)
    assert [near["chance"] for near in before["neighbours"]] == [None] * 3
    digest = load(own.checkpoint).digest
    curve = SimilarityCalibration(digest, "drawn", 12, 144, (0.0, 1.0), (0.25, 0.75), 0.5)
    name = published(own, curve)
    until(own_client, own.images[1], lambda answer: answer["generation"] == name)
    answer = ask(own_client, own.images[1], k=3)
    assert answer["chance_measured_on"] == {"source": "drawn", "images": 12, "ill": 0.5}
    for near in answer["neighbours"]:
        assert near["chance"] == pytest.approx(0.25 + near["similarity"] / 2)


def test_a_damaged_generation_is_told_and_the_old_one_goes_on_answering(
    own_client: TestClient,
    own: SmallStore,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = ask(own_client, own.images[1])["generation"]
    with open_catalog(own.store.database_url) as catalog:
        checkpoint = load(own.checkpoint)
        name = build_generation(own.store, catalog, checkpoint, go_live=False).name
    (own.store.generations / name / "ids.npy").write_bytes(b"damaged")
    with caplog.at_level(logging.WARNING, "xemplar"):
        publish(own.store, name)
        until(own_client, own.images[1], lambda answer: bool(caplog.records))
        assert ask(own_client, own.images[1])["generation"] == old
    assert "generations: failed, and is tried again" in caplog.text
    assert "ids.npy" in caplog.text
    looks: list[Store] = []

    def looked(store: Store) -> str:
        looks.append(store)
        return current(store)

    monkeypatch.setattr(following, "current", looked)
    wait_until(lambda: len(looks) > 2)  # the first two have ended
    assert len(caplog.records) == 1


def test_a_file_that_is_cut_under_a_service_is_told_and_the_next_generation_answers(
    own_client: TestClient, own: SmallStore
) -> None:
    """Reading the mapped file would kill the process."""
    old = ask(own_client, own.images[1])["generation"]
    with (own.store.generations / old / "vectors.npy").open("r+b") as file:
        file.truncate(100)
    files = {"image": ("image.png", own.images[1], "image/png")}
    problem(own_client.post("/query", files=files), 500, "CorruptArtefact")
    assert own_client.get("/healthz").status_code == 200
    with open_catalog(own.store.database_url) as catalog:
        new = build_generation(own.store, catalog, load(own.checkpoint)).name
    wait_until(lambda: own_client.post("/query", files=files).status_code == 200)
    assert ask(own_client, own.images[1])["generation"] == new


def until_told(client: TestClient, task: str, *, failing: bool) -> None:
    """Ask /readyz, which stays 200, until it says so of a task."""

    def told() -> bool:
        response = client.get("/readyz")
        assert response.status_code == 200, response.text
        return (response.json()["tasks"][task]["failing"] is not None) == failing

    wait_until(told)


def test_a_generation_whose_checkpoint_is_missing_stops_nothing(
    own_client: TestClient, own: SmallStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = ask(own_client, own.images[1])["generation"]
    card = load(own.checkpoint).card
    save(tmp_path / "x", card, seeded_weights(card.architecture, len(card.findings), seed=9))
    other = load(keep(tmp_path / "x", own.store))
    with open_catalog(own.store.database_url) as catalog:
        encoder = open_encoder(other, precision=Precision.FLOAT32)
        embed_stored(
            catalog.not_embedded(other.digest).tolist(), encoder, catalog, Media(own.store.media)
        )
        name = build_generation(own.store, catalog, other, go_live=False).name
    own.store.checkpoint(other.digest).unlink()
    publish(own.store, name)
    until_told(own_client, "generations", failing=True)
    assert ask(own_client, own.images[1])["generation"] == old
    assert caplog.text.count("generations: failed") == 1
    new = published(own)
    until(own_client, own.images[1], lambda answer: answer["generation"] == new)
    until_told(own_client, "generations", failing=False)


def test_what_another_process_puts_in_or_removes_is_taken_over(
    own_client: TestClient, own: SmallStore
) -> None:
    """Its own catalog and media, as another service would have them."""
    image, media = encoded(drawn_image(77)), Media(own.store.media)
    encoder = open_encoder(load(own.checkpoint), precision=Precision.FLOAT32)
    with open_catalog(own.store.database_url) as catalog:
        case = add_case(decode(image), Description(source="elsewhere"), encoder, catalog, media)
        until(own_client, image, lambda answer: first_of(answer) == case.case_id)
        delete_case(case.case_id, catalog, media)
        until(own_client, image, lambda answer: first_of(answer) != case.case_id)


@pytest.mark.parametrize("asked", ["query", "similar"])
def test_a_case_that_is_removed_while_its_overlay_is_drawn_is_left_out_of_the_answer(
    own_client: TestClient, own: SmallStore, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    def question() -> dict[str, Any]:
        if asked == "query":
            return ask(own_client, own.images[1], k=3, include="overlays")
        address = f"/cases/{sha256(own.images[1]).hexdigest()[:16]}/similar"
        response = own_client.get(address, params={"k": 3, "include": "overlays"})
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    before = [near["case_id"] for near in question()["neighbours"]]
    overlays, media, doomed = render.overlays, Media(own.store.media), [*before[1:]]

    def removed_first(*args: Any) -> dict[str, bytes]:
        if doomed:
            with open_catalog(own.store.database_url) as catalog:
                delete_case(doomed.pop(), catalog, media)
        return overlays(*args)

    monkeypatch.setattr(render, "overlays", removed_first)
    answer = question()
    after = [near["case_id"] for near in answer["neighbours"]]
    assert doomed == []
    assert after[0] == before[0]
    assert not set(before[1:]) & set(after)
    assert all(shown["overlay"] for shown in (answer, *answer["neighbours"]))
    (entry,) = own_client.get("/audit", params={"action": asked, "limit": 1}).json()["entries"]
    assert entry["subject"] == (answer["query_id"] if asked == "query" else entry["subject"])
    assert entry["results"] == after


class Silent:
    """A watcher that watches nothing."""

    def moved(self, done: int, total: int) -> None: ...

    def say(self, line: str) -> None: ...

    def confirm(self) -> None: ...


def test_another_checkpoint_answers_with_its_generation_and_goes_back(
    own_client: TestClient, own: SmallStore, tmp_path: Path
) -> None:
    old = load(own.checkpoint)
    other = tmp_path / "other.safetensors"
    save(other, old.card, seeded_weights(old.card.architecture, len(old.card.findings), seed=9))
    new = load(keep(other, own.store))
    first = ask(own_client, own.images[1], k=2)
    with open_catalog(own.store.database_url) as catalog:
        reindex(own.store, catalog, new, lambda: open_encoder(new), Silent())
        until(own_client, own.images[1], lambda answer: answer["checkpoint"] == new.digest)
        assert first_of(ask(own_client, own.images[1])) == first_of(first)  # each finds itself
        # what the old network saw cannot be compared with what the new one sees
        gone = own_client.get(first["neighbours"][1]["evidence_url"])
        assert gone.status_code == 404
        assert "send the image again" in gone.json()["detail"]
        activate(own.store, catalog, first["generation"])
    until(own_client, own.images[1], lambda answer: answer["checkpoint"] == old.digest)


def first_of(answer: dict[str, Any]) -> str:
    return str(answer["neighbours"][0]["case_id"])


def removed_days_ago(own: SmallStore, days: int) -> None:
    """Let all removals be so old."""
    with open_catalog(own.store.database_url) as catalog, catalog.engine.begin() as connection:
        connection.execute(
            update(RemovalRow).values(removed_at=datetime.now(UTC) - timedelta(days=days))
        )


def removal_age(client: TestClient) -> float:
    (line,) = re.findall(r"^xemplar_removal_age_seconds (\S+)$", client.get("/metrics").text, re.M)
    return float(line)


def test_a_removal_queues_its_purge_and_tells_for_how_long_it_is_on_the_disk(
    own: SmallStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "REMOVALS_SECONDS", 0.05)
    settings = ServiceSettings(
        store=own.store.root, checkpoint=own.checkpoint, precision=Precision.FLOAT32
    )
    with TestClient(create_app(settings, open_retriever(settings))) as client:
        assert removal_age(client) == 0
        for case in client.get("/cases", params={"limit": 2}).json()["cases"]:
            assert client.delete(f"/cases/{case['case_id']}").status_code == 204
        wait_until(lambda: removal_age(client) > 0)
        assert [job["kind"] for job in client.get("/jobs").json()["jobs"]] == ["purge"]
        assert "still in the index files" not in caplog.text
        removed_days_ago(own, 2)  # and no worker runs
        wait_until(lambda: removal_age(client) > 2 * 86400 - 1)
        wait_until(lambda: "still in the index files" in caplog.text)
        with open_catalog(own.store.database_url) as catalog:
            purge(
                own.store,
                catalog,
                load(own.checkpoint),
                lambda: pytest.fail("no image is to be embedded"),
                Silent(),
            )
        wait_until(lambda: removal_age(client) == 0)
        assert caplog.text.count("still in the index files") == 1
        assert len(client.get("/jobs").json()["jobs"]) == 1
