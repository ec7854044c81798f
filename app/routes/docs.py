"""The page /docs, where the API can be tried out, and the OpenAPI document that it reads."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html

from xemplar.api.examples import CASE_ID, COLLECTION_ID, JOB_ID, QUERY_ID
from xemplar.errors import XemplarError
from xemplar.operations.keys import Role

from ..admission import Secret
from ..problems import Refusal
from ..record import record_of
from ..security import guard_of
from ..service import Services, root_of, services_of

STATIC = "/static-docs"
"""Path at which the app mounts Swagger UI's own files."""

router = APIRouter()


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """Serve Swagger UI, which loads nothing from other hosts."""
    root, title = root_of(request), request.app.title
    return get_swagger_ui_html(
        openapi_url=f"{root}/docs/openapi.json",
        title=f"{title}: API",
        swagger_js_url=f"{root}{STATIC}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{STATIC}/swagger-ui.css",
        swagger_favicon_url=f"{root}{STATIC}/favicon.png",
        swagger_ui_parameters={
            "validatorUrl": None
        },  # else the document is sent to a public validator
    )


@router.get("/docs/openapi.json", include_in_schema=False)
async def docs_document(request: Request, secret: Secret) -> dict[str, Any]:
    """Serve /openapi.json with example ids from this store, for callers who may see them.

    Operations that change or remove something keep an example id that does not exist.
    """
    document: dict[str, Any] = request.app.openapi()
    real: dict[str, str] = {}
    # without access the page still describes the API
    with suppress(Refusal, XemplarError):
        await guard_of(request).admit(request, secret, Role.READER)
        services, key = services_of(request), record_of(request).key
        real = await services.light.run(lambda: _real(services, key))
    paths = {
        path: {
            method: _with_examples(operation, real if method == "get" else {})
            for method, operation in operations.items()
        }
        for path, operations in document["paths"].items()
    }
    return document | {"paths": paths}


def _real(services: Services, key: str | None) -> dict[str, str]:
    """Map each example to an id from this store, preferably of the key's newest query."""
    newest = services.queries.newest(key)
    cases = [*services.catalog.page(services.retriever.checkpoint.digest, limit=1)]
    jobs = services.jobs.newest(1)
    collections = services.collections.list(key)
    real = {
        QUERY_ID: newest.query_id if newest is not None else None,
        CASE_ID: cases[0].case_id if cases else None,
        JOB_ID: jobs[0].id if jobs else None,
        COLLECTION_ID: collections[0].id if collections else None,
    }
    return {example: one for example, one in real.items() if one is not None}


def _with_examples(operation: dict[str, Any], real: Mapping[str, str]) -> dict[str, Any]:
    """Return an operation with its required parameters filled in for trying it out."""
    text = json.dumps(operation)
    for example, one in real.items():
        text = text.replace(example, one)
    filled: dict[str, Any] = json.loads(text)
    for parameter in filled.get("parameters", []):
        if parameter["required"]:  # Swagger UI ignores the examples of a parameter's schema
            parameter["example"] = parameter["schema"]["examples"][0]
    return filled
