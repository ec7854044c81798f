"""Asks a service for changes that cannot be done, and compares what it says with what is so."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx2

from tests.system.common import Process

DONE = "was carried out"
"""What only a change that was done may be answered."""

TOLD_SECONDS = 60.0
"""Within which readiness tells: it looks every five seconds, on a machine that may be busy."""


Command = tuple[str | Path, ...]


@dataclass
class Trial:
    """What was tried while writes fail for one reason.

    Attributes:
        url: of the service.
        images: indexed ones, by case id.
        new: images that are no case.
        kinds: of problem, with their status, that name this reason.
        cause: a word of the reason that every answer names.
        faults: what was wrong, in words.
    """

    url: str
    images: dict[str, bytes]
    new: list[bytes]
    kinds: dict[str, int]
    cause: str
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.http = httpx2.Client(base_url=self.url, timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def run(self) -> None:
        """All of it: nothing changes but what is said to be done."""
        self.queries()
        self.removal()
        self.refused_for_their_own_reason()
        self.new_case()
        self.key()
        self.job()
        self.ratings()

    def queries(self) -> None:
        """They are answered all the same."""
        case_id, image = next(iter(self.images.items()))
        answer = self.http.post("/query", files={"image": image})
        found = answer.json()["neighbours"][0]["case_id"] if answer.is_success else None
        self._expect(found == case_id, "query", answer)

    def removal(self) -> None:
        """The case is gone if and only if that is said."""
        case_id = next(iter(self.images))
        answer = self.http.delete(f"/cases/{case_id}")
        there = self.http.get(f"/cases/{case_id}").is_success
        self._judge("removal", answer, done=not there)
        if answer.status_code in self.kinds.values() and there:
            self._expect("removal" in _detail(answer), "the removal's answer says so", answer)

    def refused_for_their_own_reason(self) -> None:
        """What is refused anyway keeps its own answer."""
        for address, status in ((f"/cases/{'0' * 16}", 404), ("/cases/nonsense", 422)):
            answer = self.http.delete(address)
            self._expect(answer.status_code == status, f"DELETE {address}", answer)
        answer = self.http.post(f"/keys/{'0' * 16}/revoke")
        self._expect(answer.status_code == 404, "revoking a key that never was", answer)

    def new_case(self) -> None:
        """It is there if and only if that is said."""
        before = self._cases()
        answer = self.http.post("/cases", files={"image": self.new[0]}, data={"source": "check"})
        self._judge("new case", answer, done=self._cases() > before)

    def key(self) -> None:
        """Likewise."""
        before = len(self.http.get("/keys").json()["keys"])
        answer = self.http.post("/keys", json={"name": "check", "role": "admin"})
        if answer.status_code == 201:  # from the first key on, each request needs one
            self.http.headers["X-API-Key"] = answer.json()["secret"]
        self._judge("key", answer, done=len(self.http.get("/keys").json()["keys"]) > before)

    def job(self) -> None:
        """Likewise."""
        before = len(self.http.get("/jobs").json()["jobs"])
        answer = self.http.post("/jobs/reindex")
        self._judge("job", answer, done=len(self.http.get("/jobs").json()["jobs"]) > before)

    def ratings(self) -> None:
        """Likewise."""
        image, other = list(self.images)[-2:]
        said = {"ratings": [{"case_id": other, "rating": 3}]}
        answer = self.http.put(f"/ratings/{image}/check", json=said)
        there = image in self.http.get("/ratings.csv").text
        self._judge("ratings", answer, done=there)

    def goes_on(self) -> None:
        """Nothing is refused any more: another case is removed, and a new one comes."""
        self.told(refused=False)
        self.images = dict(list(self.images.items())[1:])
        self.kinds = {}
        self.removal()
        self.new_case()

    def told(self, refused: bool) -> None:
        """Readiness stays 200, and tells within a while that changes are refused, or taken."""
        deadline = time.monotonic() + TOLD_SECONDS
        while True:
            answer = self.http.get("/readyz")
            if answer.is_success and (answer.json()["writes_refused"] is not None) == refused:
                break
            if time.monotonic() > deadline:
                self._expect(False, f"readiness tells that writes are refused: {refused}", answer)
                return
            time.sleep(0.1)
        ages = [task["seconds_since_success"] for task in answer.json()["tasks"].values()]
        self._expect(bool(ages), "readiness tells of the tasks", answer)

    def away(self) -> None:
        """The database is away: a removal says that it failed and why, and nothing is ready."""
        answer = self.http.delete(f"/cases/{next(iter(self.images))}")
        why = " failed: the catalog's database does not answer"
        told = answer.status_code == 503 and why in _detail(answer)
        self._expect(told, "removal without a database", answer)
        deadline = time.monotonic() + TOLD_SECONDS
        while (ready := self.http.get("/readyz")).is_success and time.monotonic() < deadline:
            time.sleep(0.1)
        self._expect(ready.status_code == 503, "readiness without a database", ready)

    def removal_failed(self) -> None:
        """The case whose removal failed is there."""
        answer = self.http.get(f"/cases/{next(iter(self.images))}")
        self._expect(answer.is_success, "a case whose removal failed", answer)

    def refuses(self, log: Path, *command: str | Path) -> None:
        """A command that cannot be done says so in one line, and which."""
        process = Process(log, *command)
        status, said = process.wait(), process.said
        lines = [line for line in said.splitlines() if line.startswith("error ")]
        if status == 0 or len(lines) != 1 or "Traceback" in said:
            self.faults.append(f"xemplar {command[0]}: status {status}: {said[-600:]}")

    def _judge(self, what: str, answer: httpx2.Response, *, done: bool) -> None:
        if answer.is_success or DONE in _detail(answer):
            self._expect(done, f"{what} is said to be done", answer)
        else:
            kind = answer.json()["type"].rpartition(":")[2]
            right = self.kinds.get(kind) == answer.status_code and self.cause in _detail(answer)
            self._expect(right and not done, f"{what}, done: {done}", answer)

    def _cases(self) -> int:
        found: dict[str, Any] = self.http.get("/cases", params={"limit": 200}).json()
        return len(found["cases"])

    def _expect(self, right: bool, what: str, answer: httpx2.Response) -> None:
        if not right:
            self.faults.append(f"{what}: {answer.status_code} {answer.text[:300]}")


def _detail(answer: httpx2.Response) -> str:
    problem = answer.headers.get("content-type", "").startswith("application/problem+json")
    return str(answer.json()["detail"]) if problem else ""


def writing_commands(store: Path, checkpoint: Path, folder: Path) -> Sequence[Command]:
    """Commands that write into a store.

    Args:
        store: the store's folder.
        checkpoint: another one than the store's.
        folder: of a site.
    """
    at: Command = ("--store", store)
    return (
        ("backup", store.parent / "backup.tar", *at),
        ("reindex", *at, "--checkpoint", checkpoint),
        ("index", folder / "phantoms", *at, "--checkpoint", checkpoint),
        ("keys", "create", "check", "--role", "reader", *at),
    )
