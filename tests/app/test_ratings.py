"""Ratings over HTTP: blind lists, saving, agreement, and a file that the evaluation reads."""

import hashlib
from collections.abc import Callable
from copy import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from xemplar_app.main import create_app
from xemplar_app.opening import open_retriever
from xemplar_app.settings import ServiceSettings
from xemplar_evaluator.ranking.experts import agreement_with_experts, rated_lists, read_ratings

from tests.app.asking import Service, ask, bearer, problem
from tests.images import drawn_image, encoded
from tests.stores import CASES, SmallStore
from xemplar.api.rating_scale import COLUMNS, HISTORY_COLUMNS, MAX_RATING
from xemplar.catalog import case_id_of
from xemplar.model.encoder import Precision
from xemplar.operations.keys import Keys, Role

IMAGE = encoded(drawn_image(77, 600, 450))
OTHER = encoded(drawn_image(78, 600, 450))
NOBODY = "0" * 16
RATER = "reader-1"


def ranking(client: TestClient, query_id: str, **question: Any) -> dict[str, Any]:
    response = client.get(f"/queries/{query_id}/ranking", params={"rater": RATER, **question})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def ids(cases: list[dict[str, Any]]) -> list[str]:
    return [case["case_id"] for case in cases]


def listed(ratings: dict[str, int]) -> dict[str, Any]:
    return {"ratings": [{"case_id": case, "rating": r} for case, r in ratings.items()]}


def save(client: TestClient, image_id: str, ratings: dict[str, int], rater: str = RATER) -> None:
    response = client.put(f"/ratings/{image_id}/{rater}", json=listed(ratings))
    assert response.status_code == 204, response.text


def agreement(client: TestClient, query_id: str) -> dict[str, Any]:
    response = client.get(f"/queries/{query_id}/ratings")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


# ---- the blind list -------------------------------------------------------------------------


def test_a_list_to_be_rated_has_the_answers_cases_and_nothing_that_tells_their_ranks(
    own_client: TestClient,
) -> None:
    answer = ask(own_client, IMAGE, k=CASES, sex="F")
    blind = ranking(own_client, answer["query_id"], k=CASES, sex="F")
    assert sorted(ids(blind["cases"])) == sorted(ids(answer["neighbours"]))
    assert {key for case in blind["cases"] for key in case} == {"case_id", "image_url"}
    assert blind["ratings"] == []
    assert own_client.get(blind["image_url"]).status_code == 200


def test_the_order_is_each_readers_own_and_stays(own_client: TestClient) -> None:
    answer = ask(own_client, IMAGE, k=CASES)
    ranked = ids(answer["neighbours"])
    orders = [
        ids(ranking(own_client, answer["query_id"], k=CASES, rater=f"r{n}")["cases"])
        for n in range(40)
    ]
    assert orders[0] == ids(
        ranking(own_client, ask(own_client, IMAGE)["query_id"], k=CASES, rater="r0")["cases"]
    )
    assert len({tuple(order) for order in orders}) == len(orders)
    # the most similar case is as often in the second half as in the first: 40 throws of a coin
    first_half = sum(order.index(ranked[0]) < CASES / 2 for order in orders)
    assert 10 <= first_half <= 30


def test_an_indexed_case_may_be_the_query(own_client: TestClient) -> None:
    case = own_client.get("/cases").json()["cases"][0]["case_id"]
    response = own_client.get(f"/cases/{case}/ranking", params={"rater": RATER, "k": 3})
    blind = response.json()
    assert blind["image_id"] == case
    assert len(blind["cases"]) == 3
    assert case not in ids(blind["cases"])
    save(own_client, case, {ids(blind["cases"])[0]: 5})
    assert agreement(own_client, blind["query_id"])["readers"][0]["rated"] == 1


