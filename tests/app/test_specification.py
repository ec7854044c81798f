"""The OpenAPI document says what the service does: `schemathesis` asks everything that it allows.

All checks of schemathesis, over requests that obey the document and requests that break it: of each
operation a few here, and every boundary of every value in `make thorough`.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import httpx2
import pytest
import uvicorn
from xemplar_app.main import create_app
from xemplar_app.opening import open_retriever
from xemplar_app.settings import ServiceSettings

from tests.agreement import PATIENCE
from tests.app.asking import bearer
from tests.app.reading import serving
from tests.stores import SmallStore
from xemplar.model.encoder import Precision
from xemplar.operations.keys import Keys, Role

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

SHORT = ("--phases", "examples,fuzzing", "--max-examples", "1")

HERE = Path(__file__).parent
EXAMPLES = "5" if os.environ.get("HYPOTHESIS_PROFILE") == "explore" else "3"
"""Of each operation and way to break it."""
NOT_REACHED = {
    *("next_reading", "put_reading", "reading_image", "reading_case_image", "readings_csv"),
    *("remove_entry", "query_values"),
}
"""Operations on what no other makes at random: a reader study, an entry of a collection, a query
with an image of more than 8 bits."""

OPEN_TO_ALL = {"healthz", "readyz"}
ANSWERED = re.compile(r'xemplar_requests_total{operation="(\w+)",status="2\d\d"}')
DENIED = re.compile(r'xemplar_requests_total{operation="(\w+)",status="401"}')


@pytest.fixture
def secret(keys: Keys) -> str:
    return keys.create("x", Role.ADMIN)[1]


@pytest.fixture
def url(own: SmallStore, secret: str) -> Iterator[str]:
    """A service that asks for keys everywhere, on a store that may be changed."""
    settings = ServiceSettings(
        store=own.store.root,
        checkpoint=own.checkpoint,
        precision=Precision.FLOAT32,
        threads=1,
        host="0.0.0.0",  # noqa: S104 -- what listens on loopback shows its metrics to anybody
        requests_per_second=0,
        wrong_keys_per_minute=0,
    )
    app = create_app(settings, open_retriever(settings))
    with serving(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None)) as url:
        yield url


def run_schemathesis(url: str, *options: str) -> None:
    """Its report, which a failure shows, says how to ask again for what fails."""
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "--config-file",
        HERE / "specification.toml",
    ]
    command += ["run", f"{url}/openapi.json", "--no-color", *options]
    environment = {
        "SCHEMATHESIS_HOOKS": "tests.app.specification",
        "PYTHONPATH": str(HERE.parents[1]),
    }
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def operations(url: str) -> set[str]:
    paths = httpx2.get(f"{url}/openapi.json", timeout=PATIENCE).json()["paths"]
    return {operation["operationId"] for path in paths.values() for operation in path.values()}


def counted(what: re.Pattern[str], url: str, secret: str) -> set[str]:
    """The documented operations that the service has answered so, by its own metrics."""
    text = (
        httpx2.get(f"{url}/metrics", headers=bearer(secret), timeout=PATIENCE)
        .raise_for_status()
        .text
    )
    return operations(url) & set(what.findall(text))


def test_every_operation_does_what_the_specification_says_of_an_example(
    url: str, secret: str
) -> None:
    run_schemathesis(url, "-H", f"Authorization: Bearer {secret}", *SHORT)
    assert counted(ANSWERED, url, secret) > OPEN_TO_ALL


@pytest.mark.long
def test_with_a_key_every_operation_does_what_the_specification_says(url: str, secret: str) -> None:
    run_schemathesis(url, "-H", f"Authorization: Bearer {secret}", "--max-examples", EXAMPLES)
    assert counted(ANSWERED, url, secret) == operations(url) - NOT_REACHED


@pytest.mark.long
def test_without_a_key_the_service_says_only_that_it_lives(url: str, secret: str) -> None:
    """In short: test_roles.py."""
    # boundaries of values, and many of them, are the other test's: nobody looks at a value before
    # the key
    run_schemathesis(url, "--phases", "examples,fuzzing,stateful", "--max-examples", "1")
    assert counted(ANSWERED, url, secret) == OPEN_TO_ALL
    assert counted(DENIED, url, secret) == operations(url) - OPEN_TO_ALL
    assert httpx2.get(f"{url}/metrics", timeout=PATIENCE).status_code == HTTPStatus.UNAUTHORIZED
