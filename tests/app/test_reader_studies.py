"""Reader studies over HTTP, and through the client."""

import csv

import pytest
from fastapi.testclient import TestClient
from xemplar_app.main import create_app
from xemplar_app.opening import open_retriever
from xemplar_app.settings import ServiceSettings

from tests.app.asking import bearer, problem
from tests.stores import SmallStore
from xemplar.api import Client, ReadingIn
from xemplar.api.reader_studies import READING_COLUMNS
from xemplar.catalog import open_catalog
from xemplar.model.encoder import Precision
from xemplar.operations.keys import Keys, Role
from xemplar.operations.reader_studies import ReaderStudies
from xemplar.operations.study_plan import Arm, StudyFilm, StudyPlan

SAID = {"confidence": 80, "seconds": 12.5}


def opened(store: SmallStore) -> StudyPlan:
    """Two films; the first is read with a case, the second without."""
    with open_catalog(store.store.database_url) as catalog:
        ids = [case.case_id for case in catalog.cases(range(1, 4)).values()]
        plan = StudyPlan(
            title="Study",
            question="Is there an effusion?",
            finding="Effusion",
            ask_trust=True,
            washout_days=0,
            protocol={},
            generation="g",
            checkpoint="c",
            arms=(Arm(name="without", cases="none"), Arm(name="wrong", cases="wrong")),
            films=tuple(
                StudyFilm(case_id=one, present=n == 0, cases={"wrong": (ids[2],)})
                for n, one in enumerate(ids[:2])
            ),
            sessions={"ada": (((0, 1), (1, 0)),)},
        )
        ReaderStudies(catalog.engine).open(plan)
    return plan


@pytest.fixture
def plan(own: SmallStore) -> StudyPlan:
    return opened(own)


@pytest.fixture
def path(plan: StudyPlan) -> str:
    return f"/reader-studies/{plan.study_id}/readers/ada"


def test_open_studies_are_listed_without_their_arms(
    own_client: TestClient, plan: StudyPlan
) -> None:
    (found,) = own_client.get("/reader-studies").json()["studies"]
    assert found["study_id"] == plan.study_id
    assert (found["films"], found["sessions"]) == (2, 2)
    assert "arms" not in found


def test_a_reader_sees_film_and_cases_but_neither_truth_nor_arm(
    own_client: TestClient, plan: StudyPlan, path: str
) -> None:
    found = own_client.get(f"{path}/next").json()
    (shown,) = found["cases"]
    film = plan.films[0]
    for url, case_id in (
        (found["image_url"], film.case_id),
        (shown["image_url"], film.cases["wrong"][0]),
    ):
        image = own_client.get(url, params={"side": 64})
        assert image.content == own_client.get(f"/cases/{case_id}/image?side=64").content
        assert case_id not in str(found)
    assert (found["number"], found["total"], found["ask_trust"]) == (0, 2, True)
    told = str(found)
    assert "wrong" not in told
    assert "present" not in found


def test_an_answer_leads_to_the_next_film_and_is_never_changed(
    own_client: TestClient, path: str
) -> None:
    said = SAID | {"trust": 20}
    assert own_client.put(f"{path}/readings/0", json=said).status_code == 204
    assert own_client.put(f"{path}/readings/0", json=said).status_code == 204
    problem(own_client.put(f"{path}/readings/0", json=said | {"trust": 90}), 409, "ReadingGiven")
    following = own_client.get(f"{path}/next").json()
    assert (following["number"], following["cases"], following["ask_trust"]) == (1, [], False)
    assert own_client.put(f"{path}/readings/1", json=SAID).status_code == 204
    assert own_client.get(f"{path}/next").json()["number"] is None


def test_no_image_but_the_next_readings_is_shown(own_client: TestClient, path: str) -> None:
    problem(own_client.get(f"{path}/readings/1/image"), 409, "ReadingGiven")
    problem(own_client.get(f"{path}/readings/0/cases/1/image"), 404, "NotFound")


def test_a_participants_key_reads_studies_and_nothing_else(
    own: SmallStore, keys: Keys, plan: StudyPlan, path: str
) -> None:
    mine = bearer(keys.create("one", Role.PARTICIPANT)[1])
    settings = ServiceSettings(
        store=own.store.root, checkpoint=own.checkpoint, precision=Precision.FLOAT32
    )
    with TestClient(create_app(settings, open_retriever(settings)), headers=mine) as client:
        assert client.get("/me").json()["role"] == "participant"
        assert client.get(client.get(f"{path}/next").json()["image_url"]).status_code == 200
        film = plan.films[0].case_id
        for closed in (f"/cases/{film}", f"/cases/{film}/image", "/cases", "/queries"):
            problem(client.get(closed), 403, "Forbidden")
        assert client.post("/query", files={"image": b""}).status_code == 403


@pytest.mark.parametrize(
    "said",
    [
        {"confidence": 101, "seconds": 1, "trust": 1},
        {"confidence": "80", "seconds": 1, "trust": 1},
        {"confidence": 80, "seconds": -1, "trust": 1},
        {"confidence": 80, "seconds": 1},
        {"confidence": 80, "seconds": 1, "trust": 1, "arm": "wrong"},
    ],
)
def test_an_answer_that_is_none_is_refused(
    own_client: TestClient, path: str, said: dict[str, object]
) -> None:
    assert own_client.put(f"{path}/readings/0", json=said).status_code == 422


def test_who_is_in_no_study_is_told_so(own_client: TestClient, plan: StudyPlan) -> None:
    problem(own_client.get("/reader-studies/" + "0" * 16 + "/readers/ada/next"), 404, "NotFound")
    problem(own_client.get(f"/reader-studies/{plan.study_id}/readers/eve/next"), 404, "NotFound")


def test_a_pseudonym_belongs_to_the_key_that_answers_first(
    own: SmallStore, keys: Keys, path: str
) -> None:
    one, other = (bearer(keys.create(name, Role.READER)[1]) for name in ("first", "second"))
    settings = ServiceSettings(
        store=own.store.root, checkpoint=own.checkpoint, precision=Precision.FLOAT32
    )
    with TestClient(create_app(settings, open_retriever(settings))) as client:
        said = SAID | {"trust": 20}
        assert client.put(f"{path}/readings/0", json=said, headers=one).status_code == 204
        problem(client.get(f"{path}/next", headers=other), 409, "PseudonymTaken")
        problem(client.put(f"{path}/readings/1", json=SAID, headers=other), 409, "PseudonymTaken")


def test_the_client_reads_and_exports_a_study(own_client: TestClient, plan: StudyPlan) -> None:
    with Client("http://testserver", transport=own_client._transport) as client:
        (study,) = client.reader_studies()
        following = client.next_reading(study.study_id, "ada")
        assert following.number == 0
        film = client.reading_image(study.study_id, "ada", 0)
        assert film != client.reading_case_image(study.study_id, "ada", 0, 0)
        said = ReadingIn(confidence=80, trust=20, seconds=12.5)
        client.put_reading(study.study_id, "ada", 0, said)
        rows = list(csv.reader(client.readings_csv(study.study_id).splitlines()))
    assert tuple(rows[0]) == READING_COLUMNS
    film = plan.films[0].case_id
    expected = [study.study_id, "ada", "0", "0", "wrong", film, "1", "80", "20", "12.5"]
    assert rows[1][:-1] == expected
