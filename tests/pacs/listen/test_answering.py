"""Received images are asked about, indexed, or both; results go to the archive, once."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from xemplar_pacs.listen.answering import Answering
from xemplar_pacs.listen.node import Node
from xemplar_pacs.metrics import NodeMetrics
from xemplar_pacs.outbox.backoff import Backoff
from xemplar_pacs.outbox.outbox import Outbox, image_digest

from tests.agreement import PATIENCE, wait_until
from tests.images import drawn_image
from tests.pacs.films import IDENTITY, STUDY, cr_film, film
from tests.pacs.listen.conftest import settings_of, started
from tests.pacs.peers import Archive, send
from xemplar.catalog import case_id_of
from xemplar.errors import DatabaseUnreachable
from xemplar.imaging.dicom.study import study_day
from xemplar.operations.audit import Audit
from xemplar.retrieval.references import StudyReferences
from xemplar.retrieval.retriever import Retriever

IMAGE = drawn_image(50, 120, 100)


def kinds(archive: Archive, number: int) -> list[str]:
    return sorted(one.Modality for one in archive.wait_for(number))


def test_results_come_back_into_the_study(
    folder: Path, retriever: Retriever, archive: Archive, outbox: Outbox
) -> None:
    with started(folder, retriever, archive=archive.url) as node:
        assert send(node.server.port, film(IMAGE)) == [0]
        results = archive.wait_for(2)
        wait_until(lambda: not outbox.all())
    assert {one.StudyInstanceUID for one in results} == {STUDY}
    assert {str(one.PatientName) for one in results} == {IDENTITY["PatientName"]}
    assert sorted(one.Modality for one in results) == ["OT", "SR"]
    assert list((folder / "spool").iterdir()) == []


@pytest.mark.parametrize(("wanted", "modality"), [("report", "SR"), ("picture", "OT")])
def test_only_the_results_that_are_wanted_are_sent(
    folder: Path, retriever: Retriever, archive: Archive, outbox: Outbox, wanted: Any, modality: str
) -> None:
    with started(folder, retriever, archive=archive.url, send=wanted) as node:
        send(node.server.port, film(IMAGE))
        assert kinds(archive, 1) == [modality]
        wait_until(lambda: not outbox.all())
    assert len(archive.stored) == 1


def test_every_image_of_a_study_is_answered_once(
    folder: Path, retriever: Retriever, archive: Archive, outbox: Outbox
) -> None:
    study = [film(drawn_image(n, 96, 80), SOPInstanceUID=f"2.25.{n}") for n in range(100, 105)]
    with started(folder, retriever, archive=archive.url, send="report") as node:
        assert send(node.server.port, *study, *study[:2]) == [0] * 7
        reports = archive.wait_for(5)
        wait_until(lambda: not outbox.all())
    assert {len(copies) for copies in archive.stored.values()} == {1}
    told = {
        one.CurrentRequestedProcedureEvidenceSequence[0]
        .ReferencedSeriesSequence[0]
        .ReferencedSOPSequence[0]
        .ReferencedSOPInstanceUID
        for one in reports
    }
    assert told == {f"2.25.{n}" for n in range(100, 105)}


def test_a_repetition_is_answered_once(
    folder: Path, retriever: Retriever, archive: Archive, outbox: Outbox
) -> None:
    with started(folder, retriever, archive=archive.url) as node:
        for _ in range(2):
            assert send(node.server.port, film(IMAGE)) == [0]
            archive.wait_for(2)
            wait_until(lambda: not outbox.all())
    assert {len(copies) for copies in archive.stored.values()} == {1}


def test_results_wait_for_an_archive_that_is_away(
    folder: Path, retriever: Retriever, archive: Archive, outbox: Outbox
) -> None:
    archive.stop()
    with started(folder, retriever, archive=archive.url) as node:
        send(node.server.port, film(IMAGE))
        wait_until(lambda: any(one.reason for one in outbox.all()))
        assert {(one.stage, one.tries) for one in outbox.all()} == {("send", 0)}
        archive.start()
        archive.wait_for(2)
        wait_until(lambda: not outbox.all())


def test_a_result_that_the_archive_has_already_is_delivered(
    folder: Path, retriever: Retriever, archive: Archive, outbox: Outbox
) -> None:
    asked: list[int] = []

    def has_it(_: object) -> int:
        asked.append(1)
        return 0x0111

    archive.status = has_it
    with started(folder, retriever, archive=archive.url) as node:
        send(node.server.port, film(IMAGE))
        wait_until(lambda: len(asked) == 2 and not outbox.all())


def test_a_refused_result_is_held_and_goes_out_when_told(
    folder: Path, retriever: Retriever, archive: Archive, outbox: Outbox
) -> None:
    archive.status = 0xA900
    with started(folder, retriever, archive=archive.url, tries=1) as node:
        send(node.server.port, film(IMAGE))
        wait_until(lambda: outbox.counts().get(("structured report", True)) == 1)
        wait_until(lambda: outbox.counts().get(("secondary capture", True)) == 1)
        assert {one.reason for one in outbox.all()} == {"the archive answered with status 0xA900"}
        archive.status = 0x0000
        outbox.retry()
        archive.wait_for(2)


def test_an_archive_without_reports_gets_the_picture(
    folder: Path, retriever: Retriever, outbox: Outbox
) -> None:
    with (
        Archive(["1.2.840.10008.5.1.4.1.1.7"]) as archive,
        started(folder, retriever, archive=archive.url, tries=1) as node,
    ):
        send(node.server.port, film(IMAGE))
        assert kinds(archive, 1) == ["OT"]
        wait_until(lambda: outbox.counts() == {("structured report", True): 1})
        assert "takes no structured report" in outbox.all()[0].reason


def test_indexing_makes_a_case_of_the_patients_pseudonym(
    folder: Path, own_retriever: Retriever, outbox: Outbox
) -> None:
    with started(folder, own_retriever, do="index", source="ward") as node:
        send(node.server.port, cr_film(IMAGE))
        wait_until(lambda: outbox.outcomes() == {"indexed": 1})
    assert outbox.all() == []
    (case,) = own_retriever.catalog.cases([13]).values()
    issuer = IDENTITY["IssuerOfPatientID"]
    pseudonym = own_retriever.store.pseudonym(f"ward:{issuer}", IDENTITY["PatientID"])
    assert (case.source, case.patient, case.sex, case.file) == ("ward", pseudonym, "F", None)


def test_an_indexed_case_leads_to_its_study_where_a_viewer_is_set(
    folder: Path, own_retriever: Retriever, outbox: Outbox
) -> None:
    catalog = own_retriever.catalog
    references = StudyReferences(own_retriever.store, "https://viewer.example/{study}")
    with started(folder, own_retriever, references, do="index") as node:
        send(node.server.port, cr_film(IMAGE))
        wait_until(lambda: outbox.outcomes() == {"indexed": 1})
    (case,) = catalog.cases([13]).values()
    sealed = catalog.reference(case.case_id)
    assert sealed is not None
    assert references.link(case.case_id, sealed) == f"https://viewer.example/{STUDY}"


def test_an_indexed_case_keeps_the_shifted_day_of_its_study_where_that_is_set(
    folder: Path, own_retriever: Retriever, outbox: Outbox
) -> None:
    references = StudyReferences(own_retriever.store, "", days=True)
    film = cr_film(IMAGE)
    with started(folder, own_retriever, references, do="index") as node:
        send(node.server.port, film)
        wait_until(lambda: outbox.outcomes() == {"indexed": 1})
    (case,) = own_retriever.catalog.cases([13]).values()
    assert own_retriever.catalog.reference(case.case_id) is None
    day = study_day(film)
    assert day is not None
    assert case.shifted_day == day + own_retriever.store.shift(str(case.patient))


def test_both_answers_first_and_then_indexes(
    folder: Path, own_retriever: Retriever, archive: Archive, outbox: Outbox
) -> None:
    with started(folder, own_retriever, do="both", archive=archive.url) as node:
        send(node.server.port, film(IMAGE))
        archive.wait_for(2)
        wait_until(lambda: outbox.outcomes() == {"indexed": 1})
        count = own_retriever.catalog.count()
        send(node.server.port, film(IMAGE))
    assert (count, own_retriever.catalog.count()) == (13, 13)


def shown(retriever: Retriever) -> list[tuple[str, ...]]:
    """Cases in the results, newest first."""
    entries = Audit(retriever.catalog.engine).entries(action="dicom ask")
    return [entry.results for entry in entries]


def test_neither_the_image_nor_its_patient_is_a_similar_past_case(
    folder: Path, own_retriever: Retriever, archive: Archive, outbox: Outbox
) -> None:
    study = [film(drawn_image(n, 96, 80), SOPInstanceUID=f"2.25.{n}") for n in range(100, 103)]
    with started(folder, own_retriever, do="both", archive=archive.url, send="report") as node:
        send(node.server.port, *study)
        wait_until(lambda: outbox.outcomes() == {"indexed": 3} and not outbox.all())
    own = {one.case_id for one in own_retriever.catalog.cases(range(13, 20)).values()}
    assert len(own) == 3
    assert not own & {case for results in shown(own_retriever) for case in results}


def test_an_image_that_is_a_case_already_is_not_its_own_answer(
    folder: Path, own_retriever: Retriever, archive: Archive, outbox: Outbox
) -> None:
    nobody = film(IMAGE, PatientID=None)
    with started(folder, own_retriever, do="index") as node:
        send(node.server.port, nobody)
        wait_until(lambda: outbox.outcomes() == {"indexed": 1})
    outbox.forget(0)
    with started(folder, own_retriever, archive=archive.url) as node:
        send(node.server.port, nobody)
        archive.wait_for(2)
    (results,) = shown(own_retriever)
    (case,) = own_retriever.catalog.cases([13]).values()
    assert results
    assert case.case_id not in results


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"BodyPartExamined": "HAND"}, "NotARadiograph"),
        ({"BurnedInAnnotation": "YES"}, "BurnedInText"),
    ],
)
def test_what_may_not_be_a_case_is_none_and_is_counted(
    folder: Path, own_retriever: Retriever, outbox: Outbox, fields: Any, outcome: str
) -> None:
    with started(folder, own_retriever, do="index") as node:
        send(node.server.port, film(IMAGE, **fields))
        wait_until(lambda: outbox.outcomes() == {outcome: 1})
        found = node.metrics.registry.get_sample_value  # counted a moment later
        wait_until(lambda: found("xemplar_pacs_images_total", {"outcome": outcome}) == 1)
    assert outbox.all() == []
    assert own_retriever.catalog.count() == 12


def test_damaged_pixels_are_no_answer_and_stop_nothing(
    folder: Path, retriever: Retriever, archive: Archive, outbox: Outbox
) -> None:
    broken = film(IMAGE, PixelData=b"\0\1" * 7)
    with started(folder, retriever, archive=archive.url) as node:
        assert send(node.server.port, broken, film(IMAGE, SOPInstanceUID="2.25.77")) == [0, 0]
        archive.wait_for(2)
    assert outbox.outcomes() == {"UnreadableImage": 1, "answered": 1}


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Broken:
    """A retriever whose questions raise an error, or none."""

    def __init__(self, retriever: Retriever, error: Exception | None) -> None:
        self._retriever = retriever
        self.error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._retriever, name)

    def ask(self, *arguments: Any) -> Any:
        if self.error is not None:
            raise self.error
        return self._retriever.ask(*arguments)


@pytest.fixture
def failing(
    folder: Path, retriever: Retriever, outbox: Outbox
) -> Callable[[Exception], tuple[Answering, Broken, Time]]:
    def make(error: Exception) -> tuple[Answering, Broken, Time]:
        data, time, broken = film(IMAGE), Time(), Broken(retriever, error)
        outbox.keep(data, image_digest(data), "1.2", "ask")
        answering = Answering(
            outbox,
            broken,
            settings_of(folder, tries=3),
            NodeMetrics(outbox),
            lambda ceiling: Backoff(ceiling, now=time, chance=lambda: 0.0),
        )
        return answering, broken, time

    return make


def test_an_image_waits_while_the_catalog_is_away(
    failing: Callable[..., tuple[Answering, Broken, Time]], outbox: Outbox
) -> None:
    answering, broken, time = failing(DatabaseUnreachable("no database"))
    for _ in range(20):
        assert answering.work()
        assert not answering.work()
        time.now += 1000
    (item,) = outbox.waiting("ask")
    assert (item.tries, item.reason) == (0, DatabaseUnreachable.reason)
    broken.error = None
    assert answering.work()
    assert outbox.outcomes() == {"answered": 1}


def test_an_image_that_fails_unexpectedly_is_held_and_never_lost(
    failing: Callable[..., tuple[Answering, Broken, Time]],
    outbox: Outbox,
    caplog: pytest.LogCaptureFixture,
) -> None:
    answering, broken, time = failing(KeyError("Planted^Patience"))
    for _ in range(3):
        assert answering.work()
        time.now += 1000
    assert not answering.work()
    (item,) = outbox.all()
    assert (item.held, item.tries, item.reason) == (True, 3, "KeyError")
    assert "Planted" not in caplog.text
    broken.error = None
    outbox.retry()
    assert answering.work()
    assert outbox.outcomes() == {"answered": 1}


def test_an_image_whose_file_is_gone_is_held(
    failing: Callable[..., tuple[Answering, Broken, Time]], outbox: Outbox
) -> None:
    answering, _, time = failing(KeyError())
    outbox.path(outbox.all()[0]).unlink()
    for _ in range(3):
        assert answering.work()
        time.now += 1000
    assert not answering.work()
    assert [(one.held, one.reason) for one in outbox.all()] == [(True, "FileNotFoundError")]


def test_the_audit_trail_tells_whose_pictures_went_out(
    folder: Path, own_retriever: Retriever, archive: Archive
) -> None:
    with started(folder, own_retriever, archive=archive.url, cases=3) as node:
        send(node.server.port, film(IMAGE))
        archive.wait_for(2)
    (entry,) = Audit(own_retriever.catalog.engine).entries()
    assert (entry.action, entry.key, len(entry.results)) == ("dicom ask", None, 3)
    known = {
        case_id_of(one.image_sha256) for one in own_retriever.catalog.cases(range(13)).values()
    }
    assert set(entry.results) <= known


def test_images_are_taken_before_the_network_is_there(
    folder: Path, retriever: Retriever, archive: Archive
) -> None:
    with started(folder, archive=archive.url) as node:
        assert send(node.server.port, film(IMAGE)) == [0]
        node.answer(retriever)
        archive.wait_for(2)


def test_a_node_that_stopped_goes_on_where_it_was(
    folder: Path, retriever: Retriever, archive: Archive, outbox: Outbox
) -> None:
    with started(folder, archive=archive.url) as node:
        assert send(node.server.port, film(IMAGE)) == [0]
    with started(folder, retriever, archive=archive.url):
        archive.wait_for(2)
        wait_until(lambda: not outbox.all())


def test_metrics_are_served_and_name_nobody(
    folder: Path, retriever: Retriever, archive: Archive
) -> None:
    import httpx2

    from tests.system.common import free_port

    port = free_port()
    with started(folder, retriever, archive=archive.url, metrics_port=port) as node:
        send(node.server.port, film(IMAGE))
        archive.wait_for(2)
        wait_until(
            lambda: (
                'delivered_total{kind="structured report"} 1.0'
                in httpx2.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE).text
            )
        )
        text = httpx2.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE).text
    assert 'xemplar_pacs_received_total{status="0000"} 1.0' in text
    assert 'xemplar_pacs_items{kind="image",state="held"} 0.0' in text
    assert "Planted" not in text


def test_says_why_once_while_an_archive_is_away(
    folder: Path, retriever: Retriever, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), started(folder, retriever) as node:
        assert isinstance(node, Node)
        send(node.server.port, film(IMAGE))
        found, name = node.metrics.registry.get_sample_value, "xemplar_pacs_delivery_failures_total"
        wait_until(lambda: (found(name, {"why": "away"}) or 0) >= 3)
    assert caplog.text.count("the archive does not answer; results wait") == 1
