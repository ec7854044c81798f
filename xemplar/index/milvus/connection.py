"""The connection to a Milvus server: its URL, its version, and its failures as domain errors."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from xemplar.catalog.schema import PASSWORD_FILE, with_password
from xemplar.errors import ConfigurationError, IndexUnreachable

if TYPE_CHECKING:
    from pymilvus import MilvusClient

PORT = 19530
VERSION = "2.3"
"""Release of Milvus that the tests run against; others number their errors and limits otherwise."""

ANSWER_SECONDS = 5.0
"""Limit for the answer to a query; a search of a million cases takes milliseconds."""

WORK_SECONDS = 3600.0
"""Limit for a step of building: flushing, indexing or loading a whole collection."""

NOT_THERE = frozenset({100, 1600})
"""Milvus's codes of a missing collection and of a missing alias."""

NO_DATABASE = 800


class NotThere(Exception):
    """Milvus has no such collection or alias."""


def address_of(url: str) -> URL:
    """Parse the URL of a Milvus server, ``milvus://[USER@]HOST[:PORT][/DATABASE]``.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        address = make_url(url)
    except (ArgumentError, ValueError) as error:  # the latter for a port that is no number
        raise ConfigurationError(
            "the index URL (XEMPLAR_INDEX_URL) cannot be read; write milvus://HOST:19530"
        ) from error
    shown = address.set(query={}).render_as_string(hide_password=True)
    unknown = set(address.query) - {PASSWORD_FILE}
    if address.drivername not in ("milvus", "milvus+tls") or not address.host or unknown:
        raise ConfigurationError(
            f"the index URL {shown} names no Milvus server; write "
            "milvus://HOST:19530 or milvus+tls://USER@HOST/DATABASE?password_file=FILE, or leave "
            "it empty for an index in the store"
        )
    return address


@lru_cache(8)
def connect(url: str) -> "MilvusClient":
    """Connect to a Milvus server; one connection for each URL, which threads share.

    Raises:
        ConfigurationError: the URL is invalid, pymilvus is not installed, or the server is of
            another version.
        IndexUnreachable: the server does not answer.
    """
    address = with_password(address_of(url), "Milvus server")
    client = _client(address)
    with answered(url):
        version = client.get_server_version(timeout=ANSWER_SECONDS)
    if not re.match(rf"v?{re.escape(VERSION)}\.", version):
        client.close()
        raise ConfigurationError(
            f"the server at {_shown(url)} is Milvus {version[:20]}; this software works with "
            f"{VERSION}; run that version, or empty the index URL (XEMPLAR_INDEX_URL)"
        )
    return client


@contextmanager
def answered(url: str) -> Iterator[None]:
    """Turn failures of a server into domain errors.

    Raises:
        NotThere: the collection or alias asked for does not exist.
        ConfigurationError: the URL is invalid, its database does not exist, or pymilvus is not
            installed.
        IndexUnreachable: the server does not answer, or not as asked.
    """
    address = address_of(url)
    driver = _driver()
    import grpc  # which comes with it

    try:
        yield
    except (driver.MilvusException, grpc.RpcError) as error:
        if isinstance(error, driver.MilvusException):
            if error.code in NOT_THERE:
                raise NotThere(error.message) from error
            if error.code == NO_DATABASE:
                raise ConfigurationError(
                    f"{_shown(url)} has no database {address.database!r}; make it there, "
                    "or name another one in the index URL (XEMPLAR_INDEX_URL)"
                ) from error
            why = f"code {error.code}: {error.message[:200]}"
        else:
            why = str(error.code())
        raise IndexUnreachable(
            f"Milvus at {_shown(url)} does not answer as it should ({why}); see whether it runs "
            "and has room; nothing here needs a restart"
        ) from error


def _driver() -> ModuleType:
    """Import pymilvus, which the base does not install."""
    # it would read the file .env of the working folder into this process's environment
    os.environ["PYTHON_DOTENV_DISABLED"] = "1"
    try:
        import pymilvus
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the index URL needs {error.name}; install it with `pip install 'xemplar[milvus]'`"
        ) from error
    module: ModuleType = pymilvus
    return module


def _client(address: URL) -> "MilvusClient":
    driver = _driver()
    # it logs each failed call with a trace and the whole request; callers report failures
    for name in ("pymilvus", "pymilvus.milvus_client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    scheme = "https" if address.drivername == "milvus+tls" else "http"
    host = f"[{address.host}]" if ":" in (address.host or "") else address.host
    with answered(address.render_as_string(hide_password=False)):
        client: MilvusClient = driver.MilvusClient(
            uri=f"{scheme}://{host}:{address.port or PORT}",
            user=address.username or "",
            password=str(address.password or ""),
            db_name=address.database or "default",
            timeout=ANSWER_SECONDS,
        )
    return client


def _shown(url: str) -> str:
    """Return a server's URL without its password."""
    return address_of(url).set(query={}).render_as_string(hide_password=True)
