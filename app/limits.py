"""What is refused before anything of it is kept: too large a body, and one film too many."""

from http import HTTPStatus

import anyio
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.problems import problem

OVERHEAD = 64 * 1024
"""Bytes that multipart headers and the other fields may add to the film."""

LINGER_SECONDS = 5
"""How long a refused client may go on sending. To close the connection while it sends would be a
reset, and most clients would then report that instead of the answer."""


RETRY_SECONDS = 2
"""After which a client that was turned away may come again: a query takes well under a second."""


class UploadLimit:
    """ASGI middleware; so many films are taken in at once, and the others are told to come back.

    A film and all that is made of it is held in memory until its query is answered. A queue that
    grows without end would end in a process that is killed, with all its queries.
    """

    def __init__(self, app: ASGIApp, at_once: int) -> None:
        self.app = app
        self.at_once = at_once
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Implements ASGI."""
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT", "PATCH"):
            await self.app(scope, receive, send)
            return
        if self._inside >= self.at_once:
            detail = (
                f"{self.at_once} films are being worked on, which is the limit; send this one "
                f"again in {RETRY_SECONDS} seconds"
            )
            answer = problem("Busy", HTTPStatus.SERVICE_UNAVAILABLE, detail)
            answer.headers["retry-after"] = str(RETRY_SECONDS)
            await refuse(answer, receive, send)
            return
        self._inside += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._inside -= 1


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
            answer = problem("ImageTooLarge", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
            await refuse(answer, receive, send)


async def refuse(answer: Response, receive: Receive, send: Send) -> None:
    """Answer at once, then discard what still arrives."""
    answer.headers["connection"] = "close"
    start = {"type": "http.response.start", "status": answer.status_code}
    await send(start | {"headers": answer.raw_headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": True})
    with anyio.move_on_after(LINGER_SECONDS):
        while (await receive()).get("more_body"):
            pass
    await send({"type": "http.response.body", "body": b"", "more_body": False})
