"""Records and verifies the observations of the clients in `tests.system.clients`."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

import httpx2


@dataclass(frozen=True)
class Sample:
    """Result of a request.

    Attributes:
        kind: of request, such as "query".
        began: when it was sent (``time.monotonic``).
        seconds: until the response.
        status: of the response; 0 if there was none.
        detail: of the problem or connection error; empty on success.
        retry_after: the header, or None.
        unaudited: True if the answer says that the change was carried out, but not audited.
    """

    kind: str
    began: float
    seconds: float
    status: int
    detail: str = ""
    retry_after: str | None = None
    unaudited: bool = False

    @property
    def ended(self) -> float:
        """Time of the response."""
        return self.began + self.seconds

    @property
    def ok(self) -> bool:
        """True if the request succeeded."""
        return 200 <= self.status < 300

    @property
    def refused_with_retry_after(self) -> bool:
        """True if it was refused with 503 and Retry-After, as is right during an outage."""
        return self.status == httpx2.codes.SERVICE_UNAVAILABLE and self.retry_after is not None

    @property
    def right_in_outage(self) -> bool:
        """True for answers that an outage excuses.

        A change whose transaction ended just before the outage was carried out, and its answer
        must say so instead of inviting the client to repeat it.
        """
        return self.refused_with_retry_after or self.unaudited


@dataclass
class Recorder:
    """Observations of all clients. Shared by their threads.

    Attributes:
        images: case id -> file, for cases that are never deleted.
        samples: of all requests.
        wrong: wrong answers, as messages.
        searchable: case id -> seconds from an upload's acknowledgement until the case was found.
    """

    images: Mapping[str, bytes]
    samples: list[Sample] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    searchable: dict[str, float] = field(default_factory=dict)
    _gone: dict[str, float] = field(default_factory=dict)
    _there: set[str] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    def uploaded(self, case_id: str) -> None:
        """Record an acknowledged upload."""
        with self._lock:
            self._there.add(case_id)

    def deleting(self, case_id: str) -> None:
        """Record a requested deletion; until acknowledged, the case may be present or absent."""
        with self._lock:
            self._there.discard(case_id)

    def deleted(self, case_id: str) -> None:
        """Record an acknowledged deletion."""
        with self._lock:
            self._gone[case_id] = time.monotonic()

    def answered(self, case_ids: Sequence[str], asked_at: float) -> None:
        """Check the cases in the answer to a request sent at ``asked_at``."""
        with self._lock:
            late = [one for one in case_ids if self._gone.get(one, asked_at) < asked_at]
            self.wrong += [f"case {one} was in an answer after it was deleted" for one in late]

    def check_acknowledged(self, http: httpx2.Client) -> tuple[int, int]:
        """Check that uploaded cases are present and deleted ones absent.

        Returns:
            Numbers of expected and of deleted cases.
        """
        for case_id in self._there:
            if http.get(f"/cases/{case_id}").status_code != httpx2.codes.OK:
                self.wrong.append(f"case {case_id} was acknowledged but is lost")
        for case_id in self._gone:
            if http.get(f"/cases/{case_id}").status_code != httpx2.codes.NOT_FOUND:
                self.wrong.append(f"case {case_id} was deleted but is still there")
        return len(self._there), len(self._gone)
