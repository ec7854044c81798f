"""Routes of the service, by subject."""

from fastapi import APIRouter

from . import (
    admin,
    cases,
    changes,
    docs,
    generations,
    jobs,
    keys,
    operation,
    page,
    queries,
    ratings,
)

router = APIRouter()
router.include_router(queries.router)
router.include_router(cases.router)
router.include_router(ratings.router)
router.include_router(changes.router)
router.include_router(jobs.router)
router.include_router(generations.router)
router.include_router(keys.router)
router.include_router(ratings.export)
router.include_router(admin.router)
router.include_router(operation.router)  # open to all, except the metrics
router.include_router(page.router)
router.include_router(docs.router)

__all__ = ["router"]
