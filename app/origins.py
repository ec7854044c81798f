"""The name that a request asks for, and the site whose page sends it.

A browser lets a page of any site send requests to this machine. It keeps the answer from that page
by the page's origin, which a name in DNS that now means this machine would pass (DNS rebinding).
"""

from collections.abc import Collection
from http import HTTPStatus
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers

from .problems import SHOWN, Refusal

DEFAULT_PORTS = {"http": 80, "https": 443}


def check_host(headers: Headers, names: Collection[str]) -> None:
    """Refuse a request that asks for another name than the service's.

    Args:
        headers: of the request.
        names: what the service is called, in lower case, without ports.

    Raises:
        Refusal: 421.
    """
    host = headers.get("host", "")
    if _split(f"//{host}").hostname not in names:
        raise Refusal(
            "Misdirected",
            HTTPStatus.MISDIRECTED_REQUEST,
            f"the service is not called {host[:SHOWN]!r}; if it should be, name it in "
            "XEMPLAR_HOSTS (without API keys only its own machine is answered by itself; "
            "`xemplar keys create` makes one)",
        )


def is_from(headers: Headers, hosts: Collection[str], origins: Collection[str]) -> bool:
    """Tells whether a request with an Origin comes from a page of the service, or a listed one.

    A reverse proxy may change scheme and port of what it was asked for, so the browser's word
    (Sec-Fetch-Site) counts for those, which no page can change.

    Args:
        headers: of the request.
        hosts: names of the service beside the one that was asked for.
        origins: other sites whose pages may ask, as ``https://viewer.example``.
    """
    origin = headers["origin"]
    if origin in origins:
        return True
    came, asked = _split(origin), _split(f"//{headers.get('host', '')}")
    if came.hostname is None or came.hostname not in {asked.hostname, *hosts}:
        return False
    default = DEFAULT_PORTS.get(came.scheme)
    same_port = (came.port or default) == (asked.port or default)
    return same_port or headers.get("sec-fetch-site") == "same-origin"


def _split(url: str) -> SplitResult:
    """Parts of a URL; none of one that cannot be read."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 -- raises where it is no number
    except ValueError:
        return urlsplit("")
    return parts
