"""Checks of the Host and Origin headers against requests sent by pages of other sites.

A browser lets a page of any site send requests to this machine. The same-origin policy hides the
answer from that page, unless its host name now resolves to this machine (DNS rebinding).
"""

from collections.abc import Collection
from http import HTTPStatus
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers

from .problems import SHOWN, Refusal

DEFAULT_PORTS = {"http": 80, "https": 443}


def check_host(headers: Headers, names: Collection[str]) -> None:
    """Refuse a request whose Host is not one of the service's names.

    Args:
        headers: of the request.
        names: names of the service, in lower case, without ports.

    Raises:
        Refusal: 421.
    """
    host = headers.get("host", "")
    if _split(f"//{host}").hostname not in names:
        raise Refusal(
            "Misdirected",
            HTTPStatus.MISDIRECTED_REQUEST,
            f"{host[:SHOWN]!r} is not a name of this service; if it should be, add it to "
            "XEMPLAR_HOSTS (without API keys, only names of its own machine are accepted by "
            "default; `xemplar keys create` makes a key)",
        )


def is_from(headers: Headers, hosts: Collection[str], origins: Collection[str]) -> bool:
    """Check whether a request's Origin is a page of the service, or a listed site.

    A reverse proxy may change scheme and port, so for these the browser's Sec-Fetch-Site header,
    which no page can forge, is accepted instead.

    Args:
        headers: of the request, with an Origin.
        hosts: names of the service in addition to the request's Host.
        origins: other allowed origins, such as ``https://viewer.example``.
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
    """Split a URL into its parts; an invalid one has none."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 -- raises if it is not a number
    except ValueError:
        return urlsplit("")
    return parts