def test_a_blind_list_tells_no_prevalence(own_client: TestClient) -> None:
    query = ask(own_client, IMAGE)["query_id"]
    for path in (f"/queries/{query}/ranking", f"/cases/{NOBODY}/ranking"):
        response = own_client.get(path, params={"rater": RATER, "prevalence": True})
        assert "prevalence would tell a rater" in problem(response, 422, "InvalidArgument")


def test_an_image_is_known_by_its_bytes_whenever_it_is_sent(own_client: TestClient) -> None:
    first, again = (ask(own_client, IMAGE)["query_id"] for _ in range(2))
    assert first != again
    images = {ranking(own_client, query)["image_id"] for query in (first, again)}
    assert images == {case_id_of(hashlib.sha256(IMAGE).hexdigest())}


@pytest.mark.parametrize("rater", ["", "Ann", "=a", "@a", "a b", "1", "a" * 33, None])
def test_a_pseudonym_has_a_form(own_client: TestClient, rater: str | None) -> None:
    query = ask(own_client, IMAGE)["query_id"]
    response = own_client.get(f"/queries/{query}/ranking", params={"rater": rater})
    assert "rater" in problem(response, 422, "InvalidRequest")
    if rater:
        response = own_client.put(f"/ratings/{NOBODY}/{rater}", json=listed({}))
        assert "rater" in problem(response, 422, "InvalidRequest")


# ---- saving ---------------------------------------------------------------------------------


def test_an_unfinished_list_is_continued(own_client: TestClient) -> None:
    query = ask(own_client, IMAGE)["query_id"]
    blind = ranking(own_client, query)
    one, two, *_ = ids(blind["cases"])
    save(own_client, blind["image_id"], {one: 4})
    save(own_client, blind["image_id"], {one: 1, two: 0})
    found = ranking(own_client, query)
    assert {said["case_id"]: said["rating"] for said in found["ratings"]} == {one: 1, two: 0}
    assert ids(found["cases"]) == ids(blind["cases"])
    assert ranking(own_client, query, rater="reader-2")["ratings"] == []
    assert len(ranking(own_client, query, k=1)["ratings"]) == 2  # none is lost with a shorter list
    save(own_client, blind["image_id"], {})
    assert ranking(own_client, query)["ratings"] == []


def test_what_is_rated_need_not_be_remembered_and_must_be_known(own_client: TestClient) -> None:
    case = own_client.get("/cases").json()["cases"][0]["case_id"]
    save(own_client, NOBODY, {case: 3})
    for ratings, status, kind, told in (
        ({case: 1, "1" * 16: 2}, 404, "NotFound", f"no case '{'1' * 16}'"),
        ({NOBODY: 2}, 422, "InvalidArgument", "rated for itself"),
        ({case: MAX_RATING + 1}, 422, "InvalidRequest", "less than or equal to 5"),
        ({case: -1}, 422, "InvalidRequest", "greater than or equal to 0"),
        ({case: True}, 422, "InvalidRequest", "a number is meant"),
    ):
        response = own_client.put(f"/ratings/{NOBODY}/{RATER}", json=listed(ratings))
        assert told in problem(response, status, kind)
    twice = {"ratings": 2 * listed({case: 1})["ratings"]}
    response = own_client.put(f"/ratings/{NOBODY}/{RATER}", json=twice)
    assert f"case {case} is rated twice" in problem(response, 422, "InvalidArgument")
    assert f"{NOBODY},{case},{RATER},3" in own_client.get("/ratings.csv").text  # as before


def test_ratings_of_a_removed_case_are_gone(own_client: TestClient) -> None:
    query = ask(own_client, IMAGE)["query_id"]
    blind = ranking(own_client, query)
    gone, stays, *_ = ids(blind["cases"])
    save(own_client, blind["image_id"], {gone: 5, stays: 1})
    assert own_client.delete(f"/cases/{gone}").status_code == 204
    assert ids(agreement(own_client, query)["cases"]) == [stays]
    assert gone not in own_client.get("/ratings.csv").text


# ---- agreement ------------------------------------------------------------------------------


