"""Cases come, are described anew and go over HTTP, and every search sees it at once."""

import errno
import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import httpx2
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from xemplar_app.main import create_app
from xemplar_app.opening import open_retriever
from xemplar_app.settings import ServiceSettings

from tests.agreement import wait_until
from tests.app.asking import ask, bearer, problem
from tests.images import dicom, drawn_image, encoded
from tests.stores import CASES, SmallStore
from xemplar.archive.media import Media
from xemplar.catalog import Access, Description, open_catalog
from xemplar.catalog.patients import CHANGES_OF_CASE
from xemplar.errors import (
    DatabaseUnreachable,
    NotFound,
    PicturesRemain,
    ReadOnlyStorage,
    StorageFull,
)
from xemplar.imaging import decode
from xemplar.model.checkpoint import load
from xemplar.model.encoder import Precision, open_encoder
from xemplar.operations.keys import Keys, Role
from xemplar.retrieval.ingest import add_case, delete_case

IMAGE = encoded(drawn_image(99))
ABOUT: dict[str, Any] = {
    "source": "clinic",
    "patient": "Doe, Jane 4711",
    "view": "AP",
    "sex": "F",
    "age": 57,
    "present": ["Pleural Effusion", "Mass"],
    "absent": "Edema",
    "split": "train",
}


def put(client: httpx2.Client, image: bytes = IMAGE, **about: Any) -> httpx2.Response:
    return client.post("/cases", data=about, files={"image": image})


def found(client: httpx2.Client, image: bytes = IMAGE, k: int = 3) -> list[str]:
    return [near["case_id"] for near in ask(client, image, k=k)["neighbours"]]


def service_on(own: SmallStore) -> TestClient:
    settings = ServiceSettings(
        store=own.store.root, checkpoint=own.checkpoint, precision=Precision.FLOAT32
    )
    return TestClient(create_app(settings, open_retriever(settings)))


def test_an_image_whose_id_another_one_has_is_a_conflict_and_changes_nothing(
    own_client: TestClient, own: SmallStore
) -> None:
    mine = hashlib.sha256(IMAGE).hexdigest()
    with open_catalog(own.store.database_url) as catalog, catalog.engine.begin() as connection:
        statement = "UPDATE cases SET case_id = :id, image_sha256 = :sha256 WHERE id = 1"
        alike = {"id": mine[:16], "sha256": mine[:16] + "0" * 48}
        connection.execute(text(statement), alike)
    detail = problem(put(own_client, **ABOUT), 409, "CaseIdTaken")
    assert f"another image is case {mine[:16]}" in detail
    assert not Media(own.store.media).files(mine)


def test_a_case_that_was_put_in_is_found_at_once(own_client: TestClient) -> None:
    before = found(own_client)
    response = put(own_client, **ABOUT)
    assert response.status_code == 201, response.text
    case = response.json()
    assert case.pop("warnings") == []
    assert case["case_id"] == hashlib.sha256(IMAGE).hexdigest()[:16]
    assert response.headers["location"] == f"/cases/{case['case_id']}"
    assert (case["source"], case["view"], case["sex"], case["age"]) == ("clinic", "AP", "F", 57)
    assert case["findings"] == ["Effusion", "Mass"]
    shown = own_client.get(response.headers["location"]).json()
    assert shown == {**case, "viewer_url": None}
    assert found(own_client) == [case["case_id"], *before[:2]]
    assert own_client.get(case["image_url"]).status_code == 200
    assert own_client.get("/readyz").json()["cases"] == CASES + 1
    similar = own_client.get(f"/cases/{case['case_id']}/similar").json()["neighbours"]
    assert similar[0]["case_id"] == before[0]


def test_the_same_image_again_changes_only_what_is_named(
    own_client: TestClient, own: SmallStore
) -> None:
    put(own_client, **ABOUT)
    again = put(own_client, source="clinic", age=58)
    assert again.status_code == 200
    assert (again.json()["age"], again.json()["sex"]) == (58, "F")
    assert again.json()["findings"] == ["Effusion", "Mass"]
    assert own_client.get("/readyz").json()["cases"] == CASES + 1
    indexed = put(own_client, own.images[3], source="clinic", present="Hernia")
    assert (indexed.status_code, indexed.json()["findings"]) == (200, ["Hernia"])


