"""Routes of jobs: long-running work that ``xemplar worker`` does."""

from http import HTTPStatus
from typing import Annotated

from anyio import to_thread
from fastapi import Path, Query, Request, Response, status
from starlette.convertors import StringConvertor, register_url_convertor

from xemplar.api import JobList, JobOut, Reindex
from xemplar.api.examples import JOB_ID
from xemplar.operations.jobs import Job

from ..admission import admin
from ..problems import described
from ..record import record_of
from ..service import BoundServices, root_of
from .common import INVALID, NO_JSON, api_router

router = api_router("jobs", admin)

JobId = Annotated[
    str, Path(pattern="^[0-9a-f]{16}$", description="As GET /jobs lists it.", examples=[JOB_ID])
]


class _Id(StringConvertor):
    regex = "[0-9a-f]{16}"


register_url_convertor("job", _Id())  # else "reindex" would be a job's id

NO_JOB = described(HTTPStatus.NOT_FOUND, "No such job.")


@router.post(
    "/jobs/reindex",
    summary="Build a new index",
    status_code=status.HTTP_202_ACCEPTED,
    responses=NO_JSON | INVALID,
)
async def reindex(
    request: Request, response: Response, services: BoundServices, asked: Reindex | None = None
) -> JobOut:
    """Build a new index of all cases; the live one answers until the new one has passed a check.

    Needs a running ``xemplar worker``. With another checkpoint all images are embedded again.
    """
    asked = asked or Reindex()
    digest = asked.checkpoint or services.retriever.checkpoint.digest
    parameters = {"checkpoint": digest, "factory": asked.factory}
    job = await to_thread.run_sync(lambda: services.jobs.create("reindex", parameters))
    record_of(request).subject = job.id
    response.headers["location"] = f"{root_of(request)}/jobs/{job.id}"
    return _job_out(job)


@router.get("/jobs", responses=INVALID)
async def jobs(services: BoundServices, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> JobList:
    """List the newest jobs."""
    found = await to_thread.run_sync(services.jobs.newest, limit)
    return JobList(jobs=[_job_out(job) for job in found])


@router.get("/jobs/{job_id:job}", responses=NO_JOB | INVALID)
async def job(services: BoundServices, job_id: JobId) -> JobOut:
    """Get the progress and the result of a job."""
    return _job_out(await to_thread.run_sync(services.jobs.job, job_id))


@router.post("/jobs/{job_id:job}/cancel", summary="Stop a job", responses=NO_JOB | INVALID)
async def cancel_job(services: BoundServices, job_id: JobId) -> JobOut:
    """Stop a job within about a second without publishing; a finished job is left as it is."""
    return _job_out(await to_thread.run_sync(services.jobs.cancel, job_id))


def _job_out(job: Job) -> JobOut:
    names = JobOut.model_fields.keys() - {"expected_end"}
    fields = {name: getattr(job, name) for name in names}
    return JobOut(**fields | {"log": list(job.log), "expected_end": job.expected_end()})
