"""`BodyLimit`: what is too large is refused while it arrives, whatever its header says."""

import json
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send
from xemplar_app.limits import OVERHEAD, BodyLimit
from xemplar_app.record import Record

LIMIT = 100_000
CHUNK = 50_000


async def reading(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that reads the whole body and answers with its length."""
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that answers something of its own when its client leaves."""
    try:
        await reading(scope, receive, send)
    except ClientDisconnect:
        await PlainTextResponse("what?", 400)(scope, receive, send)


class Client:
    """Sends chunks, and counts how many were taken before and after the answer began."""

    def __init__(self, chunks: int, *, leaves: bool = False) -> None:
        self.left, self.leaves = chunks, leaves
        self.taken_before_answer = self.taken = 0
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        if self.left == 0:
            return {"type": "http.disconnect"}
        self.left, self.taken = self.left - 1, self.taken + 1
        more = self.left > 0 or self.leaves
        return {"type": "http.request", "body": bytes(CHUNK), "more_body": more}

    async def send(self, message: Message) -> None:
        if not self.sent:
            self.taken_before_answer = self.taken
        self.sent.append(message)

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])


def asked(client: Client, app: Any = failing, declared: int | None = None) -> Client:
    headers = [] if declared is None else [(b"content-length", str(declared).encode())]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "headers": headers,
        "state": {"record": Record("1")},
    }
    anyio.run(BodyLimit(app, LIMIT), scope, client.receive, client.send)
    return client


def refused(client: Client) -> Iterator[str]:
    headers = dict(client.sent[0]["headers"])
    assert (client.status, headers[b"content-type"]) == (413, b"application/problem+json")
    assert headers[b"connection"] == b"close"
    assert int(headers[b"content-length"]) == len(client.body)
    assert not client.sent[-1].get("more_body")
    yield json.loads(client.body)["detail"]


def test_a_body_up_to_the_limit_passes() -> None:
    assert asked(Client(2), declared=2 * CHUNK).body == b"100000"
    assert asked(Client(2)).body == b"100000"


def test_a_body_that_says_it_is_too_large_is_refused_before_any_of_it_is_taken() -> None:
    client = asked(Client(40), declared=40 * CHUNK)
    (detail,) = refused(client)
    assert "larger than the limit of 100,000 bytes" in detail
    assert client.taken_before_answer == 0


@pytest.mark.parametrize("declared", [None, 10])
def test_a_body_that_does_not_say_so_is_refused_as_soon_as_it_is(declared: int | None) -> None:
    client = asked(Client(40), declared=declared)
    assert len(list(refused(client))) == 1
    assert client.taken_before_answer == (LIMIT + OVERHEAD) // CHUNK + 1


def test_a_refused_client_may_send_to_its_end_so_that_it_can_read_the_answer() -> None:
    assert asked(Client(40)).left == 0
    assert asked(Client(40), declared=40 * CHUNK).left == 0


def test_a_client_that_leaves_in_the_middle_is_no_error() -> None:
    client = asked(Client(1, leaves=True))
    assert (client.status, client.body) == (400, b"what?")
    client = asked(Client(40, leaves=True), declared=40 * CHUNK)
    assert len(list(refused(client))) == 1


def test_an_answer_that_needs_no_body_is_not_held_up() -> None:
    client = asked(Client(1), PlainTextResponse("ready"))
    assert (client.status, client.body, client.taken) == (200, b"ready", 0)


def test_what_is_no_http_request_passes() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    client = Client(0)
    anyio.run(BodyLimit(app, LIMIT), {"type": "lifespan"}, client.receive, client.send)
    assert seen == [{"type": "lifespan"}]
