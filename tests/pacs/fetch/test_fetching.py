"""Back-indexing: complete, never twice, and the same catalog as from files."""

import re
from pathlib import Path

import pytest
from pydicom.uid import DigitalXRayImageStorageForProcessing
from sqlalchemy import select
from xemplar_pacs.fetch import fetching
from xemplar_pacs.fetch.fetching import NO_UID, OTHER_CLASS
from xemplar_pacs.fetch.query import fetch_query

from tests.images import drawn_image, encoded
from tests.pacs.fetch.conftest import Runner, archived
from tests.pacs.films import ELSEWHERE, IDENTITY, cr_film
from tests.pacs.web_archive import Answer, WebArchive, enveloped
from xemplar.archive.media import Media
from xemplar.archive.store import Store
from xemplar.catalog import Catalog, migrate, open_catalog
from xemplar.catalog.tables import CaseRow, EmbeddingRow
from xemplar.data.datasets import DatasetImage
from xemplar.errors import ArchiveUnreachable, ConfigurationError
from xemplar.indexing.job import embed_images
from xemplar.model.encoder import Encoder
from xemplar.retrieval.ingest import delete_case


def rows(catalog: Catalog) -> dict[str, dict[str, object]]:
    """Case id -> all that is stored of the case, apart from its number and the time."""
    query = select(*CaseRow.__table__.columns, EmbeddingRow.vector, EmbeddingRow.cams)
    with catalog.engine.connect() as connection:
        found = connection.execute(query.join(EmbeddingRow)).mappings().all()
    passing = ("id", "created_at", "change")
    return {
        row["case_id"]: {name: value for name, value in row.items() if name not in passing}
        for row in found
    }


def test_cases_are_those_of_the_same_files_in_a_folder(
    run: Runner, web: WebArchive, catalog: Catalog, encoder: Encoder, store: Store, tmp_path: Path
) -> None:
    run()
    paths = [tmp_path / f"{number}.dcm" for number in range(len(web.films))]
    for path, film in zip(paths, web.films, strict=True):
        path.write_bytes(film)
    images = [
        DatasetImage(path, "pacs", patient=f"PLANTED-{number}", patients="pacs:PLANTED-ISSUER")
        for number, path in enumerate(paths)
    ]
    other = Store(tmp_path / "other")
    migrate(other.database_url, other)
    other.pseudonym_key.write_bytes(store.pseudonym_key.read_bytes())
    with open_catalog(other.database_url) as plain:
        embed_images(images, other, plain, encoder)
        assert rows(catalog) == rows(plain)


def test_a_patient_is_known_by_a_pseudonym(run: Runner, catalog: Catalog, store: Store) -> None:
    run()
    expected = {store.pseudonym("pacs:PLANTED-ISSUER", f"PLANTED-{n}") for n in range(5)}
    assert {row["patient"] for row in rows(catalog).values()} == expected


def test_nothing_is_fetched_twice(run: Runner, web: WebArchive) -> None:
    assert run().embedded == 5
    web.asked.clear()
    assert run().embedded == 0
    assert (run.fetching.before, run.fetching.finished) == (5, True)
    assert not any("/instances" in path for path in web.asked)


def test_a_study_that_gets_another_image_is_searched_again(run: Runner, web: WebArchive) -> None:
    run()
    web.films.append(archived(5, StudyInstanceUID="1.2.3.0"))
    web.asked.clear()
    assert run().embedded == 1
    assert len(web.files_asked) == 1


def test_many_studies_come_in_pages(
    run: Runner, web: WebArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "STUDIES", 4)
    run()
    pages = [re.search(r"offset=(\d+)", path) for path in web.asked if "offset" in path]
    assert [int(page[1]) for page in pages if page] == [0, 4, 5]
    assert run.result.embedded == 5


def test_an_archive_without_pages_is_read_once(run: Runner, web: WebArchive) -> None:
    whole = web.answer("/dicom-web/studies?offset=0&limit=100")
    web.fault = lambda path: whole if path.startswith("/dicom-web/studies?") else None
    assert run().embedded == 5
    assert run.fetching.finished


def test_only_what_the_query_names_is_fetched(run: Runner, web: WebArchive) -> None:
    web.films += [
        archived(5, BodyPartExamined="HAND"),
        archived(6, StudyDate="20190101"),
        cr_film(drawn_image(200), StudyInstanceUID="1.2.3.7", BodyPartExamined="CHEST"),
    ]
    assert run(fetch_query(["DX"], "chest", "20200101-")).embedded == 5
    assert {path.split("/")[3].partition("?")[0] for path in web.files_asked} == {
        f"1.2.3.{number}" for number in range(5)
    }


def test_another_query_finds_what_the_first_left(run: Runner, web: WebArchive) -> None:
    web.films.append(
        cr_film(drawn_image(200), StudyInstanceUID="1.2.3.0", SOPInstanceUID="1.2.5.9")
    )
    assert run(fetch_query(["DX"])).embedded == 5
    assert run(fetch_query(["CR"])).embedded == 1


def test_an_archive_that_passes_over_conditions_is_corrected(run: Runner, web: WebArchive) -> None:
    web.films.append(archived(5, BodyPartExamined="HAND"))
    web.fault = lambda path: (
        web.answer(re.sub("Modality=..&BodyPartExamined=CHEST", "", path))
        if "BodyPart" in path
        else None
    )
    assert run(fetch_query(["DX"], "CHEST")).embedded == 5


