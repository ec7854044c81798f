"""`Client`: one method for each operation of the service, named after its operation id."""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias, overload

import httpx2

from xemplar.api import (
    Agreement,
    AnswerOut,
    AskedQuery,
    AuditEntryOut,
    AuditPage,
    AuditParameters,
    BatchOut,
    BlindList,
    Caller,
    CaseChange,
    CaseDetailOut,
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
    NewCaseOut,
    NewKey,
    NewKeyOut,
    Problem,
    QueryHistory,
    QueryParameters,
    RankingParameters,
    RaterList,
    RaterOut,
    RaterOwner,
    RatingList,
    Readiness,
    Reindex,
    Search,
    SeriesOut,
    SimilarParameters,
    TimelineOut,
    WordsAnswerOut,
)
from xemplar.api.client.collections import CollectionOperations
from xemplar.api.client.connection import Connection
from xemplar.api.client.query_images import QueryImageOperations
from xemplar.api.client.reader_studies import ReaderStudyOperations
from xemplar.api.client.requests import given_fields, path_of

ImageFile: TypeAlias = bytes | str | os.PathLike[str]
"""Content of a PNG, JPEG, TIFF or DICOM file, or its path. The file's name is not sent."""


class Client(CollectionOperations, QueryImageOperations, ReaderStudyOperations):
    """Client of a service; `xemplar.api` defines requests and responses.

    ::

        with Client("http://127.0.0.1:8000") as client:
            answer = client.query("image.png", QueryParameters(k=3, finding="Effusion"))
            for near in answer.neighbours:
                print(near.rank, near.case_id, near.similarity, near.findings)

    Retries requests while the service is too busy (429 or 503 with Retry-After), unless repeating
    one could have another effect than sending it once. Thread-safe.

    Every method may raise:
        ServiceProblem: the service refused the request or failed; the message says why.
        ServiceUnreachable: no response, or none from an xemplar service.
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
        """Creates a client without sending anything.

        Args:
            url: address of the service, including any path prefix of a reverse proxy.
            key: secret of an API key; by default, the value of XEMPLAR_KEY.
            timeout: seconds to wait for the next byte of a response.
            retries: most retries of one request while the service is too busy.
            transport: replaces the network, as in tests.

        Raises:
            ConfigurationError: the address or the key is malformed.
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
        """Closes the connections."""
        self._service.close()

    # ---- queries -----------------------------------------------------------------------------

    @overload
    def query(self, image: ImageFile, search: QueryParameters = ...) -> AnswerOut: ...

    @overload
    def query(self, image: None, search: QueryParameters) -> WordsAnswerOut: ...

    def query(
        self, image: ImageFile | None, search: QueryParameters = QueryParameters()
    ) -> AnswerOut | WordsAnswerOut:
        """Finds past cases similar to an image, with evidence; without one, by ``search.text``."""
        asked = given_fields(search)
        if image is None:
            return self._service.read(WordsAnswerOut, "POST", "/query", params=asked)
        return self._service.read(AnswerOut, "POST", "/query", params=asked, files=_form(image))

    def query_together(
        self, images: Sequence[ImageFile], search: QueryParameters = QueryParameters()
    ) -> AnswerOut:
        """Finds past cases similar to several images, as one question; at most 10."""
        asked, path = given_fields(search), "/query/together"
        return self._service.read(AnswerOut, "POST", path, params=asked, files=_form(*images))

    def query_batch(
        self, images: Sequence[ImageFile], search: Search = Search()
    ) -> list[AnswerOut | Problem]:
        """Queries up to 64 images; a refused image gets a `Problem` in place of its answer."""
        asked, path = given_fields(search), "/query/batch"
        return self._service.read(BatchOut, "POST", path, params=asked, files=_form(*images)).root

    def query_series(self, images: Sequence[ImageFile], search: Search = Search()) -> SeriesOut:
        """Queries the last of up to 64 images of a patient, the earliest first."""
        asked, path = given_fields(search), "/query/series"
        return self._service.read(SeriesOut, "POST", path, params=asked, files=_form(*images))

    def similar(self, case_id: str, search: SimilarParameters = SimilarParameters()) -> AnswerOut:
        """Finds cases similar to an indexed case."""
        path = path_of("cases", case_id, "similar")
        return self._service.read(AnswerOut, "GET", path, params=given_fields(search))

    def query_similar(
        self, query_id: str, search: QueryParameters = QueryParameters()
    ) -> AnswerOut:
        """Repeats a query with other parameters, while the service remembers its image."""
        path = path_of("queries", query_id, "similar")
        return self._service.read(AnswerOut, "GET", path, params=given_fields(search))

    def share_query(self, query_id: str) -> None:
        """Lets every key see a query and its answer, while the service remembers them."""
        self._service.send("POST", path_of("queries", query_id, "share"))

    def queries(self, limit: int = 50) -> list[AskedQuery]:
        """Lists the caller's remembered queries, newest first, at most 200."""
        return self._service.read(QueryHistory, "GET", "/queries", params={"limit": limit}).queries

    def forget_query(self, query_id: str) -> None:
        """Makes the service forget a query of the caller; collections keep it."""
        self._service.send("DELETE", path_of("queries", query_id), repeatable=False)

    # ---- ratings -----------------------------------------------------------------------------

    def query_ranking(self, query_id: str, search: RankingParameters) -> BlindList:
        """Lists cases to rate for a query, while the service remembers it."""
        path = path_of("queries", query_id, "ranking")
        return self._service.read(BlindList, "GET", path, params=given_fields(search))

    def case_ranking(self, case_id: str, search: CaseRankingParameters) -> BlindList:
        """Lists cases to rate for an indexed case."""
        path = path_of("cases", case_id, "ranking")
        return self._service.read(BlindList, "GET", path, params=given_fields(search))

    def put_ratings(self, image_id: str, rater: str, said: RatingList) -> None:
        """Saves a reader's ratings of an image's cases; replaces their earlier ratings."""
        self._service.send("PUT", path_of("ratings", image_id, rater), json=given_fields(said))

    def query_ratings(self, query_id: str) -> Agreement:
        """Returns the agreement of the search with the ratings of the image's cases.

        Other readers' ratings are included only for cases that the caller's key has rated.
        """
        return self._service.read(Agreement, "GET", path_of("queries", query_id, "ratings"))

    def ratings_csv(self, *, history: bool = False) -> str:
        """Exports all ratings as CSV for `xemplar evaluate ranking --experts`.

        Args:
            history: includes superseded ratings, with the columns rated_at and superseded_at.
        """
        asked = {"history": history}
        return self._service.send("GET", "/ratings.csv", params=asked).decode()

    def raters(self) -> list[RaterOut]:
        """Lists readers' pseudonyms and the keys that own them."""
        return self._service.read(RaterList, "GET", "/raters").raters

    def give_rater(self, rater: str, owner: RaterOwner) -> RaterOut:
        """Transfers a pseudonym and all its ratings to a key."""
        return self._service.read(
            RaterOut, "PUT", path_of("raters", rater), json=given_fields(owner)
        )

    # ---- cases -------------------------------------------------------------------------------

    def cases(self, which: CaseListParameters = CaseListParameters()) -> Iterator[CaseOut]:
        """Iterates over the cases that meet the filters; fetches pages as needed."""
        asked = given_fields(which)
        while True:
            page = self._service.read(CasePage, "GET", "/cases", params=asked)
            yield from page.cases
            if page.next is None:
                return
            asked["after"] = httpx2.URL(page.next).params["after"]

    def findings(self) -> list[FindingOut]:
        """Lists the findings that filters can name: those of cases and of the network."""
        return self._service.read(FindingList, "GET", "/findings").findings

    def case(self, case_id: str) -> CaseDetailOut:
        """Returns a case."""
        return self._service.read(CaseDetailOut, "GET", path_of("cases", case_id))

    def case_timeline(self, case_id: str) -> TimelineOut:
        """Returns the films of a case's patient in the order in which they were taken."""
        return self._service.read(TimelineOut, "GET", path_of("cases", case_id, "timeline"))

    def put_case(self, image: ImageFile, about: CaseIn) -> NewCaseOut:
        """Adds a case, searchable at once; an image that is indexed already gets the new fields."""
        fields, image_part = given_fields(about), _form(image)
        return self._service.read(NewCaseOut, "POST", "/cases", data=fields, files=image_part)

    def change_case(self, case_id: str, change: CaseChange) -> CaseOut:
        """Changes the given fields of a case, deletes those that are None, and keeps the rest."""
        fields = change.model_dump(mode="json", exclude_unset=True)
        return self._service.read(CaseOut, "PATCH", path_of("cases", case_id), json=fields)

    def remove_case(self, case_id: str) -> None:
        """Deletes a case and its images permanently."""
        self._service.send("DELETE", path_of("cases", case_id), repeatable=False)

    def case_image(self, case_id: str, side: int = 1024) -> bytes:
        """Returns a case's image as a JPEG; longest side 64 to 1024 pixels."""
        path = path_of("cases", case_id, "image")
        return self._service.send("GET", path, params={"side": side})

    def case_overlay(self, case_id: str, finding: str, side: int = 512) -> bytes:
        """Returns a case with its Grad-CAM for a finding as a JPEG; longest side 64 to 1024."""
        asked = {"finding": finding, "side": side}
        return self._service.send("GET", path_of("cases", case_id, "overlay"), params=asked)

    def case_evidence(self, case_id: str, query_id: str, side: int = 512) -> bytes:
        """Returns the similarity evidence for a query in a case's image, as a JPEG."""
        path = path_of("cases", case_id, "evidence", query_id)
        return self._service.send("GET", path, params={"side": side})

    # ---- for administrators ------------------------------------------------------------------

    def reindex(self, what: Reindex = Reindex()) -> JobOut:
        """Starts a job that builds a new index; see `wait`."""
        fields, path = given_fields(what), "/jobs/reindex"
        return self._service.read(JobOut, "POST", path, json=fields, repeatable=False)

    def jobs(self, limit: int = 50) -> list[JobOut]:
        """Lists the newest jobs, at most 200."""
        return self._service.read(JobList, "GET", "/jobs", params={"limit": limit}).jobs

    def job(self, job_id: str) -> JobOut:
        """Returns a job with its progress and result."""
        return self._service.read(JobOut, "GET", path_of("jobs", job_id))

    def wait(self, job_id: str, *, seconds: float | None = None, every: float = 1.0) -> JobOut:
        """Waits for a job to end and returns it; its `state` is done, failed or cancelled.

        Args:
            job_id: id of the job.
            seconds: longest wait; None for no limit.
            every: seconds between two requests.

        Raises:
            TimeoutError: the job has not ended in time; it continues.
        """
        began = time.monotonic()
        while (job := self.job(job_id)).finished_at is None:
            if seconds is not None and time.monotonic() - began >= seconds:
                raise TimeoutError(f"job {job_id} has not ended within {seconds:g} s: {job.state}")
            time.sleep(every)
        return job

    def cancel_job(self, job_id: str) -> JobOut:
        """Requests the cancellation of a job."""
        return self._service.read(JobOut, "POST", path_of("jobs", job_id, "cancel"))

    def index_generations(self) -> list[GenerationOut]:
        """Lists the index generations, newest first."""
        return self._service.read(GenerationList, "GET", "/generations").generations

    def publish_generation(self, name: str) -> GenerationOut:
        """Makes a generation live; an older one is a rollback."""
        return self._service.read(GenerationOut, "POST", path_of("generations", name, "publish"))

    def keys(self) -> list[KeyOut]:
        """Lists all API keys, including revoked ones."""
        return self._service.read(KeyList, "GET", "/keys").keys

    def create_key(self, key: NewKey) -> NewKeyOut:
        """Creates a key; its secret is returned only here."""
        fields = key.model_dump(mode="json")
        return self._service.read(NewKeyOut, "POST", "/keys", json=fields, repeatable=False)

    def revoke_key(self, key_id: str) -> KeyOut:
        """Revokes a key permanently; the caller's own key is refused."""
        path = path_of("keys", key_id, "revoke")
        return self._service.read(KeyOut, "POST", path, repeatable=False)

    def audit(self, which: AuditParameters = AuditParameters()) -> Iterator[AuditEntryOut]:
        """Iterates over the audit trail, newest first; fetches pages as needed."""
        asked = given_fields(which)
        while True:
            page = self._service.read(AuditPage, "GET", "/audit", params=asked)
            yield from page.entries
            if page.before is None:
                return
            asked["before"] = page.before

    def errors(self) -> list[ErrorOut]:
        """Lists recent errors, newest first."""
        return self._service.read(ErrorList, "GET", "/errors").errors

    # ---- operation ---------------------------------------------------------------------------

    def me(self) -> Caller:
        """Returns the caller's key and rights."""
        return self._service.read(Caller, "GET", "/me")

    def healthz(self) -> Health:
        """Checks that the service's process is alive."""
        return self._service.read(Health, "GET", "/healthz")

    def readyz(self) -> Readiness:
        """Returns the artefacts in use; not retried if the service is not ready."""
        return self._service.read(Readiness, "GET", "/readyz", repeatable=False)


def _form(*images: ImageFile) -> list[tuple[str, tuple[str, bytes]]]:
    """Builds the form's parts without file names, which may contain a patient's name."""
    read = (image if isinstance(image, bytes) else Path(image).read_bytes() for image in images)
    return [("image", ("image", data)) for data in read]