def test_no_patient_is_stored_or_told(
    own_client: TestClient, own: SmallStore, caplog: pytest.LogCaptureFixture
) -> None:
    response = put(own_client, **ABOUT)
    assert "Jane" not in response.text
    assert "Jane" not in caplog.text
    for path in own.store.root.rglob("*"):
        if path.is_file():
            assert b"Jane" not in path.read_bytes(), path
    other = put(own_client, encoded(drawn_image(98)), **ABOUT).json()["case_id"]
    with open_catalog(own.store.database_url) as catalog:
        patient = catalog.case(other).patient
    assert patient == own.store.pseudonym("clinic", "Doe, Jane 4711")
    similar = own_client.get(f"/cases/{other}/similar").json()["neighbours"]
    assert response.json()["case_id"] not in [near["case_id"] for near in similar]


def test_a_description_is_changed(own_client: TestClient) -> None:
    address = put(own_client, **ABOUT).headers["location"]
    changed = own_client.patch(address, json={"view": "PA", "sex": None, "uncertain": ["Nodule"]})
    assert changed.status_code == 200, changed.text
    case = changed.json()
    assert (case["view"], case["sex"], case["age"], case["findings"]) == ("PA", None, 57, [])
    assert own_client.get(address).json() == {**case, "viewer_url": None}
    assert own_client.patch(address, json={}).json() == case
    effusion = {"any_of": "Effusion", "source": "clinic"}
    assert own_client.get("/cases", params=effusion).json()["cases"] == []
    own_client.patch(address, json={"present": ["Effusion"]})
    assert len(own_client.get("/cases", params=effusion).json()["cases"]) == 1


@pytest.mark.parametrize("state", ["present", "absent", "uncertain"])
def test_an_unknown_finding_is_refused_with_the_nearest(own_client: TestClient, state: str) -> None:
    before = own_client.get("/readyz").json()["cases"]
    told = problem(
        put(own_client, source="clinic", **{state: "Mass,Efusion"}), 422, "UnknownFinding"
    )
    assert "unknown finding 'Efusion', perhaps Effusion; known here: Atelectasis" in told
    assert own_client.get("/readyz").json()["cases"] == before
    address = put(own_client, **ABOUT).headers["location"]
    problem(own_client.patch(address, json={state: ["Efusion"]}), 422, "UnknownFinding")
    assert own_client.get(address).json()["findings"] == ["Effusion", "Mass"]


def test_findings_are_known_in_any_spelling_and_so_are_those_of_cases(
    own_client: TestClient, own: SmallStore
) -> None:
    address = put(own_client, source="clinic", present="pleural effusion,lung-opacity").headers[
        "location"
    ]
    assert own_client.get(address).json()["findings"] == ["Effusion", "Lung Opacity"]
    with open_catalog(own.store.database_url) as catalog:
        catalog.describe(address.rsplit("/")[-1], {"labels": {"Sarcoid": 1}})
    changed = own_client.patch(address, json={"present": ["SARCOID", "Viral"]})
    assert changed.json()["findings"] == ["Sarcoid", "Viral"]
    twice = own_client.patch(address, json={"present": ["sarcoid"], "absent": ["Sarcoid"]})
    problem(twice, 422, "InvalidArgument")


def test_what_the_header_tells_is_kept_unless_the_client_says_otherwise(
    own_client: TestClient, own: SmallStore
) -> None:
    said = {"ViewPosition": "AP", "PatientSex": "M", "PatientAge": "018M", "StudyDate": "20200229"}
    image = dicom(drawn_image(97), **said)
    case = put(own_client, image, source="clinic", sex="F").json()
    assert (case["view"], case["sex"], case["age"]) == ("AP", "F", 1)
    stored = [path.read_bytes() for path in own.store.root.rglob("*") if path.is_file()]
    assert not any(b"20200229" in content for content in stored)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"age": 200}, "age"),
        ({"age": False}, "age"),
        ({"age": "40"}, "age"),
        ({"sex": "X"}, "sex"),
        ({"source": None}, "source"),
        ({"source": ""}, "source"),
        ({"colour": "red"}, "colour"),
        ({"present": ["Mass"], "absent": ["Mass"]}, "'Mass' is"),
        ({"present": [" "]}, "present"),
        ({"source": "elsewhere"}, "name the patient again"),
        ({"view": "P\0A"}, "view"),
    ],
)
def test_a_change_that_cannot_be_is_refused(
    own_client: TestClient, change: dict[str, Any], what: str
) -> None:
    address = put(own_client, **ABOUT).headers["location"]
    before = own_client.get(address).json()
    response = own_client.patch(address, json=change)
    assert response.status_code == 422, response.text
    assert what in response.json()["detail"]
    assert own_client.get(address).json() == before


