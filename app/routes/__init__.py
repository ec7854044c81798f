"""The addresses of the service, by what they are about."""

from fastapi import APIRouter

from app.routes import cases, operation, queries

router = APIRouter()
for part in (queries, cases, operation):
    router.include_router(part.router)

__all__ = ["router"]
