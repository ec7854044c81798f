"""An answer in a terminal: what its cases turned out to be, and earlier images."""

from io import StringIO
from typing import Any

from fastapi.testclient import TestClient
from rich.console import Console
from xemplar_app.table import answer_tables

from tests.app.asking import ask
from tests.app.test_cases import put
from tests.images import drawn_image, encoded
from tests.stores import SmallStore


def shown(answer: dict[str, Any]) -> str:
    text = StringIO()
    console = Console(width=200, file=text)
    for table in answer_tables(answer):
        console.print(table)
    return text.getvalue()


def test_outcomes_shares_and_intervals_are_shown(own_client: TestClient, own: SmallStore) -> None:
    silent = shown(ask(own_client, own.images[2], k=12, prevalence=True))
    assert "No outcome of these cases is verified" in silent
    assert "proven" not in silent
    other = encoded(drawn_image(50))
    put(own_client, other, source="clinic", present="Mass", outcomes="Lung Cancer, biopsy, 12")
    text = shown(ask(own_client, own.images[2], k=13, prevalence=True))
    assert "Lung Cancer (biopsy)" in text
    assert "turned out to be; counts, and no diagnosis" in text
    assert "1 of 1" in text
    assert "100.0% of 1" in text


def test_earlier_images_are_shown_with_what_is_called(
    own_client: TestClient, own: SmallStore
) -> None:
    files = [("image", image) for image in (own.images[1], own.images[1][:400], own.images[2])]
    text = shown(own_client.post("/query/series", files=files).json())
    assert "Earlier images, the earliest first" in text
    assert "cannot be read" in text or "damaged" in text
