"""`xemplar.Client` against the service itself: every operation, every error."""

import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import httpx2
import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient
from xemplar_app.main import create_app
from xemplar_app.problems import STATUSES
from xemplar_app.settings import ServiceSettings
from xemplar_app.shared_rate import SharedRate

from tests.app.asking import Service, ask, jpeg_size
from tests.app.reading import serving
from tests.images import dicom, drawn_image, encoded
from tests.stores import CASES, SmallStore
from xemplar import Client
from xemplar.api import (
    AnswerOut,
    AuditParameters,
    CaseChange,
    CaseIn,
    CaseListParameters,
    CaseOut,
    CaseRankingParameters,
    CaseRating,
    CollectionChange,
    CollectionIn,
    EntryIn,
    NewKey,
    Problem,
    QueryParameters,
    RankingParameters,
    RaterOut,
    RaterOwner,
    RatingList,
    Reindex,
    Search,
    SimilarParameters,
)
from xemplar.catalog import open_catalog
from xemplar.errors import ServiceProblem, XemplarError
from xemplar.operations.jobs import Jobs, JobState
from xemplar.operations.keys import Keys, Role
from xemplar.retrieval.retriever import Retriever

ADDRESS = "http://testserver"
IMAGE = encoded(drawn_image(70, 300, 240))
OTHER = encoded(drawn_image(71, 300, 240))
NOBODY = "0" * 16
ROOT = Path(__file__).parents[2]

LEFT_OUT = {"metrics": "text for Prometheus, which fetches it itself"}
"""Operations without a method, and why."""

EXAMPLES = [
    example
    for page in ("README.md", "docs/integrate.md")
    for example in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
]


class Through(httpx2.BaseTransport):
    """Carries what a client asks to an application in this process."""

    def __init__(self, service: TestClient) -> None:
        self._service = service

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self._service.send(request, follow_redirects=False)


def client_of(service: TestClient, key: str = "", url: str = ADDRESS) -> Client:
    return Client(url, key, transport=Through(service))


@pytest.fixture
def reading(client: TestClient) -> Client:
    """On a store that stays as it is."""
    return client_of(client)


@pytest.fixture
def changing(own_client: TestClient) -> Client:
    """On a store of its own."""
    return client_of(own_client)


# ---- the specification ----------------------------------------------------------------------


