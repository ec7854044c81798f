"""The page /docs, which tries the API out, and the document that it reads."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html

from xemplar.api.examples import CASE_ID, JOB_ID, QUERY_ID
from xemplar.errors import XemplarError
from xemplar.operations.jobs import Jobs
from xemplar.operations.keys import Role

from ..admission import Secret
from ..problems import Refusal
from ..record import record_of
from ..security import guard_of
from ..service import Service, root_of, service_of

STATIC = "/static-docs"
"""Path of Swagger UI's own files; the app mounts them."""

router = APIRouter()


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """Swagger UI, which loads nothing from elsewhere."""
    root, title = root_of(request), request.app.title
    return get_swagger_ui_html(
        openapi_url=f"{root}/docs/openapi.json",
        title=f"{title}: API",
        swagger_js_url=f"{root}{STATIC}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{STATIC}/swagger-ui.css",
        swagger_favicon_url=f"{root}{STATIC}/favicon.png",
        swagger_ui_parameters={"validatorUrl": None},  # nothing is sent to a validator elsewhere
    )


@router.get("/docs/openapi.json", include_in_schema=False)
async def docs_document(request: Request, secret: Secret) -> dict[str, Any]:
    """/openapi.json with examples that this store has, for whoever may see them.

    Where something is changed or removed, the example is an id of nothing.
    """
    document: dict[str, Any] = request.app.openapi()
    real: dict[str, str] = {}
    # the page explains the API also where it cannot be tried out
    with suppress(Refusal, XemplarError):
        await guard_of(request).admit(request, secret, Role.READER)
        service, key = service_of(request), record_of(request).key
        real = await service.work(lambda: _real(service, key))
    paths = {
        path: {
            method: _with_examples(operation, real if method == "get" else {})
            for method, operation in operations.items()
        }
        for path, operations in document["paths"].items()
    }
    return document | {"paths": paths}


def _real(service: Service, key: str | None) -> dict[str, str]:
    """Ids of this store, by the examples that they replace; of a key's newest query at best."""
    catalog, newest = service.retriever.catalog, service.recent.newest(key)
    cases = [near.case for near in newest.neighbours] if newest is not None else []
    cases = cases or [*catalog.page(service.retriever.checkpoint.digest, limit=1)]
    jobs = Jobs(catalog.engine).newest(1)
    real = {
        QUERY_ID: newest.query_id if newest is not None else None,
        CASE_ID: cases[0].case_id if cases else None,
        JOB_ID: jobs[0].id if jobs else None,
    }
    return {example: one for example, one in real.items() if one is not None}


def _with_examples(operation: dict[str, Any], real: Mapping[str, str]) -> dict[str, Any]:
    """An operation whose required parameters are filled in when it is tried out."""
    text = json.dumps(operation)
    for example, one in real.items():
        text = text.replace(example, one)
    filled: dict[str, Any] = json.loads(text)
    for parameter in filled.get("parameters", []):
        if parameter["required"]:  # Swagger UI takes no example from a parameter's schema
            parameter["example"] = parameter["schema"]["examples"][0]
    return filled
