"""``xemplar demo``: its failures; .ci/run runs the whole of it."""

import subprocess
import sys

import pytest
import typer
from xemplar_app import demo


def test_a_service_that_ends_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    service = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    service.wait()
    with pytest.raises(typer.Exit) as ended:
        demo.wait_until_ready(service)
    assert ended.value.exit_code == 1
    assert "error the service ended with status 3" in capsys.readouterr().err


def test_a_subcommand_that_fails_ends_the_demo_with_its_status() -> None:
    with pytest.raises(typer.Exit) as ended:
        demo.xemplar("no-such-command")
    assert ended.value.exit_code == 2
