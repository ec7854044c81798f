"""HTTP connection to a service: requests, retries, and errors."""

import time
from http import HTTPStatus
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from xemplar import __version__
from xemplar.api import Problem
from xemplar.errors import ConfigurationError, ServiceError, ServiceProblem, ServiceUnreachable

CONNECT_SECONDS = 10.0

MAX_WAIT_SECONDS = 30.0
"""Longest Retry-After that is waited for; a longer one is reported instead."""

Model = TypeVar("Model", bound=BaseModel)


class Connection:
    """Connection to one service. Thread-safe."""

    def __init__(
        self,
        url: str,
        key: str,
        timeout: float,
        retries: int,
        transport: httpx2.BaseTransport | None,
    ) -> None:
        """Prepares the connection; see `xemplar.Client`.

        Raises:
            ConfigurationError: the address or the key is malformed.
        """
        headers = {"User-Agent": f"xemplar/{__version__}"}
        if key:
            headers["Authorization"] = f"Bearer {_checked(key)}"
        self._http = httpx2.Client(
            base_url=_address(url),
            headers=headers,
            timeout=httpx2.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS)),
            transport=transport,
        )
        self._retries = retries
        self.url = url

    def close(self) -> None:
        """Closes the sockets."""
        self._http.close()

    def read(self, model: type[Model], method: str, path: str, **content: Any) -> Model:
        """Sends a request and parses the response as a model."""
        answer = self.send(method, path, **content)
        try:
            return model.model_validate_json(answer)
        except ValidationError as error:
            raise self._lost(f"the answer to {method} {path} is no {model.__name__}") from error

    def send(self, method: str, path: str, *, repeatable: bool = True, **content: Any) -> bytes:
        """Sends a request; retries while the service is too busy.

        Args:
            method: HTTP method.
            path: relative to the service's address.
            repeatable: True if the request is idempotent. Others are retried only if the service
                says that it has not started the work (429).
            content: arguments of `httpx2.Client.request`.

        Returns:
            The body of the response.

        Raises:
            ServiceProblem: the service refused the request or failed.
            ServiceUnreachable: no response, or none from an xemplar service.
        """
        left = self._retries
        while not (response := self._once(method, path, content)).is_success:
            seconds = _retry_seconds(response)
            untouched = response.status_code == HTTPStatus.TOO_MANY_REQUESTS
            if not left or seconds is None or not (repeatable or untouched):
                raise self._failure(response)
            left -= 1
            time.sleep(seconds)
        return response.content

    def _once(self, method: str, path: str, content: dict[str, Any]) -> httpx2.Response:
        try:
            return self._http.request(method, path, **content)
        except httpx2.TimeoutException as error:
            reason = f"{method} {path} was not answered in time, and may be done all the same"
            raise self._lost(reason) from error
        except httpx2.RequestError as error:
            raise self._lost(f"{method} {path} failed: {error}") from error

    def _failure(self, response: httpx2.Response) -> ServiceError:
        try:
            problem = Problem.model_validate_json(response.content)
        except ValidationError:
            asked = f"{response.request.method} {response.request.url.path}"
            status = f"{response.status_code} {response.reason_phrase}"
            return self._lost(f"{asked} was answered {status}, and not by an xemplar service")
        return ServiceProblem(
            kind=problem.type.rpartition(":")[2],
            status=problem.status,
            title=problem.title,
            detail=problem.detail,
            request_id=problem.instance.rpartition(":")[2],
        )

    def _lost(self, reason: str) -> ServiceUnreachable:
        return ServiceUnreachable(
            f"{reason}; check that xemplar serves at {self.url}, and what stands between"
        )


def _address(url: str) -> httpx2.URL:
    try:
        address = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise ConfigurationError(f"the service's address cannot be used: {error}") from error
    if address.scheme not in ("http", "https") or not address.host:
        raise ConfigurationError(f"{url!r} is no address of a service, as http://127.0.0.1:8000")
    if address.userinfo:
        raise ConfigurationError("a key belongs into `key` or XEMPLAR_KEY, not into the address")
    return address


def _checked(key: str) -> str:
    """Checks that a key fits into a header; never shows it, since it may be nearly right."""
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigurationError(
            "the API key contains a character that no key has, such as a line break"
        )
    return key


def _retry_seconds(response: httpx2.Response) -> float | None:
    """Returns the seconds to wait before a retry; None if the request must not be retried."""
    told = response.headers.get("Retry-After", "")
    busy = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
    if response.status_code not in busy or not told.isdecimal() or int(told) > MAX_WAIT_SECONDS:
        return None
    return float(told)
