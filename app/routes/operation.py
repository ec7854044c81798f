"""For those who run the service."""

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse

from app.routes.common import operation_id
from app.schemas import Health, Readiness
from app.service import service_of

router = APIRouter(generate_unique_id_function=operation_id, tags=["operation"])


@router.get("/healthz")
async def healthz() -> Health:
    """The process lives."""
    return Health()


@router.get("/readyz")
async def readyz(request: Request) -> Readiness:
    """The service has answered its warm-up query and can answer others."""
    generation = service_of(request).retriever.generation
    return Readiness(
        checkpoint=generation.manifest.checkpoint,
        generation=generation.name,
        cases=generation.manifest.count,
    )


@router.get("/", include_in_schema=False)
async def root() -> RedirectResponse:
    """To the page that documents the service."""
    return RedirectResponse("docs")