def test_agreement_stands_beside_chance_for_each_reader_and_for_all(own_client: TestClient) -> None:
    answer = ask(own_client, IMAGE, k=3)
    image = ranking(own_client, answer["query_id"])["image_id"]
    a, b, c = ids(answer["neighbours"])
    save(own_client, image, {a: 5, b: 3, c: 0}, "ann")
    save(own_client, image, {c: 5, b: 3, a: 0}, "bob")
    save(own_client, image, {a: 0, b: 0}, "eve")
    found = agreement(own_client, answer["query_id"])
    ann, bob, eve = found["readers"]
    assert (ann["rater"], ann["rated"], ann["ndcg"]) == ("ann", 3, pytest.approx(1))
    # gains 0, 3, 5: (3/log2(3) + 5/2) over (5 + 3/log2(3)) = 4.392789 / 6.892789
    assert bob["ndcg"] == pytest.approx(4.392789 / 6.892789, abs=1e-6)
    # a mean gain of 8/3 at each of 1, 1/log2(3), 1/2, over the same best order
    assert ann["random_ndcg"] == pytest.approx(8 / 3 * 2.130930 / 6.892789, abs=1e-6)
    assert (eve["rated"], eve["ndcg"], eve["random_ndcg"]) == (2, None, None)
    assert [case["mean_rating"] for case in found["cases"]] == pytest.approx([5 / 3, 2, 2.5])
    assert [case["similarity"] for case in found["cases"]] == [
        pytest.approx(near["similarity"]) for near in answer["neighbours"]
    ]


def test_before_anybody_has_rated_there_is_no_figure(own_client: TestClient) -> None:
    found = agreement(own_client, ask(own_client, IMAGE)["query_id"])
    assert (found["cases"], found["readers"]) == ([], [])
    assert found["together"] == {"rated": 0, "ndcg": None, "random_ndcg": None}


def test_a_forgotten_image_has_no_list(own_client: TestClient) -> None:
    for path in ("ratings", f"ranking?rater={RATER}"):
        response = own_client.get(f"/queries/{NOBODY}/{path}")
        assert "send the image again" in problem(response, 404, "NotFound")


# ---- the file -------------------------------------------------------------------------------


def test_the_evaluation_reads_the_file_and_comes_to_the_same_figure(
    own_client: TestClient, tmp_path: Path
) -> None:
    query = own_client.get("/cases").json()["cases"][0]["case_id"]
    answer = own_client.get(f"/cases/{query}/similar", params={"k": 4}).json()
    cases = ids(answer["neighbours"])
    save(own_client, query, dict(zip(cases, (1, 5, 0, 3), strict=True)), "ann")
    save(own_client, query, dict(zip(cases[:3], (2, 2, 4), strict=True)), "bob")
    response = own_client.get("/ratings.csv")
    assert response.headers["content-type"].startswith("text/csv")
    assert "ratings.csv" in response.headers["content-disposition"]
    file = tmp_path / "ratings.csv"
    file.write_bytes(response.content)
    assert file.read_text().splitlines()[0] == ",".join(COLUMNS)
    read = read_ratings(file, MAX_RATING)
    assert {(one.query, one.rater) for one in read} == {(query, "ann"), (query, "bob")}

    retriever = own_client.app_state["opening"].services.retriever
    known = {c: retriever.generation.vector(retriever.indexed(c).id) for c in (query, *cases)}
    material: Any = SimpleNamespace(settings=SimpleNamespace(resamples=1))
    table = agreement_with_experts(rated_lists(read, file, known), material)
    figure, chance = table.rows[0][1:]
    together = agreement(own_client, answer["query_id"])["together"]
    assert together["ndcg"] == pytest.approx(figure.value)
    assert together["random_ndcg"] == pytest.approx(chance.value)


def test_nobody_has_rated_yet(own_client: TestClient) -> None:
    assert own_client.get("/ratings.csv").text.split() == [",".join(COLUMNS)]


# ---- who may --------------------------------------------------------------------------------


