"""`BodyLimit`: what is too large or too slow is refused while it arrives, whatever it says."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from math import inf
from typing import Any

import anyio
import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send
from xemplar_app.body import MAX_JSON_BYTES, OVERHEAD, BodyLimit, Pace
from xemplar_app.record import Record

LIMIT = 100_000
CHUNK = 50_000


async def reading(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that takes images, reads the whole body and answers with its length."""
    scope["state"]["body"].take_images()
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
    anyio.run(BodyLimit(app, LIMIT), scope_of(declared), client.receive, client.send)
    return client


def scope_of(declared: int | None = None) -> Scope:
    headers = [] if declared is None else [(b"content-length", str(declared).encode())]
    state = {"record": Record("1")}
    return {"type": "http", "method": "POST", "path": "/", "headers": headers, "state": state}


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


def test_a_body_that_brings_no_image_has_a_limit_of_its_own() -> None:
    async def taking_no_image(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(ClientDisconnect):
            await Request(scope, receive).body()
        await PlainTextResponse("taken")(scope, receive, send)

    assert asked(Client(MAX_JSON_BYTES // CHUNK), taking_no_image).status == 200
    large = asked(Client(MAX_JSON_BYTES // CHUNK + 1), taking_no_image)
    assert "limit of 262,144 bytes for one that brings no image" in told(large, 413, "BodyTooLarge")


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


# ---- bodies that come slowly ------------------------------------------------------------------


class Clock(asyncio.SelectorEventLoop):
    """An event loop whose time stands still while it works, and jumps where it would wait."""

    def __init__(self) -> None:
        super().__init__()
        self._now, look = 1000.0, self._selector.select

        def jump(timeout: float | None) -> Any:
            ready = look(0)
            self._now += timeout if timeout and not ready else 0
            return ready

        self._selector.select = jump

    def time(self) -> float:
        return self._now


class SlowClient(Client):
    """Sends a piece every so many seconds."""

    def __init__(self, seconds: float, piece: int, pieces: int, begins: float = 0.0) -> None:
        super().__init__(pieces)
        self.seconds, self.piece, self.begins = seconds, piece, begins
        self.answered = 0.0

    async def receive(self) -> Message:
        await anyio.sleep(self.seconds)
        message = await super().receive()
        return message | {"body": bytes(self.piece)} if "body" in message else message

    async def send(self, message: Message) -> None:
        self.answered = self.answered or anyio.current_time() - 1000
        await super().send(message)


def together(*clients: SlowClient, pace: Pace = Pace(), max_arriving: float = inf) -> BodyLimit:
    limit = BodyLimit(failing, 64_000_000, pace, max_arriving)

    async def request(client: SlowClient) -> None:
        await anyio.sleep(client.begins)
        await limit(scope_of(), client.receive, client.send)

    async def all_of_them() -> None:
        async with anyio.create_task_group() as tasks:
            for client in clients:
                tasks.start_soon(request, client)

    anyio.run(all_of_them, backend_options={"loop_factory": Clock})
    assert not limit.arriving
    return limit


def told(client: Client, status: int, kind: str) -> str:
    assert client.status == status, client.sent
    body = json.loads(client.body)
    assert body["type"] == f"urn:xemplar:problem:{kind}"
    assert dict(client.sent[0]["headers"])[b"connection"] == b"close"
    detail: str = body["detail"]
    return detail


def test_an_image_of_30_mb_comes_through_a_line_of_1_mbit() -> None:
    client = SlowClient(seconds=0.5, piece=62_500, pieces=480)
    together(client)
    assert (client.status, client.body, client.answered) == (200, b"30000000", 240)


def test_a_line_that_pauses_for_less_than_the_limit_is_no_stall() -> None:
    client = SlowClient(seconds=19, piece=400_000, pieces=10)
    together(client)
    assert (client.status, client.body) == (200, b"4000000")


def test_a_body_that_stands_still_is_refused_in_time() -> None:
    client = SlowClient(seconds=inf, piece=1, pieces=2)
    together(client)
    detail = told(client, 408, "BodyTooSlow")
    assert "stood still, or came at less than 16,384 bytes a second, for 20 seconds" in detail
    assert client.answered == 20


def test_a_body_that_drips_is_refused_in_time_although_it_began_fast() -> None:
    class Dripping(SlowClient):
        async def receive(self) -> Message:
            self.seconds, self.piece = (0, 30_000_000) if not self.taken else (4, 1)
            return await super().receive()

    client = Dripping(seconds=0, piece=0, pieces=1000)
    together(client)
    told(client, 408, "BodyTooSlow")
    assert client.answered == 20


def test_a_body_that_takes_too_long_in_all_is_refused_at_any_rate() -> None:
    client = SlowClient(seconds=0.5, piece=50_000, pieces=1000)
    together(client, pace=Pace(seconds=60))
    assert "took longer than 60 seconds" in told(client, 408, "BodyTooSlow")
    assert client.answered == 60


def test_without_a_least_rate_only_standing_still_is_refused() -> None:
    pace = Pace(stall_seconds=5, bytes_per_second=0)
    dripping, standing = SlowClient(4, 1, 100), SlowClient(inf, 1, 100)
    together(dripping, standing, pace=pace)
    assert (dripping.status, dripping.body) == (200, b"100")
    assert "stood still" in told(standing, 408, "BodyTooSlow")
    assert standing.answered == 5


def test_no_time_runs_while_nobody_waits_for_the_body_or_after_it_has_come() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.sleep(1000)
        await Request(scope, receive).body()
        with anyio.move_on_after(1000):
            await receive()  # tells when the client leaves
        await PlainTextResponse("done")(scope, receive, send)

    client = SlowClient(seconds=1, piece=100, pieces=3)
    anyio.run(
        BodyLimit(slow, LIMIT),
        scope_of(),
        client.receive,
        client.send,
        backend_options={"loop_factory": Clock},
    )
    assert (client.status, client.body) == (200, b"done")


# ---- the memory of all that arrives -----------------------------------------------------------


def test_where_memory_is_short_the_body_that_keeps_most_of_it_waiting_is_refused() -> None:
    stalled = SlowClient(seconds=15, piece=6_000_000, pieces=4)
    small = SlowClient(seconds=18, piece=400_000, pieces=3)
    fair = [SlowClient(0.1, 100_000, 50, begins=17), SlowClient(0.1, 100_000, 30, begins=17)]
    together(stalled, small, *fair, max_arriving=10_000_000)
    assert "the uploads in progress exceed the memory" in told(stalled, 503, "Busy")
    assert stalled.answered < 23
    assert [one.status for one in (small, *fair)] == [200, 200, 200]


def test_bodies_that_have_come_take_no_room_of_those_that_arrive() -> None:
    clients = [SlowClient(0.1, 1_000_000, 9, begins=second) for second in range(5)]
    together(*clients, max_arriving=10_000_000)
    assert [one.body for one in clients] == [b"9000000"] * 5
