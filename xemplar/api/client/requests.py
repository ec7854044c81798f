"""Parts of requests: paths, and the fields that a caller gave."""

from typing import Any
from urllib.parse import quote

from pydantic import BaseModel


def given_fields(search: BaseModel) -> dict[str, Any]:
    """Dumps the fields that were set; the service has defaults for the others."""
    return search.model_dump(mode="json", exclude_unset=True, exclude_none=True)


def path_of(*parts: str) -> str:
    """Joins the quoted parts of a path."""
    return "/" + "/".join(quote(part, safe="") for part in parts)
