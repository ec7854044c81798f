"""`Client`: one method for each operation of the service, called as the operation is."""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias
from urllib.parse import quote

import httpx2
from pydantic import BaseModel

from xemplar.api import (
    Agreement,
    AnswerOut,
    AuditEntryOut,
    AuditPage,
    AuditParameters,
    BatchOut,
    BlindList,
    Caller,
    CaseChange,
    CaseIn,
    CaseListParameters,
    CaseOut,
    CasePage,
    CaseRankingParameters,
    ErrorList,
    ErrorOut,
    FindingList,
    FindingOut,
    GenerationList,
    GenerationOut,
    Health,
    JobList,
    JobOut,
    KeyList,
    KeyOut,
    MatchesOut,
    NewCaseOut,
    NewKey,
    NewKeyOut,
    Problem,
    QueryParameters,
    RankingParameters,
    RaterList,
    RaterOut,
    RaterOwner,
    RatingList,
    Readiness,
    Reindex,
    Search,
    SimilarParameters,
)
from xemplar.api.client.connection import Connection

ImageFile: TypeAlias = bytes | str | os.PathLike[str]
"""A file's bytes, or its path: PNG, JPEG, TIFF or DICOM. Its name is not sent."""


class Client:
    """Asks a service. What may be asked and what is answered stands in `xemplar.api`.

    ::

        with Client("http://127.0.0.1:8000") as client:
            answer = client.query("image.png", QueryParameters(k=3, finding="Effusion"))
            for near in answer.neighbours:
                print(near.rank, near.case_id, near.similarity, near.findings)

    Where the service is too busy (429 or 503 with Retry-After), the request is sent again, unless
    doing it twice would be something else than doing it once. Safe to share between threads.

    Every method may raise:
        ServiceProblem: the service refuses, or fails; with its reason.
        ServiceUnreachable: no answer, or none of the service.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        key: str | None = None,
        *,
        timeout: float = 60.0,
        retries: int = 3,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """Make a client; nothing is sent yet.

        Args:
            url: of the service, with the path under which a reverse proxy shows it.
            key: secret of an API key; None: that of the variable XEMPLAR_KEY, if it is set.
            timeout: seconds without a byte of an answer after which there will be none.
            retries: how often a request is sent again to a service that is too busy.
            transport: what carries the requests in place of the network, as in tests.

        Raises:
            ConfigurationError: the address or the key cannot be one.
        """
        key = os.environ.get("XEMPLAR_KEY", "") if key is None else key
        self._service = Connection(url, key, timeout, retries, transport)

    def __repr__(self) -> str:
        return f"Client({self._service.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._service.close()

    # ---- questions ---------------------------------------------------------------------------

    def query(self, image: ImageFile, search: QueryParameters = QueryParameters()) -> AnswerOut:
        """Past cases similar to an image, and why."""
        asked = _asked(search)
        return self._service.read(AnswerOut, "POST", "/query", params=asked, files=_form(image))

    def query_batch(
        self, images: Sequence[ImageFile], search: Search = Search()
    ) -> list[AnswerOut | Problem]:
        """The answers for up to 64 images, in their order; the problem of one that is refused."""
        asked, path = _asked(search), "/query/batch"
        return self._service.read(BatchOut, "POST", path, params=asked, files=_form(*images)).root

    def similar(self, case_id: str, search: SimilarParameters = SimilarParameters()) -> AnswerOut:
        """Past cases similar to one of them."""
        path = _path("cases", case_id, "similar")
        return self._service.read(AnswerOut, "GET", path, params=_asked(search))

    def query_similar(
        self, query_id: str, search: QueryParameters = QueryParameters()
    ) -> AnswerOut:
        """Something else asked of an image that was sent; while the service remembers it."""
        path = _path("queries", query_id, "similar")
        return self._service.read(AnswerOut, "GET", path, params=_asked(search))

    def query_image(self, query_id: str, side: int = 1024) -> bytes:
        """The image that was sent, as a JPEG; longest side 64 to 1024 pixels."""
        path = _path("queries", query_id, "image")
        return self._service.send("GET", path, params={"side": side})

    def query_overlay(self, query_id: str, finding: str | None = None, side: int = 512) -> bytes:
        """The image that was sent with its Grad-CAM, as a JPEG.

        Args:
            query_id: of an answer.
            finding: to explain; None for the one of the answer.
            side: longest side in pixels, 64 to 1024.
        """
        asked = {"side": side} | ({"finding": finding} if finding else {})
        return self._service.send("GET", _path("queries", query_id, "overlay"), params=asked)

    def query_evidence(self, query_id: str, case_id: str, side: int = 512) -> bytes:
        """Which places of the image that was sent make it similar to a case, as a JPEG."""
        path = _path("queries", query_id, "evidence", case_id)
        return self._service.send("GET", path, params={"side": side})

    def query_matches(self, query_id: str, case_id: str) -> MatchesOut:
        """Which places of the image that was sent and of a case match."""
        path = _path("queries", query_id, "matches", case_id)
        return self._service.read(MatchesOut, "GET", path)

    def share_query(self, query_id: str) -> None:
        """Let every key see the image that was sent, and its answer; while they are remembered."""
        self._service.send("POST", _path("queries", query_id, "share"))

    # ---- ratings -----------------------------------------------------------------------------

    def query_ranking(self, query_id: str, search: RankingParameters) -> BlindList:
        """Cases to be rated for an image that was sent; while the service remembers it."""
        path = _path("queries", query_id, "ranking")
        return self._service.read(BlindList, "GET", path, params=_asked(search))

    def case_ranking(self, case_id: str, search: CaseRankingParameters) -> BlindList:
        """Cases to be rated for an indexed one."""
        path = _path("cases", case_id, "ranking")
        return self._service.read(BlindList, "GET", path, params=_asked(search))

    def put_ratings(self, image_id: str, rater: str, said: RatingList) -> None:
        """Save all that a reader says of an image's cases, in place of what they said before."""
        self._service.send("PUT", _path("ratings", image_id, rater), json=_asked(said))

    def query_ratings(self, query_id: str) -> Agreement:
        """How the search agrees with those who have rated the image's cases.

        Of others' ratings a reader is shown those of cases that the same key has rated.
        """
        return self._service.read(Agreement, "GET", _path("queries", query_id, "ratings"))

    def ratings_csv(self, *, history: bool = False) -> str:
        """All ratings, as `xemplar evaluate ranking --experts` reads them.

        Args:
            history: earlier ratings too, with the columns rated_at and superseded_at.
        """
        asked = {"history": history}
        return self._service.send("GET", "/ratings.csv", params=asked).decode()

    def raters(self) -> list[RaterOut]:
        """All readers' pseudonyms, and the keys that they belong to."""
        return self._service.read(RaterList, "GET", "/raters").raters

    def give_rater(self, rater: str, owner: RaterOwner) -> RaterOut:
        """Give a pseudonym to a key, with all ratings under it."""
        return self._service.read(RaterOut, "PUT", _path("raters", rater), json=_asked(owner))

    # ---- cases -------------------------------------------------------------------------------

    def cases(self, which: CaseListParameters = CaseListParameters()) -> Iterator[CaseOut]:
        """All cases that meet the filters; a page is fetched when it is needed."""
        asked = _asked(which)
        while True:
            page = self._service.read(CasePage, "GET", "/cases", params=asked)
            yield from page.cases
            if page.next is None:
                return
            asked["after"] = httpx2.URL(page.next).params["after"]

    def findings(self) -> list[FindingOut]:
        """What filters may name: findings that a case has or that the network knows."""
        return self._service.read(FindingList, "GET", "/findings").findings

    def case(self, case_id: str) -> CaseOut:
        """A past case."""
        return self._service.read(CaseOut, "GET", _path("cases", case_id))

    def put_case(self, image: ImageFile, about: CaseIn) -> NewCaseOut:
        """Put an image in, searchable at once; one that is there is described anew."""
        fields, image_part = _asked(about), _form(image)
        return self._service.read(NewCaseOut, "POST", "/cases", data=fields, files=image_part)

    def change_case(self, case_id: str, change: CaseChange) -> CaseOut:
        """Change what is named, forget what is None, and leave all else as it is."""
        fields = change.model_dump(mode="json", exclude_unset=True)
        return self._service.read(CaseOut, "PATCH", _path("cases", case_id), json=fields)

    def remove_case(self, case_id: str) -> None:
        """Remove a case for good, with its pictures."""
        self._service.send("DELETE", _path("cases", case_id), repeatable=False)

    def case_image(self, case_id: str, side: int = 1024) -> bytes:
        """A case's image, as a JPEG; longest side 64 to 1024 pixels."""
        path = _path("cases", case_id, "image")
        return self._service.send("GET", path, params={"side": side})

    def case_overlay(self, case_id: str, finding: str, side: int = 512) -> bytes:
        """A case with its Grad-CAM for a finding, as a JPEG; longest side 64 to 1024 pixels."""
        asked = {"finding": finding, "side": side}
        return self._service.send("GET", _path("cases", case_id, "overlay"), params=asked)

    def case_evidence(self, case_id: str, query_id: str, side: int = 512) -> bytes:
        """Which places of a case make it similar to the image that was sent, as a JPEG."""
        path = _path("cases", case_id, "evidence", query_id)
        return self._service.send("GET", path, params={"side": side})

    # ---- for administrators ------------------------------------------------------------------

    def reindex(self, what: Reindex = Reindex()) -> JobOut:
        """Start to build a new index; `wait` for it."""
        fields, path = _asked(what), "/jobs/reindex"
        return self._service.read(JobOut, "POST", path, json=fields, repeatable=False)

    def jobs(self, limit: int = 50) -> list[JobOut]:
        """The newest jobs, up to 200."""
        return self._service.read(JobList, "GET", "/jobs", params={"limit": limit}).jobs

    def job(self, job_id: str) -> JobOut:
        """How far a job is, and what came of it."""
        return self._service.read(JobOut, "GET", _path("jobs", job_id))

    def wait(self, job_id: str, *, seconds: float | None = None, every: float = 1.0) -> JobOut:
        """A job once it has ended: its `state` says whether it is done, failed or cancelled.

        Args:
            job_id: of the job.
            seconds: after which it is waited for no longer; None: for ever.
            every: seconds between two looks.

        Raises:
            TimeoutError: it has not ended by then, and goes on.
        """
        began = time.monotonic()
        while (job := self.job(job_id)).finished_at is None:
            if seconds is not None and time.monotonic() - began >= seconds:
                raise TimeoutError(f"job {job_id} has not ended within {seconds:g} s: {job.state}")
            time.sleep(every)
        return job

    def cancel_job(self, job_id: str) -> JobOut:
        """Ask a job to stop."""
        return self._service.read(JobOut, "POST", _path("jobs", job_id, "cancel"))

    def index_generations(self) -> list[GenerationOut]:
        """All generations of the index, the newest first."""
        return self._service.read(GenerationList, "GET", "/generations").generations

    def publish_generation(self, name: str) -> GenerationOut:
        """Answer with another generation; naming an older one is the rollback."""
        return self._service.read(GenerationOut, "POST", _path("generations", name, "publish"))

    def keys(self) -> list[KeyOut]:
        """All API keys, revoked ones too."""
        return self._service.read(KeyList, "GET", "/keys").keys

    def create_key(self, key: NewKey) -> NewKeyOut:
        """Make a key; its secret is told this once."""
        fields = key.model_dump(mode="json")
        return self._service.read(NewKeyOut, "POST", "/keys", json=fields, repeatable=False)

    def revoke_key(self, key_id: str) -> KeyOut:
        """Make a key useless for good; not the one that asks."""
        path = _path("keys", key_id, "revoke")
        return self._service.read(KeyOut, "POST", path, repeatable=False)

    def audit(self, which: AuditParameters = AuditParameters()) -> Iterator[AuditEntryOut]:
        """The audit trail, the newest entry first; a page is fetched when it is needed."""
        asked = _asked(which)
        while True:
            page = self._service.read(AuditPage, "GET", "/audit", params=asked)
            yield from page.entries
            if page.before is None:
                return
            asked["before"] = page.before

    def errors(self) -> list[ErrorOut]:
        """What went wrong lately, the newest first."""
        return self._service.read(ErrorList, "GET", "/errors").errors

    # ---- operation ---------------------------------------------------------------------------

    def me(self) -> Caller:
        """Who asks: the key, and what it may do."""
        return self._service.read(Caller, "GET", "/me")

    def healthz(self) -> Health:
        """The service's process lives."""
        return self._service.read(Health, "GET", "/healthz")

    def readyz(self) -> Readiness:
        """What the service answers with; where it is not ready, it is not asked again."""
        return self._service.read(Readiness, "GET", "/readyz", repeatable=False)


def _asked(search: BaseModel) -> dict[str, Any]:
    """What was named; the service's own defaults for all else."""
    return search.model_dump(mode="json", exclude_unset=True, exclude_none=True)


def _form(*images: ImageFile) -> list[tuple[str, tuple[str, bytes]]]:
    """Parts of a form. A file's own name stays here: a patient's may be in it."""
    read = (image if isinstance(image, bytes) else Path(image).read_bytes() for image in images)
    return [("image", ("image", data)) for data in read]


def _path(*parts: str) -> str:
    return "/" + "/".join(quote(part, safe="") for part in parts)
