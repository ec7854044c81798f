"""Mutated images are answered or refused: `tests/system/mutated_uploads.py` in short."""

import pytest
from fastapi.testclient import TestClient

from tests.app.asking import MEDIA_TYPE
from tests.system.mutations import mutation

pytestmark = pytest.mark.system


@pytest.mark.filterwarnings("ignore")  # what libraries find odd in an image ends no request outside
@pytest.mark.parametrize("first", range(0, 150, 25))
def test_a_mutated_image_is_answered_or_refused(client: TestClient, first: int) -> None:
    for number in range(first, first + 25):
        mutated = mutation(number)
        response = client.post("/query", files={"image": mutated.data})
        told = f"{number}: {mutated.image}, {mutated.kind}: {response.text[:200]}"
        assert response.status_code in (200, 400, 413, 415, 422), told
        assert response.status_code == 200 or response.headers["content-type"] == MEDIA_TYPE, told


def test_a_mutation_can_be_made_again_by_its_number() -> None:
    assert mutation(7, seed=1) == mutation(7, seed=1)
    assert len({mutation(number).data for number in range(20)}) > 15