def test_a_patient_moves_with_its_source(own_client: TestClient, own: SmallStore) -> None:
    case_id = put(own_client, **ABOUT).json()["case_id"]
    own_client.patch(f"/cases/{case_id}", json={"source": "elsewhere", "patient": "1"})
    with open_catalog(own.store.database_url) as catalog:
        assert catalog.case(case_id).patient == own.store.pseudonym("elsewhere", "1")
    own_client.patch(f"/cases/{case_id}", json={"patient": None})
    with open_catalog(own.store.database_url) as catalog:
        assert catalog.case(case_id).patient is None


def test_a_removed_case_is_gone_at_once_with_its_pictures(
    own_client: TestClient, own: SmallStore
) -> None:
    for image in (IMAGE, own.images[2]):
        sha256 = hashlib.sha256(image).hexdigest()
        put(own_client, image, **ABOUT)
        case_id = found(own_client, image)[0]
        assert sha256.startswith(case_id)
        assert list(own.store.media.rglob(f"*{sha256}*"))
        response = own_client.delete(f"/cases/{case_id}")
        assert (response.status_code, response.content) == (204, b"")
        assert case_id not in found(own_client, image, k=CASES)
        problem(own_client.get(f"/cases/{case_id}"), 404, "NotFound")
        problem(own_client.get(f"/cases/{case_id}/image"), 404, "NotFound")
        problem(own_client.delete(f"/cases/{case_id}"), 404, "NotFound")
        problem(own_client.patch(f"/cases/{case_id}", json={"age": 1}), 404, "NotFound")
        assert not list(own.store.media.rglob(f"*{sha256}*"))


def test_a_removed_image_can_come_back(own_client: TestClient, own: SmallStore) -> None:
    for image in (IMAGE, own.images[2]):
        put(own_client, image, source="clinic")
        case_id = found(own_client, image)[0]
        own_client.delete(f"/cases/{case_id}")
        assert put(own_client, image, source="clinic").status_code == 201
        assert found(own_client, image)[0] == case_id
        assert own_client.get(f"/cases/{case_id}/image").status_code == 200


def test_images_that_are_no_cases(own_client: TestClient) -> None:
    problem(put(own_client, b"no picture", source="clinic"), 400, "UnreadableImage")
    assert "source is missing" in problem(put(own_client), 422, "InvalidArgument")
    no_image = own_client.post("/cases", files={"other": IMAGE}, data={"source": "clinic"})
    problem(no_image, 422, "InvalidArgument")
    twice = own_client.post(
        "/cases", files={"image": IMAGE}, data={"source": ["one", "two"], "age": "5"}
    )
    assert "source" in problem(twice, 422, "InvalidRequest")
    assert own_client.get("/readyz").json()["cases"] == CASES


def test_all_pages_together_are_all_cases(own_client: TestClient) -> None:
    for n in range(3):
        put(own_client, encoded(drawn_image(60 + n)), source="clinic")
    address, seen = "/cases?limit=4", list[str]()
    while address:
        page = own_client.get(address).json()
        seen += [case["case_id"] for case in page["cases"]]
        assert len(page["cases"]) <= 4
        address = page["next"]
    assert len(seen) == len(set(seen)) == CASES + 3
    women = own_client.get("/cases", params={"sex": "F", "limit": 4}).json()
    assert "sex=F" in women["next"]
    assert {case["sex"] for case in women["cases"]} == {"F"}
    problem(own_client.get("/cases?limit=0"), 422, "InvalidRequest")
    problem(own_client.get("/cases?any_of=Nonsense"), 422, "UnknownFinding")


def test_many_at_once(own_client: TestClient) -> None:
    """Queries, and cases that come and go: no request fails."""
    images = [encoded(drawn_image(200 + n)) for n in range(6)]

    def come_and_go(image: bytes) -> bool:
        case_id = put(own_client, image, source="clinic").json()["case_id"]
        there = found(own_client, image, k=1) == [case_id]
        gone = own_client.delete(f"/cases/{case_id}").status_code == 204
        return there and gone and case_id not in found(own_client, image, k=CASES)

    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(come_and_go, images))
    assert own_client.get("/readyz").json()["cases"] == CASES