def test_a_reader_rates_and_an_administrator_takes_all_ratings_away(
    service: Service, keys: Keys
) -> None:
    key, secret = keys.create("ward", Role.READER)
    _, admin = keys.create("study", Role.ADMIN)
    client = service()
    reading, running = bearer(secret), bearer(admin)
    answer = client.post("/query", files={"image": OTHER}, headers=reading).json()
    asked = {"params": {"rater": RATER}, "headers": reading}
    blind = client.get(f"/queries/{answer['query_id']}/ranking", **asked).json()
    path = f"/ratings/{blind['image_id']}/{RATER}"
    assert client.put(path, json=listed({}), headers=reading).status_code == 204
    assert client.put(path, json=listed({})).status_code == 401
    assert "role admin" in problem(client.get("/ratings.csv", headers=reading), 403, "Forbidden")
    assert client.get("/ratings.csv", headers=running).status_code == 200
    entries = client.get("/audit", params={"action": "put_ratings"}, headers=running).json()
    assert {(one["key"], one["subject"]) for one in entries["entries"] if one["status"] == 204} == {
        (key.id, blind["image_id"])
    }


Reader = Callable[[str], TestClient]


@pytest.fixture
def reader(own_client: TestClient) -> Reader:
    """Makes a client of one service that asks with a new key of a role."""
    first = own_client.post("/keys", json={"name": "first", "role": "admin"}).json()["secret"]

    def made(role: str) -> TestClient:
        asked = {"json": {"name": role, "role": role}, "headers": bearer(first)}
        secret = own_client.post("/keys", **asked).json()["secret"]
        one = copy(own_client)
        one.headers = httpx2.Headers(bearer(secret))
        return one

    return made


def open_list(client: TestClient, rater: str) -> dict[str, Any]:
    return ranking(client, ask(client, IMAGE, k=3)["query_id"], k=3, rater=rater)


def test_another_key_neither_reads_nor_changes_nor_erases_what_a_reader_said(
    reader: Reader,
) -> None:
    ann, admin = reader("reader"), reader("admin")
    blind = open_list(ann, "ann")
    case = ids(blind["cases"])[0]
    save(ann, blind["image_id"], {case: 4}, "ann")
    for other in (reader("reader"), admin):
        query = ask(other, IMAGE)["query_id"]
        asked = {"params": {"rater": "ann"}}
        case_list = other.get(f"/cases/{case}/ranking", **asked)
        for answer in (
            other.get(f"/queries/{query}/ranking", **asked),
            case_list,
            other.put(f"/ratings/{blind['image_id']}/ann", json=listed({case: 0})),
            other.put(f"/ratings/{blind['image_id']}/ann", json=listed({})),
        ):
            told = problem(answer, 409, "PseudonymTaken")
            assert "choose another one, or ask an administrator" in told
    found = ranking(ann, blind["query_id"], rater="ann")
    assert found["ratings"] == [{"case_id": case, "rating": 4}]
    assert f",{case},ann,4" in admin.get("/ratings.csv").text


def test_others_ratings_are_seen_after_ones_own_and_by_administrators(reader: Reader) -> None:
    ann, bob, admin = reader("reader"), reader("reader"), reader("admin")
    blind = open_list(ann, "ann")
    a, b, c = ids(blind["cases"])
    save(ann, blind["image_id"], {a: 5, b: 1, c: 0}, "ann")
    query = ask(bob, IMAGE)["query_id"]
    assert ranking(bob, query, k=3, rater="bob")["ratings"] == []
    nothing = agreement(bob, query)
    assert (nothing["cases"], nothing["readers"], nothing["together"]["rated"]) == ([], [], 0)
    save(bob, blind["image_id"], {a: 0}, "bob")
    found = agreement(bob, query)
    assert ids(found["cases"]) == [a]  # not of those that are still to be rated
    assert [(one["rater"], one["rated"]) for one in found["readers"]] == [("ann", 1), ("bob", 1)]
    save(bob, blind["image_id"], {a: 0, b: 3, c: 1}, "bob")
    assert len(agreement(bob, query)["cases"]) == 3
    seen = agreement(admin, ask(admin, IMAGE)["query_id"])
    assert [(one["rater"], one["rated"]) for one in seen["readers"]] == [("ann", 3), ("bob", 3)]


