"""Middleware for every request before it is routed: a proxy's path prefix, and ``HEAD``."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class PathPrefix:
    """ASGI middleware; serves under a reverse proxy's prefix, which the proxy may strip or keep.

    ASGI expects the prefix in ``root_path`` and at the beginning of ``path``, so a missing one is
    added.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        """``prefix`` is of the form "/xemplar"; "" for none."""
        self.app = app
        self.prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Implements ASGI."""
        if scope["type"] == "http" and self.prefix:
            path = scope["path"]
            kept = path == self.prefix or path.startswith(f"{self.prefix}/")
            scope["root_path"] = self.prefix
            scope["path"] = path if kept else f"{self.prefix}{path}"
        await self.app(scope, receive, send)


class HeadAsGet:
    """ASGI middleware; answers ``HEAD`` as ``GET``, without the content (RFC 9110, 9.3.2).

    Routes need not name HEAD, and OpenAPI does not list it. Only the inner application sees a GET.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Implements ASGI."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def bodiless(message: Message) -> None:
            scope["method"] = "HEAD"  # the server and the log must see the original method
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        scope["method"] = "GET"
        try:
            await self.app(scope, receive, bodiless)
        finally:
            scope["method"] = "HEAD"