@pytest.mark.parametrize("other", ["resolution", "format"])
def test_the_same_image_in_another_file_is_the_case_that_was_there(
    own_client: TestClient, other: str
) -> None:
    copy = dicom(drawn_image(99)) if other == "format" else encoded(drawn_image(99, 384, 320))
    first = put(own_client, **ABOUT).json()
    response = put(own_client, copy, source="clinic", age=58)
    assert response.status_code == 200, response.text
    again = response.json()
    assert (again["case_id"], again["age"], again["sex"]) == (first["case_id"], 58, "F")
    assert any(f"as case {first['case_id']}" in warning for warning in again["warnings"])
    assert response.headers["location"] == f"/cases/{first['case_id']}"
    assert own_client.get("/readyz").json()["cases"] == CASES + 1
    answer = ask(own_client, copy, k=CASES)
    assert answer["archived_as"] == first["case_id"] == answer["neighbours"][0]["case_id"]
    own_client.delete(f"/cases/{first['case_id']}")
    assert put(own_client, copy, source="clinic").status_code == 201
    assert ask(own_client, encoded(drawn_image(77)))["archived_as"] is None


def test_copies_that_an_older_archive_holds_take_one_place(own: SmallStore) -> None:
    """They were put in before images were compared."""
    images = (IMAGE, encoded(drawn_image(99, 384, 320)))
    ids = [hashlib.sha256(image).hexdigest()[:16] for image in images]
    encoder = open_encoder(load(own.checkpoint), precision=Precision.FLOAT32)
    with open_catalog(own.store.database_url) as catalog:
        for image in images:
            about = Description(source="clinic")
            add_case(decode(image), about, encoder, catalog, Media(own.store.media))
    with service_on(own) as client:
        for image, own_id in zip(images, ids, strict=True):
            answer = ask(client, image, k=100)
            shown = [near["case_id"] for near in answer["neighbours"]]
            assert (shown[0], len(shown), answer["matched"]) == (own_id, CASES + 1, CASES + 2)
            assert answer["archived_as"] == own_id
            assert len(found(client, image, k=4)) == 4
        similar = client.get(f"/cases/{ids[0]}/similar?k=100").json()["neighbours"]
        assert not {near["case_id"] for near in similar} & set(ids)
        assert put(client, images[1], source="clinic").json()["case_id"] == ids[1]


# FastAPI hides this warning by `catch_warnings`, which two services in one process's threads undo
@pytest.mark.filterwarnings("ignore:The 'alias' attribute")
def test_one_image_that_many_put_in_at_once_is_new_to_one(own: SmallStore) -> None:
    """To two services on one archive, in two files."""
    services = [service_on(own) for _ in range(2)]
    with services[0], services[1], ThreadPoolExecutor(8) as pool:
        uploads = pool.map(lambda n: put(services[n % 2], source="clinic"), range(20))
        answers = [(upload.status_code, upload.json()["case_id"]) for upload in uploads]
        assert sorted(status for status, _ in answers) == [200] * 19 + [201]
        assert {case_id for _, case_id in answers} == {hashlib.sha256(IMAGE).hexdigest()[:16]}
        images = [encoded(drawn_image(98, 96 * n, 80 * n)) for n in (1, 2, 3)]
        uploads = pool.map(lambda n: put(services[0], images[n % 3], source="clinic"), range(12))
        assert sorted(upload.status_code for upload in uploads) == [200] * 11 + [201]
        assert services[0].get("/readyz").json()["cases"] == CASES + 2


def test_another_part_of_the_body_is_taken_only_on_request(own_client: TestClient) -> None:
    leg = dicom(drawn_image(99), BodyPartExamined="LEG")
    refused = problem(put(own_client, leg, source="clinic"), 422, "NotARadiograph")
    assert "shows LEG, not a chest" in refused
    assert "any_body_part=true" in refused
    assert own_client.get("/readyz").json()["cases"] == CASES
    assert any("LEG" in warning for warning in ask(own_client, leg)["warnings"])
    taken = put(own_client, leg, source="clinic", any_body_part="true")
    assert taken.status_code == 201, taken.text
    assert any("LEG" in warning for warning in taken.json()["warnings"])
    assert put(own_client, leg, source="clinic").status_code == 200
    maybe = put(own_client, leg, source="clinic", any_body_part="maybe")
    assert "any_body_part" in problem(maybe, 422, "InvalidRequest")


