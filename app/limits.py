"""Refuses a body that is too large while it arrives, before it is kept anywhere."""

from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.problems import problem

OVERHEAD = 64 * 1024
"""Bytes that multipart headers and the other fields may add to the film."""


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
            detail = f"the request is larger than the limit of {self.max_bytes:,} bytes for a film"
            response = problem("ImageTooLarge", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
            response.headers["connection"] = "close"
            await response(scope, receive, send)
