"""What `schemathesis` is told of the service: images, and which refusals no schema can foresee."""

from http import HTTPStatus
from typing import Any

import schemathesis
from hypothesis import strategies as st

from tests.images import dicom, drawn_image, encoded

IMAGE = drawn_image(1)
IMAGES = (encoded(IMAGE), encoded(IMAGE, "JPEG"), encoded(IMAGE, "TIFF"), dicom(IMAGE))

DOMAIN = ("InvalidArgument", "UnknownFinding")
"""Problems of values that are right one by one: they contradict each other, or name what is not."""

WORDS = ("source", "patient", "view", "split", "present", "absent", "uncertain", "report",
    "findings_text", "impression")  # fmt: skip
"""Fields of POST /cases that may hold any text."""

schemathesis.openapi.format("binary", st.sampled_from(IMAGES))


@schemathesis.check
def refused_by_the_domain(
    _: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """What obeys the specification is refused for the domain's reasons alone."""
    obeys = case.meta is not None and case.meta.generation.mode.is_positive
    if obeys and response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY:
        kind = response.json()["type"].rpartition(":")[2]
        assert kind in DOMAIN, f"{kind}: the specification does not say that this is refused"


@schemathesis.hook
def filter_body(_: schemathesis.HookContext, body: Any) -> bool:
    """A form holds text, so that a number where a word is meant breaks nothing.

    Schemathesis knows that, but not where a file comes with it (4.32).
    """
    is_form = isinstance(body, dict) and "image" in body
    return not is_form or all(isinstance(body.get(name, ""), str) for name in WORDS)
