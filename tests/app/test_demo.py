"""``xemplar demo``: its failures; .ci/run runs the whole of it."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from xemplar_app import demo


def test_a_service_that_ends_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    service = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    service.wait()
    with pytest.raises(typer.Exit) as ended:
        demo.wait_until_ready(service, "http://127.0.0.1:9", Path("serve.log"))
    assert ended.value.exit_code == 1
    said = capsys.readouterr().err
    assert "error the service ended with status 3; see serve.log" in said.replace("\n", " ")


def test_another_port_is_used_where_the_usual_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind((demo.HOST, 0))
        other.listen()
        taken = other.getsockname()[1]
        monkeypatch.setattr(demo, "PORT", taken)
        found = demo.free_port()
    assert found not in (0, taken)
    assert demo.free_port() == taken


def test_a_subcommand_that_fails_ends_the_demo_with_its_status() -> None:
    with pytest.raises(typer.Exit) as ended:
        demo.xemplar("no-such-command")
    assert ended.value.exit_code == 2
