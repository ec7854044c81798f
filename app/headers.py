"""Headers that every answer has, so that a browser keeps to what the service means."""

import base64
import hashlib
import re

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""Nothing comes from elsewhere, no script or style stands in a page, no other page shows ours."""

STEADY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


class SecurityHeaders:
    """ASGI middleware; adds the headers.

    No browser or proxy keeps an answer, for it may show a patient: not after the key is forgotten,
    nor after the case is removed. What is of nobody (the page's own files) says otherwise itself.
    """

    def __init__(self, app: ASGIApp, docs: str) -> None:
        self.app = app
        self.docs = docs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Implements ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_docs = scope["path"].endswith(self.docs)
        held: Message | None = None

        async def headed(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start":
                _add(MutableHeaders(scope=message))
                if is_docs and message["status"] == 200:
                    held = message  # until its body is known
                    return
            elif held is not None:
                MutableHeaders(scope=held)["Content-Security-Policy"] = _docs_policy(
                    message.get("body", b"")
                )
                await send(held)
                held = None
            await send(message)

        await self.app(scope, receive, headed)


def _add(headers: MutableHeaders) -> None:
    for name, value in STEADY.items():
        headers[name] = value
    headers.setdefault("Content-Security-Policy", POLICY)
    headers.setdefault("Cache-Control", "no-store")


def _docs_policy(page: bytes) -> str:
    """Swagger UI is started by a script within its page, and styles its elements one by one.

    The page holds nothing that a caller wrote, so the scripts in it are ours: they are named by
    their digest, and no other one runs.
    """
    digests = (base64.b64encode(hashlib.sha256(s).digest()).decode() for s in _SCRIPT.findall(page))
    scripts = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"{POLICY}; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'"