def test_objects_of_another_class_are_not_asked_for(run: Runner, web: WebArchive) -> None:
    web.films[0] = archived(0, SOPClassUID=DigitalXRayImageStorageForProcessing)
    assert run().embedded == 4
    assert run.fetching.skipped == {OTHER_CLASS: 1}
    assert len(web.files_asked) == 4


def test_an_image_that_vanished_is_left_out_and_looked_for_again(
    run: Runner, web: WebArchive
) -> None:
    web.fault = lambda path: (404, "text/plain", b"") if path.endswith("1.2.5.3") else None
    assert run().embedded == 4
    assert [image.reason for image in run.result.unreadable] == ["it is no longer in the archive"]
    web.fault = lambda _: None
    assert run().embedded == 1


def test_a_study_that_vanished_is_left_out(run: Runner, web: WebArchive) -> None:
    web.fault = lambda path: (404, "text/plain", b"") if "1.2.3.3/instances?" in path else None
    assert run().embedded == 4
    assert run.fetching.skipped == {"it is no longer in the archive": 1}


@pytest.mark.parametrize(
    "answer",
    [
        (200, "text/html", b"<html>PLANTED</html>"),
        (200, 'multipart/related; type="application/dicom"', b"--x\r\n\r\n"),
        (200, 'multipart/related; type="application/dicom"; boundary=x', b"--x\r\nhalf a part"),
        (406, "text/plain", b"PLANTED"),
        (500, "text/plain", b"PLANTED"),
    ],
)
def test_an_answer_without_a_file_is_left_out_and_asked_for_again(
    run: Runner, web: WebArchive, answer: Answer
) -> None:
    web.fault = lambda path: answer if path.endswith("1.2.5.3") else None
    assert run().embedded == 4
    (left_out,) = run.result.unreadable
    assert left_out.reason.startswith("the archive ")
    assert "PLANTED" not in left_out.reason
    web.fault = lambda _: None
    assert run().embedded == 1


def test_a_damaged_image_is_left_out_for_good(run: Runner, web: WebArchive) -> None:
    broken = enveloped(web.films[3][:400])
    web.fault = lambda path: broken if path.endswith("1.2.5.3") else None
    assert run().embedded == 4
    web.asked.clear()
    run()
    assert not web.files_asked


def test_something_without_a_valid_uid_is_not_asked_for(run: Runner, web: WebArchive) -> None:
    def faulty(path: str) -> Answer | None:
        status, kind, body = web.answer(path)
        return (status, kind, body.replace(b"1.2.3.3", b"../secret"))

    web.fault = lambda path: faulty(path) if path.startswith("/dicom-web/studies?") else None
    assert run().embedded == 4
    assert run.fetching.skipped == {NO_UID: 1}


def test_an_archive_that_goes_away_loses_nothing(
    run: Runner, web: WebArchive, catalog: Catalog
) -> None:
    web.fault = lambda path: (503, "text/plain", b"") if path.endswith("1.2.5.3") else None
    with pytest.raises(ArchiveUnreachable, match="run the same command again"):
        run()
    web.fault = lambda _: None
    run()
    assert len(rows(catalog)) == 5


def test_a_run_that_is_cut_off_between_catalog_and_journal_adds_no_case_twice(
    run: Runner, web: WebArchive, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("xemplar_pacs.fetch.fetching.Fetching.kept", lambda *_: None)
        assert run().embedded == 5
    assert (run().embedded, run.result.reused) == (0, 5)
    assert len(rows(catalog)) == 5


def test_a_removed_case_comes_back_only_if_told(
    run: Runner, web: WebArchive, catalog: Catalog, store: Store
) -> None:
    run()
    delete_case(next(iter(rows(catalog))), catalog, Media(store.media))
    assert run().embedded == 0
    assert run(again=True).embedded == 1


def test_a_run_ends_where_its_hours_do_and_the_next_goes_on(run: Runner, web: WebArchive) -> None:
    asked = iter([True] * 4)
    run(may_go_on=lambda: next(asked, False))
    assert not run.fetching.finished
    assert 0 < run.result.embedded < 5
    first = run.result.embedded
    assert run().embedded == 5 - first


def test_no_identity_reaches_catalog_or_log(
    run: Runner, web: WebArchive, store: Store, catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    run()
    catalog.close()
    written = b"".join(path.read_bytes() for path in store.root.rglob("*") if path.is_file())
    planted = [*ELSEWHERE.values(), *IDENTITY.values(), "1.2.3.", "1.2.4.", "1.2.5.", "PLANTED-"]
    planted.remove(IDENTITY["PatientSex"])
    assert [one for one in planted if one.encode() in written] == []
    assert [one for one in planted if one in caplog.text] == []


def test_a_file_that_is_no_dicom_is_told(run: Runner, web: WebArchive) -> None:
    picture = enveloped(encoded(drawn_image(1)))
    web.fault = lambda path: picture if path.endswith("1.2.5.3") else None
    assert run().embedded == 4
    assert "is no DICOM file" in run.result.unreadable[0].reason


def test_a_refused_search_is_told_by_its_attributes(run: Runner, web: WebArchive) -> None:
    web.fault = lambda path: (400, "text/plain", b"PLANTED") if "BodyPart" in path else None
    with pytest.raises(ConfigurationError, match=r"by Modality, BodyPartExamined \(400\)"):
        run(fetch_query(["DX"], "CHEST"))
