"""Request bodies: limits on size, upload time, and memory of all bodies still arriving."""

from dataclasses import dataclass
from http import HTTPStatus
from math import inf

import anyio
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problems import BUSY, RETRY_SECONDS, Refusal, come_back
from .record import Record

MAX_JSON_BYTES = 256 * 1024
"""Size limit for a body without an image."""

OVERHEAD = 64 * 1024
"""Bytes that multipart headers and the other fields may add to the image."""

BODY = "http.response.body"

LINGER_SECONDS = 5
"""Grace period in which a refused client may go on sending. Closing the connection while it sends
would reset it, and most clients would then report the reset instead of the answer."""


@dataclass(frozen=True)
class Pace:
    """Minimum upload speed of a request body.

    A line of 1 Mbit/s carries 125,000 bytes a second.

    Attributes:
        seconds: limit for the whole body.
        stall_seconds: window over which the rate is measured.
        bytes_per_second: minimum rate over that window; 0 refuses only bodies that stall.
    """

    seconds: float = 600.0
    stall_seconds: float = 20.0
    bytes_per_second: int = 16 * 1024


class BodyLimit:
    """ASGI middleware; gives each request a `Body`, as ``state["body"]``.

    Bodies that are still arriving share `max_arriving` bytes. Beyond that, the body that has held
    the most memory for the longest is refused, so stalled uploads never block steady ones.
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
            max_bytes: size limit for images; other bodies have `MAX_JSON_BYTES`.
            pace: minimum upload speed.
            max_arriving: bytes that all arriving bodies may hold together.
            max_of_caller: concurrent bodies of one key, or of one address without a key.
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
        """Check whether a caller has reached its limit of concurrent bodies."""
        return sum(body.caller == caller for body in self.arriving) >= self.max_of_caller

    def make_room(self) -> None:
        """Refuse bodies until the remaining ones fit."""
        while sum(body.size for body in self.arriving) > self.max_arriving:
            max(self.arriving, key=lambda body: body.waste).evict()


class Body:
    """Body of one request; counts received bytes, as Content-Length may be wrong or missing.

    Its clock starts at the first read.

    Attributes:
        caller: id of the key that sends it, or the client's address if there is none.
        size: bytes received.
        refusal: why the rest is refused; the application sees a disconnect and frees its memory.
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
        self._lately, self._since = 0, 0.0  # bytes since then; starts anew once the rate is met
        self._waiting = anyio.CancelScope()

    def take_images(self) -> None:
        """Raise the limit to that of images."""
        self._max_bytes = self._limit.max_bytes + OVERHEAD
        self._too_large = _too_large("ImageTooLarge", self._limit.max_bytes, "an image")

    @property
    def is_coming(self) -> bool:
        """True while more of it may arrive."""
        return not self._is_whole and self._is_there

    @property
    def waste(self) -> float:
        """Memory held while waiting, in bytes times seconds."""
        return self.size * (anyio.current_time() - self._since)

    def evict(self) -> None:
        """Refuse the rest, because other bodies need the memory."""
        self._refuse(
            come_back(
                BUSY,
                "the uploads in progress exceed the memory for them, and this one is the slowest",
            )
        )
        self._waiting.cancel()

    async def receive(self) -> Message:
        """Implements ASGI: returns the next chunk."""
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
        f"{most:g} bodies of this key or this address are arriving at once, which is the limit; "
        f"send the request again in {RETRY_SECONDS} seconds",
        retry_after=str(RETRY_SECONDS),
    )


class _Answer:
    """Answer to one request, which may be sent before its body has arrived.

    In that case the rest of the body is discarded for a while, and the connection is closed.
    """

    def __init__(self, body: Body, receive: Receive, send: Send) -> None:
        self.started = False
        self._is_early = False
        self._body, self._receive, self._send = body, receive, send

    async def send(self, message: Message) -> None:
        """Implements ASGI; drops the application's answer if the body was refused."""
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
