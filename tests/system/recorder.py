"""What the clients of `tests.system.clients` saw, and whether it was right."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

import httpx2


@dataclass(frozen=True)
class Sample:
    """What became of one request.

    Attributes:
        kind: of request, as "query".
        began: when it was sent (``time.monotonic``).
        seconds: until its answer was there.
        status: of the answer; 0 where there was none.
        detail: of its problem, or what went wrong without an answer; else empty.
        retry_after: the header, None without.
    """

    kind: str
    began: float
    seconds: float
    status: int
    detail: str = ""
    retry_after: str | None = None

    @property
    def ended(self) -> float:
        """When its answer was there."""
        return self.began + self.seconds

    @property
    def ok(self) -> bool:
        """Whether what was asked for was done."""
        return 200 <= self.status < 300

    @property
    def refused_with_retry_after(self) -> bool:
        """Whether it was refused as it should be while something is out of order."""
        return self.status == httpx2.codes.SERVICE_UNAVAILABLE and self.retry_after is not None


@dataclass
class Recorder:
    """What all clients have seen. Shared by their threads.

    Attributes:
        images: case id -> file, of the cases that nobody deletes.
        samples: of all requests.
        wrong: answers that were not right, in words.
        searchable: seconds from an upload's acknowledgement until the case was found, by its id.
    """

    images: Mapping[str, bytes]
    samples: list[Sample] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    searchable: dict[str, float] = field(default_factory=dict)
    _gone: dict[str, float] = field(default_factory=dict)
    _there: set[str] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    def uploaded(self, case_id: str) -> None:
        """An upload was acknowledged."""
        with self._lock:
            self._there.add(case_id)

    def deleting(self, case_id: str) -> None:
        """A deletion is being asked for: until it is acknowledged, both answers are right."""
        with self._lock:
            self._there.discard(case_id)

    def deleted(self, case_id: str) -> None:
        """A deletion was acknowledged."""
        with self._lock:
            self._gone[case_id] = time.monotonic()

    def answered(self, case_ids: Sequence[str], asked_at: float) -> None:
        """These cases were in an answer to a request that was sent at that time."""
        with self._lock:
            late = [one for one in case_ids if self._gone.get(one, asked_at) < asked_at]
            self.wrong += [f"case {one} was in an answer after it was deleted" for one in late]

    def check_acknowledged(self, http: httpx2.Client) -> tuple[int, int]:
        """Ask for every case: those put in are there, and those deleted are not.

        Returns:
            How many were put in and are to be there, and how many are to be gone.
        """
        for case_id in self._there:
            if http.get(f"/cases/{case_id}").status_code != httpx2.codes.OK:
                self.wrong.append(f"case {case_id} was acknowledged, and is lost")
        for case_id in self._gone:
            if http.get(f"/cases/{case_id}").status_code != httpx2.codes.NOT_FOUND:
                self.wrong.append(f"case {case_id} was deleted, and is there")
        return len(self._there), len(self._gone)
