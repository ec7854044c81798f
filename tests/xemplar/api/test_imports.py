"""The interface loads pydantic and an HTTP client, and nothing that computes or stores."""

import subprocess
import sys

import pytest

HEAVY = ("numpy", "faiss", "sqlalchemy", "cv2", "pydicom", "openvino", "PIL", "typer", "fastapi")


LIGHT = {
    *("xemplar", "pydantic", "pydantic_core", "annotated_types", "typing_extensions"),
    *("typing_inspection", "httpx2", "httpcore2", "h11", "anyio", "idna", "truststore", "sniffio"),
}
"""pydantic and httpx2 with all that they require."""


def loaded(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after a statement."""
    code = f"{statement}; import sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize(
    "statement", ["from xemplar import Client", "from xemplar.api import Client"]
)
def test_the_client_loads_no_numpy_no_index_and_no_database(statement: str) -> None:
    found = loaded(statement)
    assert {"pydantic", "httpx2"} <= found
    assert not found & set(HEAVY)
    python = loaded("import sysconfig; sysconfig.get_config_vars()")  # a name of the platform's
    assert found - python - set(sys.stdlib_module_names) <= LIGHT


def test_the_schemas_load_no_http_client() -> None:
    found = loaded("import xemplar.api")
    assert "pydantic" in found
    assert not found & {*HEAVY, "httpx2"}
