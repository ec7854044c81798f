"""Bodies of requests: bounded in size, in time, and in the memory of all that still arrive."""

from dataclasses import dataclass
from http import HTTPStatus
from math import inf

import anyio
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problems import RETRY_SECONDS, Refusal, come_back
from .record import Record

MAX_JSON_BYTES = 256 * 1024
"""Limit for a body without an image."""

OVERHEAD = 64 * 1024
"""Bytes that multipart headers and the other fields may add to the image."""

BODY = "http.response.body"

LINGER_SECONDS = 5
"""Time that a refused client may go on sending. To close the connection while it sends would be a
reset, and most clients would then report that instead of the answer."""


@dataclass(frozen=True)
class Pace:
    """Least pace of a body that arrives.

    A line of 1 Mbit/s brings 125,000 bytes a second.

    Attributes:
        seconds: in which all of it must come.
        stall_seconds: in which as much must come as `bytes_per_second` brings.
        bytes_per_second: least rate; at 0, only a body that stands still is refused.
    """

    seconds: float = 600.0
    stall_seconds: float = 20.0
    bytes_per_second: int = 16 * 1024


class BodyLimit:
    """ASGI middleware; gives each request a `Body`, as ``state["body"]``.

    While bodies arrive they may take `max_arriving` bytes together. When they take more, the one
    that has kept most memory waiting is refused: whoever sends at a fair rate is never kept out by
    those who stand still.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_bytes: int,
        pace: Pace = Pace(),
        max_arriving: float = inf,
        max_of_caller: float = inf,
    ) -> None:
        """Limits of bodies.

        Args:
            app: the application.
            max_bytes: of images; other bodies have `MAX_JSON_BYTES`.
            pace: how slowly they may arrive.
            max_arriving: bytes that all may take while they arrive.
            max_of_caller: how many of one key, or of one address without keys, arrive at once.
        """
        self.app = app
        self.max_bytes = max_bytes
        self.pace = pace
        self.max_arriving = max_arriving
        self.max_of_caller = max_of_caller
        self.arriving: set[Body] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Implements ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = Body(scope, receive, self)
        scope["state"]["body"] = body
        answer = _Answer(body, receive, send)
        try:
            await self.app(scope, body.receive, answer.send)
        finally:
            self.arriving.discard(body)
        if body.refusal and not answer.started:
            await body.refusal.response()(scope, receive, answer.send_refusal)

    def is_full_of(self, caller: str) -> bool:
        """Tells whether a caller sends as many bodies as one may."""
        return sum(body.caller == caller for body in self.arriving) >= self.max_of_caller

    def make_room(self) -> None:
        """Refuse bodies until the others have room."""
        while sum(body.size for body in self.arriving) > self.max_arriving:
            max(self.arriving, key=lambda body: body.waste).evict()


class Body:
    """The body of one request, which counts what arrives: a Content-Length may lie or be missing.

    Its time begins when somebody first asks for it.

    Attributes:
        caller: id of the key that sends it, or the address where there is none.
        size: bytes that have arrived.
        refusal: why no more of it is taken; the application sees the client leave, and lets go of
            what it has.
    """

    def __init__(self, scope: Scope, receive: Receive, limit: BodyLimit) -> None:
        headers = dict(scope["headers"])
        declared = headers.get(b"content-length", b"0")
        self._declared = int(declared) if declared.isdigit() else 0
        self._is_there = bool(self._declared) or b"transfer-encoding" in headers
        self._scope = scope
        self._receive, self._limit = receive, limit
        self._max_bytes = MAX_JSON_BYTES
        self._too_large = _too_large("BodyTooLarge", MAX_JSON_BYTES, "one that brings no image")
        self.caller = ""
        self.size = 0
        self.refusal: Refusal | None = None
        self._is_whole = False
        self._deadline = inf
        self._lately, self._since = 0, 0.0  # bytes since then, which moves on when they are enough
        self._waiting = anyio.CancelScope()

    def take_images(self) -> None:
        """Allow as many bytes as images may have."""
        self._max_bytes = self._limit.max_bytes + OVERHEAD
        self._too_large = _too_large("ImageTooLarge", self._limit.max_bytes, "an image")

    @property
    def is_coming(self) -> bool:
        """True while some of it may still arrive."""
        return not self._is_whole and self._is_there

    @property
    def waste(self) -> float:
        """Memory that it keeps waiting, in bytes times seconds."""
        return self.size * (anyio.current_time() - self._since)

    def evict(self) -> None:
        """Take no more of it, as others need the memory."""
        self._refuse(come_back("Busy", "more is being sent than fits, and this came too slowly"))
        self._waiting.cancel()

    async def receive(self) -> Message:
        """Implements ASGI: the next piece."""
        if self._is_whole:
            return await self._receive()  # until the client leaves, whenever that is
        pace = self._limit.pace
        if not self._since:
            self._begin()
        if self._declared > self._max_bytes:
            self._refuse(self._too_large)
        if self.refusal is None:
            deadline = min(self._deadline, self._since + pace.stall_seconds)
            with anyio.CancelScope(deadline=deadline) as self._waiting:
                self._count(message := await self._receive())
            if self._waiting.cancelled_caught and self.refusal is None:
                self._refuse(self._too_slow())
        return message if self.refusal is None else {"type": "http.disconnect"}

    def _begin(self) -> None:
        record: Record = self._scope["state"]["record"]
        self.caller = record.key or (self._scope.get("client") or ("",))[0]
        self._is_there = True  # unless the first piece is all
        self._since = anyio.current_time()
        self._deadline = self._since + self._limit.pace.seconds
        if self._limit.is_full_of(self.caller):
            self._refuse(_too_many(self._limit.max_of_caller))
        else:
            self._limit.arriving.add(self)

    def _count(self, message: Message) -> None:
        came = len(message.get("body", b""))
        self.size += came
        self._lately += came
        pace, now = self._limit.pace, anyio.current_time()
        if self._lately >= pace.bytes_per_second * pace.stall_seconds:
            self._lately, self._since = 0, now
        if self.size > self._max_bytes:
            self._refuse(self._too_large)
        elif message.get("more_body"):
            self._limit.make_room()
        else:
            self._is_whole = True
            self._limit.arriving.discard(self)

    def _refuse(self, refusal: Refusal) -> None:
        self.refusal = refusal
        self._limit.arriving.discard(self)

    def _too_slow(self) -> Refusal:
        pace = self._limit.pace
        if anyio.current_time() < self._deadline:
            reason = (
                f"stood still, or came at less than {pace.bytes_per_second:,} bytes a second, for "
                f"{pace.stall_seconds:g} seconds"
            )
        else:
            reason = f"took longer than {pace.seconds:g} seconds"
        return Refusal(
            "BodyTooSlow",
            HTTPStatus.REQUEST_TIMEOUT,
            f"the body of the request {reason}, which is the limit; send it again",
        )


def _too_large(kind: str, max_bytes: int, what: str) -> Refusal:
    return Refusal(
        kind,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the request is larger than the limit of {max_bytes:,} bytes for {what}; "
        "send it at a smaller size",
    )


def _too_many(most: float) -> Refusal:
    return Refusal(
        "TooManyBodies",
        HTTPStatus.TOO_MANY_REQUESTS,
        f"{most:g} bodies of this key, or of this address, arrive at once, which is the limit; "
        f"send the request again in {RETRY_SECONDS} seconds",
        retry_after=str(RETRY_SECONDS),
    )


class _Answer:
    """The answer to one request, which may come before its body has.

    The connection ends with it then, once the rest of the body was discarded for a while.
    """

    def __init__(self, body: Body, receive: Receive, send: Send) -> None:
        self.started = False
        self._is_early = False
        self._body, self._receive, self._send = body, receive, send

    async def send(self, message: Message) -> None:
        """Implements ASGI, unless the body was refused: then the application only says so."""
        if self.started or not self._body.refusal:
            await self.send_refusal(message)

    async def send_refusal(self, message: Message) -> None:
        """Implements ASGI."""
        if message["type"] == "http.response.start":
            self.started, self._is_early = True, self._body.is_coming
            if self._is_early:
                MutableHeaders(scope=message)["connection"] = "close"
        if self._is_early and not message.get("more_body", message["type"] != BODY):
            await self._send({**message, "more_body": True})
            with anyio.move_on_after(LINGER_SECONDS):
                while (await self._receive()).get("more_body"):
                    pass
            message = {"type": BODY, "body": b"", "more_body": False}
        await self._send(message)
