"""The addresses of the service, by what they are about."""

from fastapi import APIRouter

from ..security import DENIED, reader, writer
from ..security import admin as administrators
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
router.include_router(queries.router, dependencies=[reader], responses=DENIED)
router.include_router(cases.router, dependencies=[reader], responses=DENIED)
router.include_router(ratings.router, dependencies=[reader], responses=DENIED)
router.include_router(changes.router, dependencies=[writer], responses=DENIED)
router.include_router(jobs.router, dependencies=[administrators], responses=DENIED)
router.include_router(generations.router, dependencies=[administrators], responses=DENIED)
router.include_router(keys.router, dependencies=[administrators], responses=DENIED)
router.include_router(ratings.export, dependencies=[administrators], responses=DENIED)
router.include_router(admin.router, dependencies=[administrators], responses=DENIED)
router.include_router(operation.router)  # open to all, but for the metrics
router.include_router(page.router)
router.include_router(docs.router)

__all__ = ["router"]