def test_an_administrator_gives_a_pseudonym_to_the_key_that_replaces_another(
    reader: Reader,
) -> None:
    lost, admin, new = reader("reader"), reader("admin"), reader("reader")
    key = new.get("/me").json()["key"]
    blind = open_list(lost, "ann")
    save(lost, blind["image_id"], {ids(blind["cases"])[0]: 4}, "ann")
    answer = admin.put("/raters/ann", json={"key": key})
    assert (answer.status_code, answer.json()) == (200, {"rater": "ann", "key": key})
    assert admin.get("/raters").json() == {"raters": [{"rater": "ann", "key": key}]}
    assert len(open_list(new, "ann")["ratings"]) == 1
    problem(lost.put(f"/ratings/{blind['image_id']}/ann", json=listed({})), 409, "PseudonymTaken")
    answer = admin.put("/raters/ann", json={"key": NOBODY})
    assert "that is good" in problem(answer, 404, "NotFound")
    for path in ("/raters/ann", "/raters"):
        method = "PUT" if path.endswith("ann") else "GET"
        asked = {"json": {"key": key}} if method == "PUT" else {}
        assert "role admin" in problem(new.request(method, path, **asked), 403, "Forbidden")
    entries = admin.get("/audit", params={"action": "give_rater"}).json()["entries"]
    assert [one["subject"] for one in entries if one["status"] == 200] == [key]


def test_the_history_is_a_file_for_administrators(own_client: TestClient) -> None:
    blind = open_list(own_client, RATER)
    a, b, _ = ids(blind["cases"])
    image = blind["image_id"]
    save(own_client, image, {a: 4, b: 1})
    save(own_client, image, {a: 2})
    response = own_client.get("/ratings.csv", params={"history": True})
    header, *lines = (line.split(",") for line in response.text.splitlines())
    assert header == [*HISTORY_COLUMNS]
    said = {(*line[1:4], line[5] == "") for line in lines}
    assert said == {(a, RATER, "4", False), (a, RATER, "2", True), (b, RATER, "1", False)}
    assert all(line[4] <= line[5] for line in lines if line[5])
    own_client.delete(f"/cases/{a}")
    left = own_client.get("/ratings.csv", params={"history": True}).text.splitlines()
    assert [line.split(",")[1] for line in left[1:]] == [b]


def test_an_image_that_never_was_is_rated_a_few_times_and_one_that_is_remembered_always(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xemplar.operations.ratings.MAX_UNKNOWN_IMAGES", 1)
    ann = reader("reader")
    case = ann.get("/cases").json()["cases"][0]["case_id"]
    image = case_id_of(hashlib.sha256(IMAGE).hexdigest())
    save(ann, NOBODY, {case: 3}, "ann")  # as after a restart
    answer = ann.put(f"/ratings/{image}/ann", json=listed({case: 3}))
    assert "send the image again, then save" in problem(answer, 404, "NotFound")
    ask(ann, IMAGE)
    save(ann, image, {case: 3}, "ann")


def test_what_was_rated_before_a_restart_is_saved_after_it(reader: Reader, own: SmallStore) -> None:
    before = reader("reader")
    blind = open_list(before, "ann")
    settings = ServiceSettings(
        store=own.store.root, checkpoint=own.checkpoint, precision=Precision.FLOAT32
    )
    with TestClient(create_app(settings, open_retriever(settings))) as after:
        after.headers = before.headers
        save(after, blind["image_id"], {ids(blind["cases"])[0]: 3}, "ann")
    assert len(ranking(before, blind["query_id"], rater="ann")["ratings"]) == 1
