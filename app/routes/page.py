"""The reading room: the page where images are compared. It needs no key; its data do."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parents[1] / "page"

REVALIDATED = {"Cache-Control": "no-cache"}
"""A browser asks each time whether a file is still the same, so that no two versions are mixed."""

router = APIRouter()


class PageFiles(StaticFiles):
    """Modules, styles and pictures of the page."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Implements StaticFiles."""
        response = await super().get_response(path, scope)
        response.headers.update(REVALIDATED)
        return response


@router.get("/", include_in_schema=False)
async def page() -> FileResponse:
    """The page."""
    return FileResponse(FOLDER / "index.html", headers=REVALIDATED)


@router.post("/page/forget", include_in_schema=False)
async def forget() -> Response:
    """Lets the browser empty its cache of this service, as the page asks once a key is forgotten.

    Clear-Site-Data (W3C, 2017) works where the page came over TLS or from this machine. The
    service lets nothing of a patient be kept; a version before did, and a proxy may.
    """
    return Response(status_code=204, headers={"Clear-Site-Data": '"cache"'})
