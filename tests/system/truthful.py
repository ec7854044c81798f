"""Requests changes from a service that cannot write, and compares its answers with reality."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx2

from tests.agreement import PATIENCE
from tests.system.common import Process

DONE = "was carried out"
"""What only a change that was done may be answered."""

Command = tuple[str | Path, ...]


@dataclass
class Trial:
    """A trial while writes fail for one reason.

    Attributes:
        url: of the service.
        images: case id -> file, for indexed cases.
        new: images that are not cases.
        kinds: problem type -> status, for this reason.
        cause: word that every refusal must contain.
        faults: as messages.
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
        """Run all checks: only acknowledged changes may happen."""
        self.queries()
        self.removal()
        self.refused_for_their_own_reason()
        self.new_case()
        self.key()
        self.job()
        self.ratings()

    def queries(self) -> None:
        """Check that queries are still answered."""
        case_id, image = next(iter(self.images.items()))
        answer = self.http.post("/query", files={"image": image})
        found = answer.json()["neighbours"][0]["case_id"] if answer.is_success else None
        self._expect(found == case_id, "query", answer)

    def removal(self) -> None:
        """Check that a case is removed if and only if the service says so."""
        case_id = next(iter(self.images))
        answer = self.http.delete(f"/cases/{case_id}")
        there = self.http.get(f"/cases/{case_id}").is_success
        self._judge("removal", answer, done=not there)
        if answer.status_code in self.kinds.values() and there:
            self._expect("removal" in _detail(answer), "the removal's answer says so", answer)

    def refused_for_their_own_reason(self) -> None:
        """Check that invalid requests keep their own errors."""
        for address, status in ((f"/cases/{'0' * 16}", 404), ("/cases/nonsense", 422)):
            answer = self.http.delete(address)
            self._expect(answer.status_code == status, f"DELETE {address}", answer)
        answer = self.http.post(f"/keys/{'0' * 16}/revoke")
        self._expect(answer.status_code == 404, "revoking a key that never was", answer)

    def new_case(self) -> None:
        """Check that a new case exists if and only if the service says so."""
        before = self._cases()
        answer = self.http.post("/cases", files={"image": self.new[0]}, data={"source": "check"})
        self._judge("new case", answer, done=self._cases() > before)

    def key(self) -> None:
        """Check the same for a new key."""
        before = len(self.http.get("/keys").json()["keys"])
        answer = self.http.post("/keys", json={"name": "check", "role": "admin"})
        if answer.status_code == 201:  # from the first key on, each request needs one
            self.http.headers["X-API-Key"] = answer.json()["secret"]
        self._judge("key", answer, done=len(self.http.get("/keys").json()["keys"]) > before)

    def job(self) -> None:
        """Check the same for a new job."""
        before = len(self.http.get("/jobs").json()["jobs"])
        answer = self.http.post("/jobs/reindex")
        self._judge("job", answer, done=len(self.http.get("/jobs").json()["jobs"]) > before)

    def ratings(self) -> None:
        """Check the same for ratings."""
        image, other = list(self.images)[-2:]
        said = {"ratings": [{"case_id": other, "rating": 3}]}
        answer = self.http.put(f"/ratings/{image}/check", json=said)
        there = image in self.http.get("/ratings.csv").text
        self._judge("ratings", answer, done=there)

    def recovers(self) -> None:
        """Check recovery: remove another case and add a new one."""
        self.readiness_reports(refused=False)
        self.images = dict(list(self.images.items())[1:])
        self.kinds = {}
        self.removal()
        self.new_case()

    def readiness_reports(self, refused: bool) -> None:
        """Check that readiness stays 200 and reports whether writes are refused."""
        deadline = time.monotonic() + PATIENCE
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

    def without_database(self) -> None:
        """Check that without the database a removal reports its failure, and readiness fails."""
        answer = self.http.delete(f"/cases/{next(iter(self.images))}")
        why = " failed: the catalog's database does not answer"
        told = answer.status_code == 503 and why in _detail(answer)
        self._expect(told, "removal without a database", answer)
        deadline = time.monotonic() + PATIENCE
        while (ready := self.http.get("/readyz")).is_success and time.monotonic() < deadline:
            time.sleep(0.1)
        self._expect(ready.status_code == 503, "readiness without a database", ready)

    def removal_failed(self) -> None:
        """Check that the case whose removal failed still exists."""
        answer = self.http.get(f"/cases/{next(iter(self.images))}")
        self._expect(answer.is_success, "a case whose removal failed", answer)

    def refuses(self, log: Path, *command: str | Path) -> None:
        """Check that a command fails with a one-line error."""
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
    """Return commands that write to a store.

    Args:
        store: the store's folder.
        checkpoint: different from the store's.
        folder: of a site.
    """
    at: Command = ("--store", store)
    return (
        ("backup", store.parent / "backup.tar", *at),
        ("reindex", *at, "--checkpoint", checkpoint),
        ("index", folder / "phantoms", *at, "--checkpoint", checkpoint),
        ("keys", "create", "check", "--role", "reader", *at),
    )
