"""Long pieces of work: started here, done by ``xemplar worker``."""

from http import HTTPStatus
from typing import Annotated

from anyio import to_thread
from fastapi import Path, Query, Request, Response, status
from starlette.convertors import StringConvertor, register_url_convertor

from xemplar.api import JobList, JobOut, Reindex
from xemplar.api.examples import JOB_ID
from xemplar.operations.jobs import Job, Jobs

from ..admission import admin
from ..problems import described
from ..record import record_of
from ..service import root_of, service_of
from .common import INVALID, NO_JSON, api_router

router = api_router("jobs", admin)

JobId = Annotated[
    str, Path(pattern="^[0-9a-f]{16}$", description="As GET /jobs lists it.", examples=[JOB_ID])
]


class _Id(StringConvertor):
    regex = "[0-9a-f]{16}"


register_url_convertor("job", _Id())  # else /jobs/reindex would be a job too, of that name

NO_JOB = described(HTTPStatus.NOT_FOUND, "No such job.")


@router.post(
    "/jobs/reindex",
    summary="Build a new index",
    status_code=status.HTTP_202_ACCEPTED,
    responses=NO_JSON | INVALID,
)
async def reindex(request: Request, response: Response, asked: Reindex | None = None) -> JobOut:
    """A new index of all cases; the one that answers goes on until the new one has passed a check.

    ``xemplar worker`` must run somewhere. With another checkpoint all images are embedded anew.
    """
    asked = asked or Reindex()
    digest = asked.checkpoint or service_of(request).retriever.checkpoint.digest
    parameters = {"checkpoint": digest, "factory": asked.factory}
    job = await to_thread.run_sync(lambda: _jobs(request).create("reindex", parameters))
    record_of(request).subject = job.id
    response.headers["location"] = f"{root_of(request)}/jobs/{job.id}"
    return _job_out(job)


@router.get("/jobs", responses=INVALID)
async def jobs(request: Request, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> JobList:
    """The newest jobs."""
    found = await to_thread.run_sync(lambda: _jobs(request).newest(limit))
    return JobList(jobs=[_job_out(job) for job in found])


@router.get("/jobs/{job_id:job}", responses=NO_JOB | INVALID)
async def job(request: Request, job_id: JobId) -> JobOut:
    """How far a job is, and what came of it."""
    return _job_out(await to_thread.run_sync(lambda: _jobs(request).job(job_id)))


@router.post("/jobs/{job_id:job}/cancel", summary="Stop a job", responses=NO_JOB | INVALID)
async def cancel_job(request: Request, job_id: JobId) -> JobOut:
    """It stops within about a second, and nothing is published; one that has ended stays so."""
    return _job_out(await to_thread.run_sync(lambda: _jobs(request).cancel(job_id)))


def _jobs(request: Request) -> Jobs:
    return Jobs(service_of(request).retriever.catalog.engine)


def _job_out(job: Job) -> JobOut:
    names = JobOut.model_fields.keys() - {"expected_end"}
    fields = {name: getattr(job, name) for name in names}
    return JobOut(**fields | {"log": list(job.log), "expected_end": job.expected_end()})
