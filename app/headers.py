"""Security headers of every answer."""

import base64
import hashlib
import re

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""Only the service's own resources; no inline script or style; no framing by other pages."""

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

    Answers may show a patient, so no browser or proxy may cache them: otherwise they would outlive
    the key, or the case. The page's own files set another Cache-Control themselves.
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
    """Policy for Swagger UI, which has an inline script and inline styles.

    The page contains nothing that a caller wrote, so its scripts are trusted: they are allowed by
    their digests, and no others run.
    """
    digests = (base64.b64encode(hashlib.sha256(s).digest()).decode() for s in _SCRIPT.findall(page))
    scripts = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"{POLICY}; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'"