def test_each_operation_has_a_method_of_its_name_or_a_reason_why_not(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"].values()
    operations = {operation["operationId"] for path in paths for operation in path.values()}
    methods = {name for name in dir(Client) if not name.startswith("_")}
    assert methods - {"close", "wait"} == operations - LEFT_OUT.keys()
    assert LEFT_OUT.keys() <= operations


# ---- questions ------------------------------------------------------------------------------


def test_a_query_is_answered_as_over_http(
    reading: Client, client: TestClient, small: SmallStore
) -> None:
    question = QueryParameters(k=3, none_of=["Nodule", "Edema"], sex="F", counter_examples=1)
    answer = reading.query(small.images[0], question)
    plain = ask(client, small.images[0], k=3, none_of=["Nodule", "Edema"], sex="F")
    assert [near.case_id for near in answer.neighbours] == [
        near["case_id"] for near in plain["neighbours"]
    ]
    assert {near.sex for near in answer.neighbours} == {"F"}
    assert answer.matched == plain["matched"]
    assert len(answer.counter_examples) == 1


def test_words_are_asked_without_an_image(changing: Client) -> None:
    case = next(changing.cases()).case_id
    answer = changing.query(None, QueryParameters(text="effusion"))
    assert (answer.neighbours, answer.words.cases, answer.matched) == ([], 0, CASES)
    with pytest.raises(ServiceProblem, match="exact cannot be used without an image"):
        changing.query(None, QueryParameters(text="effusion", exact=True, exclude=[case]))


def test_every_filter_may_be_named(reading: Client, small: SmallStore) -> None:
    """Dates, numbers, lists and choices come to the service as it wants them."""
    today = datetime.now(UTC).date()
    first = reading.query(small.images[1])
    other, liked, unliked, with_case, *_ = (near.case_id for near in first.neighbours)
    question = QueryParameters(
        any_of=["Effusion", "No Finding"],
        all_of=[],
        none_of=["Edema"],
        sex="F",
        age_min=30,
        age_max=60,
        view=["PA", "AP"],
        source=["drawn"],
        indexed_since=today - timedelta(days=1),
        indexed_until=today + timedelta(days=1),
        finding="Mass",
        exclude=[other],
        exclude_patient_of=[other],
        min_similarity=0.01,
        diversity=0.5,
        near_duplicates="keep",
        one_per_patient=True,
        exact=True,
        like=[liked],
        unlike=[unliked],
        region="0,0,1,0.5",
        with_case=[with_case],
        with_query=[first.query_id],
        prevalence=True,
        include="overlays",
    )
    assert question.model_fields_set == QueryParameters.model_fields.keys() - {
        *("k", "counter_examples"),
        *("text", "says"),  # no case here has a report
    }
    answer = reading.query(IMAGE, question)
    assert answer.explained_finding == "Mass"
    assert answer.neighbours
    assert (answer.overlay or "").startswith("data:image/jpeg;base64,")


def test_an_image_may_be_a_path(reading: Client, small: SmallStore, tmp_path: Path) -> None:
    image = tmp_path / "image.png"
    image.write_bytes(small.images[2])
    for named in (image, str(image)):
        assert reading.query(named).neighbours[0].similarity == pytest.approx(1)


def test_a_batch_has_an_answer_or_a_problem_for_each_image(reading: Client) -> None:
    first, refused = reading.query_batch([IMAGE, IMAGE[:500]], Search(k=2))
    assert isinstance(first, AnswerOut)
    assert len(first.neighbours) == 2
    assert isinstance(refused, Problem)
    assert refused.type == "urn:xemplar:problem:UnreadableImage"


def test_several_images_are_one_question(reading: Client) -> None:
    answer = reading.query_together([IMAGE, OTHER], QueryParameters(k=2))
    assert [one.query_id for one in answer.images][:1] == [answer.query_id]
    joined = [one.query_id for one in answer.images[1:] if one.query_id]
    again = reading.query_similar(answer.query_id, QueryParameters(k=2, with_query=joined))
    for near, before in zip(again.neighbours, answer.neighbours, strict=True):
        assert near.case_id == before.case_id
        assert near.steering is not None
        assert sum(near.steering.images) == pytest.approx(near.steering.score, abs=1e-4)


def test_cases_similar_to_a_case(reading: Client) -> None:
    case = next(reading.cases())
    found = reading.similar(case.case_id, SimilarParameters(k=4, same_patient=True)).neighbours
    assert len(found) == 4
    assert case.case_id not in {near.case_id for near in found}


def test_an_image_that_was_sent_is_asked_about_again(reading: Client) -> None:
    answer = reading.query(IMAGE, QueryParameters(k=2))
    other = reading.query_similar(
        answer.query_id, QueryParameters(k=1, finding="Mass", include="maps")
    )
    assert (other.query_id, other.explained_finding) == (answer.query_id, "Mass")
    near = other.neighbours[0]
    assert other.maps is not None
    assert set(other.maps.cases) == {near.case_id}
    matches = reading.query_matches(answer.query_id, near.case_id)
    assert matches.similarity == pytest.approx(near.similarity, abs=1e-5)


def test_every_picture(reading: Client) -> None:
    answer = reading.query(IMAGE)
    query, case = answer.query_id, answer.neighbours[0].case_id
    assert jpeg_size(reading.query_image(query)) == (240, 300)
    assert jpeg_size(reading.case_image(case))
    assert max(jpeg_size(reading.query_image(query, side=64))) == 64
    deep = reading.query(dicom(drawn_image(8).astype(np.uint16) * 16, BitsStored=12))
    assert deep.values is not None
    values = reading.query_values(deep.query_id)
    assert len(values) == 2 * deep.values.height * deep.values.width
    assert reading.query_text(query).boxes == []
    assert max(jpeg_size(reading.case_image(case, side=64))) == 64
    for picture in (
        reading.query_overlay(query, side=64),
        reading.query_overlay(query, "Mass", side=64),
        reading.query_evidence(query, case, side=64),
        reading.case_overlay(case, "Mass", side=64),
        reading.case_evidence(case, query, side=64),
    ):
        assert max(jpeg_size(picture)) == 64


# ---- ratings --------------------------------------------------------------------------------


def test_a_list_is_rated_and_the_search_judged_by_it(changing: Client) -> None:
    blind = changing.query_ranking(
        changing.query(IMAGE).query_id, RankingParameters(rater="ann", k=3)
    )
    ratings = [CaseRating(case_id=case.case_id, rating=n) for n, case in enumerate(blind.cases)]
    changing.put_ratings(blind.image_id, "ann", RatingList(ratings=ratings))
    found = changing.query_ratings(blind.query_id)
    assert [(one.rater, one.rated) for one in found.readers] == [("ann", 3)]
    header, *rows = changing.ratings_csv().split()
    assert header == "query_id,case_id,rater,rating"
    assert {row.split(",")[1] for row in rows} == {case.case_id for case in blind.cases}
    changing.put_ratings(blind.image_id, "ann", RatingList(ratings=ratings[1:]))
    assert len(changing.ratings_csv().split()) == 3
    header, *rows = changing.ratings_csv(history=True).split()
    assert header == "query_id,case_id,rater,rating,rated_at,superseded_at"
    assert len(rows) == 3
    case = blind.cases[0].case_id
    asked = CaseRankingParameters(rater="ann", k=2, same_patient=True)
    assert len(changing.case_ranking(case, asked).cases) == 2


def test_a_query_is_shared_and_a_pseudonym_given(
    changing: Client, own_client: TestClient, small: SmallStore
) -> None:
    made = changing.create_key(NewKey(name="admin", role=Role.ADMIN))
    admin = client_of(own_client, made.secret)
    key = admin.create_key(NewKey(name="ann", role=Role.READER))
    ann = client_of(own_client, key.secret)
    answer = ann.query(small.images[0])
    with pytest.raises(ServiceProblem, match="has not shared it"):
        admin.query_image(answer.query_id)
    ann.share_query(answer.query_id)
    assert jpeg_size(admin.query_image(answer.query_id))
    assert admin.give_rater("ann", RaterOwner(key=key.id)) == RaterOut(rater="ann", key=key.id)
    assert admin.raters() == [RaterOut(rater="ann", key=key.id)]


# ---- collections ----------------------------------------------------------------------------


def test_a_query_and_a_case_are_collected_and_taken_out(changing: Client) -> None:
    answer = changing.query(IMAGE)
    case = answer.neighbours[0].case_id
    assert answer.query_id in [one.query_id for one in changing.queries()]
    made = changing.create_collection(CollectionIn(name="Effusions", note="for Friday"))
    changing.collect_query(made.collection_id, answer.query_id, EntryIn(search="k=3"))
    changing.collect_case(made.collection_id, case, EntryIn(note="like it"))
    changed = changing.change_collection(made.collection_id, CollectionChange(shared=True))
    assert (changed.name, changed.note, changed.shared) == ("Effusions", "for Friday", True)
    found = changing.collection(made.collection_id)
    assert [(one.id, one.note, one.search) for one in found.content] == [
        (answer.query_id, "", "k=3"),
        (case, "like it", ""),
    ]
    changing.remove_entry(made.collection_id, case)
    changing.forget_query(answer.query_id)
    assert [one.entries for one in changing.collections()] == [1]
    assert jpeg_size(changing.query_image(answer.query_id))  # it is saved
    changing.remove_collection(made.collection_id)
    assert changing.collections() == []


# ---- cases ----------------------------------------------------------------------------------


@pytest.mark.parametrize("root", ["", "/behind/a/proxy"])
def test_cases_come_page_by_page(client: TestClient, root: str) -> None:
    proxied = TestClient(client.app, root_path=root)
    proxied.app_state.update(client.app_state)
    reading = client_of(proxied, url=ADDRESS + root)
    found = list(reading.cases(CaseListParameters(limit=5)))
    assert len({case.case_id for case in found}) == CASES
    assert found == list(reading.cases())
    women = list(reading.cases(CaseListParameters(limit=1, sex="F")))
    assert women == [case for case in found if case.sex == "F"]
    alone = reading.case(found[0].case_id).model_dump()
    assert alone == found[0].model_dump() | {"viewer_url": None}


def test_a_case_comes_is_changed_and_goes(changing: Client) -> None:
    about = CaseIn(source="clinic", patient="4711", age=50, sex="F", present=["Effusion", "Mass"])
    case = changing.put_case(IMAGE, about)
    assert case.findings == ["Effusion", "Mass"]
    assert changing.query(IMAGE).neighbours[0].case_id == case.case_id
    again = changing.put_case(IMAGE, CaseIn(source="clinic", view="PA"))
    assert (again.case_id, again.age, again.view) == (case.case_id, 50, "PA")
    changed = changing.change_case(case.case_id, CaseChange(age=None, present=["Edema"]))
    alone = changing.case(case.case_id).model_dump()
    assert alone == changed.model_dump() | {"viewer_url": None}
    assert (changed.age, changed.sex, changed.findings) == (None, "F", ["Edema"])
    changing.remove_case(case.case_id)
    with pytest.raises(ServiceProblem) as raised:
        changing.case(case.case_id)
    assert raised.value.kind == "NotFound"


# ---- jobs -----------------------------------------------------------------------------------


def test_a_job_is_started_seen_and_cancelled(changing: Client) -> None:
    job = changing.reindex(Reindex(factory="Flat"))
    assert (job.kind, job.state) == ("reindex", JobState.QUEUED)
    assert job.parameters["factory"] == "Flat"
    assert changing.jobs() == [job]
    with pytest.raises(TimeoutError, match=r"within 0\.02 s: queued"):
        changing.wait(job.id, seconds=0.02, every=0.01)
    assert changing.cancel_job(job.id).state is JobState.CANCELLED
    assert changing.wait(job.id) == changing.job(job.id)


def test_a_job_is_waited_for(changing: Client, own: SmallStore) -> None:
    job = changing.reindex()
    with open_catalog(own.store.database_url) as catalog:
        jobs = Jobs(catalog.engine)

        def work() -> None:
            claimed = jobs.claim(job.id, "one")
            assert claimed is not None
            time.sleep(0.1)
            jobs.finish(claimed, {"generation": "new"})

        worker = threading.Thread(target=work)
        worker.start()
        done = changing.wait(job.id, seconds=30, every=0.02)
        worker.join()
    assert (done.state, done.result) == (JobState.DONE, {"generation": "new"})


# ---- administration and operation -----------------------------------------------------------


def test_the_audit_trail_comes_page_by_page(service: Service) -> None:
    admin = client_of(service())
    for _ in range(5):
        admin.query(IMAGE)
    since = datetime.now(UTC) - timedelta(hours=1)
    found = list(admin.audit(AuditParameters(action="query", limit=2, since=since)))
    assert [entry.action for entry in found] == ["query"] * 5
    assert found == list(admin.audit(AuditParameters(action="query")))
    assert list(admin.audit(AuditParameters(action="reindex"))) == []


def test_what_went_wrong_is_told(service: Service) -> None:
    admin = client_of(service())
    with pytest.raises(ServiceProblem) as raised:
        admin.query(b"")
    (error,) = admin.errors()
    assert (error.problem, error.status) == ("UnreadableImage", 400)
    assert error.request_id == raised.value.request_id


def test_health_and_readiness(reading: Client) -> None:
    assert reading.healthz().status == "ok"
    assert reading.readyz().cases == CASES


# ---- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", STATUSES, ids=lambda kind: kind.__name__)
def test_every_error_of_the_domain_is_told_with_its_kind(
    reading: Client,
    retriever: Retriever,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[XemplarError],
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise kind("because")

    monkeypatch.setattr(retriever, "ask", fail)
    monkeypatch.setattr("xemplar.api.client.connection.time.sleep", lambda _: None)
    with pytest.raises(ServiceProblem) as raised:
        reading.query(IMAGE)
    error = raised.value
    assert (error.kind, error.status) == (kind.__name__, STATUSES[kind])
    assert error.title == STATUSES[kind].phrase
    assert re.fullmatch("[0-9a-f]{32}", error.request_id)
    assert error.detail
    assert error.detail in str(error)


def test_a_key_that_is_missing_or_too_little_is_told(service: Service, keys: Keys) -> None:
    _, secret = keys.create("x", Role.READER)
    app = service()
    for key, kind in (("", "Unauthorized"), ("xk_wrong", "Unauthorized"), (secret, "Forbidden")):
        with pytest.raises(ServiceProblem) as raised:
            client_of(app, key).jobs()
        assert raised.value.kind == kind
    assert client_of(app, secret).query(IMAGE).neighbours


def test_one_request_too_many_is_sent_again_when_there_is_room(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    # time passes in the wait alone: a busy machine takes longer than any rate between two requests
    monkeypatch.setattr(SharedRate.__init__, "__defaults__", (lambda: sum(waited),))
    limited = client_of(service(requests_per_second=1, requests_at_once=1))
    monkeypatch.setattr("xemplar.api.client.connection.time.sleep", waited.append)
    assert [case for _ in range(2) for case in limited.cases()]
    assert waited


@pytest.mark.parametrize(
    ("status", "kind"), [(404, "NotFound"), (422, "UnknownFinding"), (422, "InvalidRequest")]
)
def test_what_the_caller_got_wrong(reading: Client, status: int, kind: str) -> None:
    asks = {
        "NotFound": lambda: reading.query_image(NOBODY),
        "UnknownFinding": lambda: reading.query(IMAGE, QueryParameters(finding="Sneezing")),
        "InvalidRequest": lambda: reading.jobs(limit=0),
    }
    with pytest.raises(ServiceProblem) as raised:
        asks[kind]()
    assert (raised.value.status, raised.value.kind) == (status, kind)


# ---- over a network -------------------------------------------------------------------------


@pytest.fixture
def url(
    settings: ServiceSettings, retriever: Retriever, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    monkeypatch.setattr(retriever, "close", lambda: None)  # other tests go on with it
    with serving(uvicorn.Config(create_app(settings, retriever), port=0)) as url:
        yield url


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_readme_and_guide_run(
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    example: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("image.png").write_bytes(IMAGE)
    assert "http://127.0.0.1:8000" in example
    exec(example.replace("http://127.0.0.1:8000", url), {})  # noqa: S102 -- our own README
    assert capsys.readouterr().out
    for written in tmp_path.glob("*.jpg"):
        assert jpeg_size(written.read_bytes())


def test_many_threads_share_one_client(url: str) -> None:
    cases: list[CaseOut] = []
    with Client(url) as client:
        threads = [
            threading.Thread(target=lambda: cases.append(next(client.cases()))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(cases) == 8
