"""Refuses a body that is too large while it arrives, before it is kept anywhere."""

from http import HTTPStatus

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.problems import problem

OVERHEAD = 64 * 1024
"""Bytes that multipart headers and the other fields may add to the film."""

LINGER_SECONDS = 5
"""How long a refused client may go on sending. To close the connection while it sends would be a
reset, and most clients would then report that instead of the answer."""


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
            await self._refuse(receive, send)

    async def _refuse(self, receive: Receive, send: Send) -> None:
        """Answer at once, then discard what still arrives."""
        detail = (
            f"the request is larger than the limit of {self.max_bytes:,} bytes for a film; "
            "send it at a smaller size"
        )
        answer = problem("ImageTooLarge", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
        answer.headers["connection"] = "close"
        start = {"type": "http.response.start", "status": answer.status_code}
        await send(start | {"headers": answer.raw_headers})
        await send({"type": "http.response.body", "body": answer.body, "more_body": True})
        with anyio.move_on_after(LINGER_SECONDS):
            while (await receive()).get("more_body"):
                pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})