def test_a_removal_that_failed_says_that_and_why_and_the_case_stays(
    own_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id = put(own_client, source="clinic").json()["case_id"]

    def full(*_: object) -> NoReturn:
        raise StorageFull("/secret/place: no room")

    monkeypatch.setattr("xemplar.catalog.Catalog.remove", full)
    detail = problem(own_client.delete(f"/cases/{case_id}"), 507, "StorageFull")
    assert f"the removal of case {case_id} failed: no room is left" in detail
    assert own_client.get(f"/cases/{case_id}").status_code == 200


def test_a_removal_whose_pictures_remain_says_so_and_is_finished_when_asked_again(
    own_client: TestClient, own: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id = put(own_client, source="clinic").json()["case_id"]

    def refuse(*_: object) -> NoReturn:
        raise ReadOnlyStorage("/secret/place is read-only")

    with monkeypatch.context() as patch:
        patch.setattr("xemplar.archive.media.Media.remove", refuse)
        detail = problem(own_client.delete(f"/cases/{case_id}"), 503, "PicturesRemain")
    assert "its pictures could not be deleted yet" in detail
    assert own_client.get(f"/cases/{case_id}").status_code == 404
    assert list(own.store.media.rglob(f"{case_id}*"))
    assert own_client.delete(f"/cases/{case_id}").status_code == 204
    assert not list(own.store.media.rglob(f"{case_id}*"))
    assert own_client.delete(f"/cases/{case_id}").status_code == 404


@pytest.mark.parametrize(
    ("number", "status", "kind"),
    [
        (errno.ENOSPC, 507, "StorageFull"),
        (errno.EDQUOT, 507, "StorageFull"),
        (errno.EROFS, 503, "ReadOnlyStorage"),
        (errno.EACCES, 503, "ReadOnlyStorage"),
        (errno.EIO, 503, "StorageFailed"),
    ],
)
def test_an_error_of_the_disk_is_answered_with_its_cause(
    own_client: TestClient, monkeypatch: pytest.MonkeyPatch, number: int, status: int, kind: str
) -> None:
    def fail(*_: object) -> NoReturn:
        raise OSError(number, "secret text", "/secret/place")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    response = put(own_client, source="clinic")
    assert "secret" not in problem(response, status, kind)


def test_a_case_whose_pictures_cannot_be_written_is_none(
    own_client: TestClient, own: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise DatabaseUnreachable("gone")

    monkeypatch.setattr("xemplar.catalog.Catalog.add", broken)
    assert put(own_client, source="clinic").status_code == 503
    monkeypatch.undo()
    assert put(own_client, source="clinic").status_code == 201


def test_burnt_in_text_is_taken_only_on_request(own_client: TestClient) -> None:
    image = dicom(drawn_image(99), BurnedInAnnotation="YES")
    refused = problem(put(own_client, image, source="clinic"), 422, "BurnedInText")
    assert "burned_in_text=true" in refused
    assert own_client.get("/readyz").json()["cases"] == CASES
    assert any("burnt" in warning for warning in ask(own_client, image)["warnings"])
    taken = put(own_client, image, source="clinic", burned_in_text="true")
    assert taken.status_code == 201, taken.text
    assert any("burnt" in warning for warning in taken.json()["warnings"])
    assert put(own_client, image, source="clinic").status_code == 200


def test_a_view_is_one_of_a_closed_list(own_client: TestClient) -> None:
    refused = problem(put(own_client, source="clinic", view="latral"), 422, "InvalidArgument")
    assert "unknown view 'latral', perhaps LATERAL" in refused
    case = put(own_client, source="clinic", view="ap supine").json()
    assert case["view"] == "AP"
    address = f"/cases/{case['case_id']}"
    changed = own_client.patch(address, json={"view": "John Doe"})
    assert "unknown view 'John Doe'" in problem(changed, 422, "InvalidArgument")
    assert own_client.patch(address, json={"view": "profil"}).json()["view"] == "LATERAL"
    assert own_client.patch(address, json={"view": None}).json()["view"] is None


def test_a_case_of_an_older_store_keeps_its_view_until_it_is_changed(
    own_client: TestClient, own: SmallStore
) -> None:
    known = own_client.get("/cases").json()["cases"][0]["case_id"]
    with open_catalog(own.store.database_url) as catalog:
        catalog.describe(known, {"view": "AP (paediatric)"})
    assert own_client.get(f"/cases/{known}").json()["view"] == "AP (paediatric)"
    found = own_client.get("/cases", params={"view": "ap (paediatric)"}).json()["cases"]
    assert [case["case_id"] for case in found] == [known]
    changed = own_client.patch(f"/cases/{known}", json={"age": 7}).json()
    assert (changed["age"], changed["view"]) == (7, "AP (paediatric)")


@pytest.mark.parametrize("name", ["source", "patient", "split", "present"])
@pytest.mark.parametrize("harm", ["\x1b[2J", "\u202e", "\n"])
def test_no_word_holds_control_characters(own_client: TestClient, name: str, harm: str) -> None:
    word = f"a{harm}b"
    refused = problem(put(own_client, **{"source": "clinic", name: word}), 422, "InvalidRequest")
    assert f"it holds the control character U+{ord(harm[0]):04X} at position 2" in refused
    known = own_client.get("/cases").json()["cases"][0]["case_id"]
    change = {"patient": None, name: [word] if name == "present" else word}
    refused = problem(own_client.patch(f"/cases/{known}", json=change), 422, "InvalidRequest")
    assert "control character" in refused


# ---- patients -------------------------------------------------------------------------------


def test_the_number_that_matched_tells_nothing_of_patients(own_client: TestClient) -> None:
    put(own_client, source="clinic", patient="4711")
    tried = put(own_client, encoded(drawn_image(98)), source="clinic").json()["case_id"]
    query = ask(own_client, IMAGE)["query_id"]
    asked = [
        f"/cases/{tried}/similar?k=100",
        f"/queries/{query}/similar?exclude_patient_of={tried}",
    ]

    def answers() -> list[dict[str, Any]]:
        return [own_client.get(path).json() for path in asked]

    before = answers()
    own_client.patch(f"/cases/{tried}", json={"patient": "4711"})
    after = answers()
    assert (
        [one["matched"] for one in before] == [one["matched"] for one in after] == [CASES + 1] * 2
    )
    assert len(after[0]["neighbours"]) == len(before[0]["neighbours"]) - 1  # left out all the same


def test_a_writer_is_told_why_a_patient_is_named_no_more(
    own_client: TestClient, keys: Keys
) -> None:
    _, secret = keys.create("x", Role.WRITER)
    own_client.headers = bearer(secret)  # type: ignore[assignment]
    wait_until(lambda: own_client.get("/me").json().get("role") == "writer")
    case = put(own_client, source="clinic", patient="0").json()["case_id"]
    for number in range(1, CHANGES_OF_CASE):
        changed = own_client.patch(f"/cases/{case}", json={"patient": f"{number}"})
        assert changed.status_code == 200, changed.text
    for patient in ("9", f"{CHANGES_OF_CASE - 1}"):
        refused = own_client.patch(f"/cases/{case}", json={"patient": patient})
        detail = problem(refused, 409, "TooManyPatientChanges")
        assert f"5 changes of the patient of case {case} within 24 hours" in detail
    again = put(own_client, source="clinic", patient="9")
    problem(again, 409, "TooManyPatientChanges")


def test_a_removal_is_finished_by_a_writer_of_its_source_alone(
    own: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_catalog(own.store.database_url) as catalog:
        case, media = catalog.cases([1])[1], Media(own.store.media)
        (mine, other) = (
            catalog.bound(Access(sources=frozenset({name}))) for name in (case.source, "ward-b")
        )

        def failing(_: str) -> NoReturn:
            raise StorageFull("no room")

        with monkeypatch.context() as patch:
            patch.setattr(media, "remove", failing)
            with pytest.raises(PicturesRemain):
                delete_case(case.case_id, mine, media)
        with pytest.raises(NotFound):
            delete_case(case.case_id, other, media)
        assert media.files(case.image_sha256)
        delete_case(case.case_id, mine, media)
        assert not media.files(case.image_sha256)
        assert catalog.removed_pictures() == ()
