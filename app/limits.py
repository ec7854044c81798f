"""What is refused before work is done: too large a body, one film too many, too many requests."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

import anyio
from prometheus_client import Gauge
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problems import ProblemResponse, Refusal, come_back

OVERHEAD = 64 * 1024
"""Bytes that multipart headers and the other fields may add to the film."""

LINGER_SECONDS = 5
"""How long a refused client may go on sending. To close the connection while it sends would be a
reset, and most clients would then report that instead of the answer."""

MAX_CALLERS = 10_000
"""Callers whose requests are counted; the one that has not come for longest is forgotten."""


class Rate:
    """So many requests a second from each caller, after so many at once: a token bucket each."""

    def __init__(
        self, per_second: float, at_once: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``per_second`` 0: no limit."""
        self._per_second = per_second
        self._at_once = at_once
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> None:
        """Count one request.

        Raises:
            Refusal: 429, with the seconds after which there is room for one.
        """
        if not self._per_second:
            return
        now = self._clock()
        tokens, since = self._buckets.pop(caller, (float(self._at_once), now))
        tokens = min(self._at_once, tokens + (now - since) * self._per_second)
        enough = tokens >= 1
        self._buckets[caller] = (tokens - enough, now)
        if len(self._buckets) > MAX_CALLERS:
            self._buckets.popitem(last=False)
        if not enough:
            seconds = max(1, math.ceil((1 - tokens) / self._per_second))
            raise Refusal(
                "TooManyRequests",
                HTTPStatus.TOO_MANY_REQUESTS,
                f"more than {self._per_second:g} requests a second, and {self._at_once} at once, "
                f"is the limit; come back in {seconds} s",
                retry_after=str(seconds),
            )


class UploadLimit:
    """ASGI middleware; so many films are taken in at once, and the others are told to come back.

    A film and all that is made of it is held in memory until its query is answered. A queue that
    grows without end would end in a process that is killed, with all its queries.
    """

    def __init__(self, app: ASGIApp, at_once: int, gauge: Gauge) -> None:
        self.app = app
        self.at_once = at_once
        self._inside = 0
        self._gauge = gauge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Implements ASGI."""
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT", "PATCH"):
            await self.app(scope, receive, send)
            return
        if self._inside >= self.at_once:
            reason = f"{self.at_once} films are being worked on, which is the limit"
            await refuse(come_back("Busy", reason).response(), scope, receive, send)
            return
        scope["upload_limit"] = self
        with self._counted(1):
            await self.app(scope, receive, send)

    @contextmanager
    def holding(self, films: int) -> Iterator[None]:
        """Count a request that turned out to bring several films as so many, while it lasts.

        Where nothing else is worked on, a batch may be larger than the limit: it could never be
        answered otherwise.

        Raises:
            Refusal: 503, with the films of other requests they are too many.
        """
        others = self._inside - 1
        if others and others + films > self.at_once:
            raise come_back(
                "Busy",
                f"{others} other films are being worked on and this request brings {films}; "
                f"{self.at_once} at once is the limit",
            )
        with self._counted(films - 1):
            yield

    @contextmanager
    def _counted(self, films: int) -> Iterator[None]:
        self._inside += films
        self._gauge.set(self._inside)
        try:
            yield
        finally:
            self._inside -= films
            self._gauge.set(self._inside)


class BodyLimit:
    """ASGI middleware; counts what arrives, as a Content-Length may lie or be missing."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Implements ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        seen = 0
        refused = answered = False

        async def counted() -> Message:
            nonlocal seen, refused
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.max_bytes + OVERHEAD:
                refused = True
                # the application sees the client leave, and lets go of what it has
                return {"type": "http.disconnect"}
            return message

        async def guarded(message: Message) -> None:
            nonlocal answered
            if refused and not answered:
                return
            answered = True
            await send(message)

        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self.max_bytes + OVERHEAD:
            refused = True
        else:
            await self.app(scope, counted, guarded)
        if refused and not answered:
            detail = (
                f"the request is larger than the limit of {self.max_bytes:,} bytes for a film; "
                "send it at a smaller size"
            )
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            await refuse(ProblemResponse("ImageTooLarge", status, detail), scope, receive, send)


async def refuse(answer: ProblemResponse, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer at once, then discard what still arrives."""
    answer.headers["connection"] = "close"

    async def unended(message: Message) -> None:
        if message["type"] == "http.response.body":
            message["more_body"] = True
        await send(message)

    await answer(scope, receive, unended)
    with anyio.move_on_after(LINGER_SECONDS):
        while (await receive()).get("more_body"):
            pass
    await send({"type": "http.response.body", "body": b"", "more_body": False})
