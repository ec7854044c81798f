"""`Client`: what it sends, when it sends it again, and how it tells what went wrong.

`tests/app/test_client.py` asks the real service with it.
"""

import copy
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.images import drawn_image, encoded
from xemplar import Client
from xemplar.api import CaseChange, CaseIn, QueryParameters
from xemplar.errors import ConfigurationError, ServiceError, ServiceProblem, ServiceUnreachable

ADDRESS = "http://service.example"
KEY = "xk_0123456789"
IMAGE = encoded(drawn_image(1))
ALIVE = httpx2.Response(200, json={"status": "ok"})

Asked = list[httpx2.Request]
Sleeps = list[float]


def answering(*responses: httpx2.Response | Exception, **more: Any) -> tuple[Client, Asked]:
    """A client of a service that answers so, one after the other, and what it was asked."""
    left, asked = iter(responses), Asked()

    def answer(request: httpx2.Request) -> httpx2.Response:
        request.read()
        asked.append(request)
        response = next(left)
        if isinstance(response, Exception):
            raise response
        return response

    more = {"key": KEY} | more
    return Client(ADDRESS, transport=httpx2.MockTransport(answer), **more), asked


def busy(status: int = 503, after: str | None = "2") -> httpx2.Response:
    body = {
        "type": "urn:xemplar:problem:Busy",
        "title": "Service Unavailable",
        "status": status,
        "detail": "no processor was free",
        "instance": "urn:xemplar:request:0123",
    }
    return httpx2.Response(status, json=body, headers={"Retry-After": after} if after else {})


@pytest.fixture(autouse=True)
def sleeps(monkeypatch: pytest.MonkeyPatch) -> Sleeps:
    """The seconds that were waited for: none are, here."""
    waited = Sleeps()
    monkeypatch.setattr("xemplar.api.client.connection.time.sleep", waited.append)
    return waited


@pytest.fixture(autouse=True)
def _no_key_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XEMPLAR_KEY", raising=False)


# ---- what is sent ---------------------------------------------------------------------------


def test_only_what_was_named_is_sent() -> None:
    client, asked = answering(busy(after=None))
    question = QueryParameters(k=5, none_of=["Mass", "Edema"], one_per_patient=True, finding=None)
    with pytest.raises(ServiceProblem):
        client.query(IMAGE, question)
    assert asked[0].url == f"{ADDRESS}/query?none_of=Mass&none_of=Edema&k=5&one_per_patient=true"


def test_a_images_name_stays_here(tmp_path: Path) -> None:
    image = tmp_path / "Doe^Jane.png"
    image.write_bytes(IMAGE)
    client, asked = answering(busy(after=None), busy(after=None))
    for named in (image, str(image)):
        with pytest.raises(ServiceProblem):
            client.query(named)
    for request in asked:
        assert IMAGE in request.content
        assert b"Doe" not in request.content


def test_what_is_none_is_forgotten_and_what_is_not_named_stays() -> None:
    client, asked = answering(busy(after=None))
    with pytest.raises(ServiceProblem):
        client.change_case("0" * 16, CaseChange(age=None, present=["Edema"]))
    assert asked[0].content == b'{"age":null,"present":["Edema"]}'


def test_an_id_cannot_lead_elsewhere() -> None:
    client, asked = answering(busy(after=None))
    with pytest.raises(ServiceProblem):
        client.case("../audit?x=1")
    assert asked[0].url.raw_path == b"/cases/..%2Faudit%3Fx%3D1"


# ---- the key --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "around", "sent"),
    [
        ("mine", None, "Bearer mine"),
        ("mine", "other", "Bearer mine"),
        (None, "other", "Bearer other"),
        ("", "other", None),
        (None, None, None),
    ],
)
def test_a_key_is_given_or_stands_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, given: str | None, around: str | None, sent: str | None
) -> None:
    if around:
        monkeypatch.setenv("XEMPLAR_KEY", around)
    client, asked = answering(ALIVE, key=given)
    client.healthz()
    assert asked[0].headers.get("authorization") == sent


@pytest.mark.parametrize(
    "failure",
    [
        busy(),
        busy(401),
        httpx2.Response(502, text="<html>"),
        httpx2.Response(200, text="<html>"),
        httpx2.ConnectError("refused"),
        httpx2.ReadTimeout("too slow"),
    ],
    ids=["503", "401", "502", "html", "refused", "timeout"],
)
def test_a_key_is_shown_nowhere(failure: httpx2.Response | Exception) -> None:
    client, _ = answering(failure, retries=0)
    with pytest.raises(ServiceError) as raised:
        client.healthz()
    shown = [repr(client), repr(vars(client)), *traceback.format_exception(raised.value)]
    assert KEY not in "".join(shown)


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY} ", f"{KEY}ü", f"{KEY}\0"])
def test_what_is_no_key_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigurationError, match="a character that no key has") as raised:
        Client(ADDRESS, key)
    assert KEY not in "".join(traceback.format_exception(raised.value))


