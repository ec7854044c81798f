"""Variables XEMPLAR_*: one table knows them all, and what is not in it is refused."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xemplar_app.settings import ServiceSettings

from xemplar.cli.environment import (
    KNOWN,
    PREFIX,
    SETTINGS,
    THREADS,
    check_environment,
    limit_threads,
)
from xemplar.errors import ConfigurationError

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("XEMPLAR_THREDS", "XEMPLAR_THREADS"),
        ("XEMPLAR_STROE", "XEMPLAR_STORE"),
        ("XEMPLAR_MAX_UPLOAD_BYTE", "XEMPLAR_MAX_UPLOAD_BYTES"),
        ("XEMPLAR_ROOTPATH", "XEMPLAR_ROOT_PATH"),
        ("XEMPLAR_DATABASE", "XEMPLAR_DATABASE_URL"),
        ("XEMPLAR_CORS_ORIGIN", "XEMPLAR_CORS_ORIGINS"),
        ("xemplar_store", "XEMPLAR_STORE"),
        ("Xemplar_Port", "XEMPLAR_PORT"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_name(name: str, meant: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} is no .* did you mean {meant}\\?"):
        check_environment({"PATH": "/bin", "XEMPLAR_STORE": "x", name: "1"})


def test_a_variable_of_an_earlier_version_is_refused_as_gone() -> None:
    with pytest.raises(ConfigurationError, match=r"^XEMPLAR_QUEUE_URL is gone: jobs wait in the "):
        check_environment({"XEMPLAR_QUEUE_URL": "redis://queue:6379/0"})


def test_all_misspelt_variables_are_named() -> None:
    with pytest.raises(ConfigurationError, match=r"XEMPLAR_HOTS .*XEMPLAR_PROT "):
        check_environment({"XEMPLAR_PROT": "1", "XEMPLAR_HOTS": "2"})


def test_known_and_foreign_variables_are_none_of_its_business() -> None:
    check_environment(dict.fromkeys((*KNOWN, "PATH", "EXEMPLAR_STORE", "MY_XEMPLAR_X"), ""))


@given(st.text())
def test_every_other_name_of_the_prefix_is_refused(name: str) -> None:
    if PREFIX + name not in KNOWN:
        with pytest.raises(ConfigurationError, match=r"did you mean XEMPLAR_|is gone"):
            check_environment({PREFIX + name: ""})


def test_the_table_has_the_services_settings_and_no_others() -> None:
    assert sorted(SETTINGS) == sorted(name.upper() for name in ServiceSettings.model_fields)


def test_the_table_has_what_is_documented_and_what_containers_read() -> None:
    files = ["docs/settings.md", "docs/deploy.md", "docker-compose.yml", ".env.example"]
    files += ["Dockerfile", "Makefile", "README.md", "CONTRIBUTING.md"]
    named = {
        name
        for file in files
        for name in re.findall(r"\bXEMPLAR_[A-Z0-9_]*[A-Z0-9]\b", (ROOT / file).read_text())
    }
    assert named <= KNOWN
    assert {PREFIX + name for name in SETTINGS} <= named


# ---- threads --------------------------------------------------------------------------------


def test_what_the_user_says_of_threads_is_kept() -> None:
    environment = {"OMP_NUM_THREADS": "3", "PATH": "/bin"}
    limit_threads(environment)
    assert environment == {
        "OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "1", "PATH": "/bin"
    }  # fmt: skip


def test_a_host_program_keeps_its_threads() -> None:
    code = """
import os
import xemplar.retrieval.retriever, xemplar.model.encoder, xemplar_app.main, xemplar.indexing.job
assert not {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"} & set(os.environ)
"""
    clean = {name: value for name, value in os.environ.items() if name not in THREADS}
    subprocess.run([sys.executable, "-c", code], env=clean, check=True)
