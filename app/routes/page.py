"""The page where images are compared. It needs no key; the data that it loads do."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parents[1] / "page"

REVALIDATED = {"Cache-Control": "no-cache"}
"""Makes a browser revalidate each file, so that no two versions are mixed."""

router = APIRouter()


class PageFiles(StaticFiles):
    """Serves modules, styles and images of the page."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Implements StaticFiles; adds `REVALIDATED`."""
        response = await super().get_response(path, scope)
        response.headers.update(REVALIDATED)
        return response


@router.get("/", include_in_schema=False)
async def page() -> FileResponse:
    """Serve the page."""
    return FileResponse(FOLDER / "index.html", headers=REVALIDATED)


@router.post("/page/forget", include_in_schema=False)
async def forget() -> Response:
    """Clear the browser's cache of this service; the page asks for it when it forgets a key.

    Clear-Site-Data (W3C, 2017) works for a page that came over TLS or from this machine. The
    service forbids caching patients' data, but an earlier version did not, and a proxy may not.
    """
    return Response(status_code=204, headers={"Clear-Site-Data": '"cache"'})