# ---- sent again -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
def test_what_is_too_busy_is_asked_again_when_it_says(sleeps: Sleeps, status: int) -> None:
    client, asked = answering(busy(status, "2"), busy(status, "3"), ALIVE)
    assert client.healthz().status == "ok"
    assert (len(asked), sleeps) == (3, [2, 3])


def test_an_image_is_sent_whole_each_time() -> None:
    client, asked = answering(busy(), busy(after=None))
    with pytest.raises(ServiceProblem):
        client.put_case(IMAGE, CaseIn(source="clinic", present=["Mass", "Edema"]))
    assert len(asked) == 2
    for request in asked:
        assert IMAGE in request.content
        assert request.content.count(b'name="present"') == 2


def test_it_gives_up_after_so_many_times(sleeps: Sleeps) -> None:
    client, asked = answering(*[busy()] * 4, retries=2)
    with pytest.raises(ServiceProblem, match="no processor was free"):
        client.healthz()
    assert (len(asked), sleeps) == (3, [2, 2])


@pytest.mark.parametrize("after", [None, "Wed, 21 Oct 2026 07:28:00 GMT", "31", "-1", "1e3"])
def test_it_does_not_wait_for_what_does_not_say_how_long(after: str | None) -> None:
    client, asked = answering(busy(after=after))
    with pytest.raises(ServiceProblem):
        client.healthz()
    assert len(asked) == 1


@pytest.mark.parametrize(
    "ask",
    [lambda client: client.remove_case("0" * 16), lambda client: client.reindex()],
    ids=["remove_case", "reindex"],
)
def test_what_may_have_been_done_is_not_sent_again(ask: Callable[[Client], object]) -> None:
    client, asked = answering(busy(503))
    with pytest.raises(ServiceProblem):
        ask(client)
    assert len(asked) == 1
    client, asked = answering(busy(429), busy(400))  # turned away before anything was done
    with pytest.raises(ServiceProblem):
        ask(client)
    assert len(asked) == 2


def test_whether_it_is_ready_is_told_at_once() -> None:
    client, asked = answering(busy())
    with pytest.raises(ServiceProblem):
        client.readyz()
    assert len(asked) == 1


# ---- what went wrong ------------------------------------------------------------------------


def test_a_problem_tells_all_that_it_holds() -> None:
    client, _ = answering(busy(after=None))
    with pytest.raises(ServiceProblem) as raised:
        client.healthz()
    error = raised.value
    assert (error.kind, error.status, error.title) == ("Busy", 503, "Service Unavailable")
    assert (error.detail, error.request_id) == ("no processor was free", "0123")
    assert str(error) == "no processor was free (503 Service Unavailable; Busy, request 0123)"
    assert str(copy.copy(error)) == str(error)  # as it goes from one process to another


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (httpx2.Response(502, text="<html>"), "GET /healthz was answered 502 Bad Gateway"),
        (httpx2.Response(302, headers={"Location": "/"}), "was answered 302 Found"),
        (httpx2.Response(200, text="<html>"), "the answer to GET /healthz is no Health"),
        (httpx2.ConnectError("refused"), "GET /healthz failed: refused"),
        (httpx2.ReadTimeout("x"), "was not answered in time, and may be done all the same"),
    ],
    ids=["502", "302", "html", "refused", "timeout"],
)
def test_what_is_no_answer_of_the_service_says_where_to_look(
    failure: httpx2.Response | Exception, told: str
) -> None:
    client, _ = answering(failure)
    with pytest.raises(ServiceUnreachable, match=told) as raised:
        client.healthz()
    assert f"check that xemplar serves at {ADDRESS}" in str(raised.value)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken, and that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def test_nobody_listens(closed_port: int) -> None:
    with (
        Client(f"http://127.0.0.1:{closed_port}") as client,
        pytest.raises(ServiceUnreachable, match="refused"),
    ):
        client.healthz()


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "service", "ftp://service", "http://", "\0"])
def test_an_address_that_cannot_be_one_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="address"):
        Client(url)


def test_a_key_in_the_address_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="XEMPLAR_KEY") as raised:
        Client(f"http://me:{KEY}@service.example")
    assert KEY not in "".join(traceback.format_exception(raised.value))


# ---- the installation -----------------------------------------------------------------------


def test_the_library_needs_no_httpx_and_its_client_says_how_to_get_it() -> None:
    code = """
        import sys
        import xemplar
        assert "httpx2" not in sys.modules
        sys.modules["httpx2"] = None
        from xemplar import Client
    """
    command = [sys.executable, "-c", "\n".join(map(str.strip, code.splitlines()))]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert told.endswith(
        "ConfigurationError: xemplar.Client needs httpx2; "
        "install it with `pip install 'xemplar[client]'`\n"
    )
