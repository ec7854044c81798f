"""The tutorial, followed from its first command to its last in an empty folder."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.main import get_command

from tests.agreement import PATIENCE, wait_until
from tests.system.common import free_port
from xemplar.__main__ import command_line

TUTORIAL = (Path(__file__).parents[1] / "docs" / "tutorial.md").read_text()
STEPS = re.findall(r"```(?:sh|python title=\"(\S+)\")\n(.*?)```", TUTORIAL, re.DOTALL)
"""(file to save it as, if any; text) of each block that a reader saves or runs."""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Environment in which `xemplar` and `python` are those under test, and the port is free."""
    commands = tmp_path / "commands"
    commands.mkdir()
    for name, arguments in (("xemplar", "-m xemplar"), ("python", "")):
        script = commands / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        script.chmod(0o755)
    others = {name: value for name, value in os.environ.items() if name[:8] != "XEMPLAR_"}
    path = f"{commands}:{os.environ['PATH']}"
    return others | {"PATH": path, "XEMPLAR_PORT": str(free_port()), "XEMPLAR_THREADS": "1"}


@contextmanager
def serving(command: str, folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """Runs the command that serves until the rest of the tutorial is done."""
    log = folder / "serve.log"
    with log.open("wb") as file:
        service = subprocess.Popen(shlex.split(command), cwd=folder, env=environment, stderr=file)
    try:
        wait_until(lambda: service.poll() is not None or "ready: " in log.read_text())
        assert service.poll() is None, log.read_text()
        yield
    finally:
        service.terminate()
        service.wait(PATIENCE)


def follow(steps: list[tuple[str, str]], folder: Path, environment: dict[str, str]) -> None:
    """Saves or runs one block after another, the service beside those that follow it."""
    for place, (file, text) in enumerate(steps):
        if file:
            (folder / file).write_text(text)
        elif text.startswith("xemplar serve"):
            with serving(text, folder, environment):
                follow(steps[place + 1 :], folder, environment)
            return
        else:
            shell = ["sh", "-euc", text]
            done = subprocess.run(shell, cwd=folder, env=environment, capture_output=True)
            assert done.returncode == 0, f"{text}{done.stdout.decode()}{done.stderr.decode()}"


def test_its_commands_and_their_options_exist() -> None:
    """The tutorial in short: its lines are read, not run."""
    lines = re.findall(r"^xemplar (.+)$", TUTORIAL, re.MULTILINE)
    commands = get_command(command_line())
    assert len(lines) >= 8
    for name, *words in map(shlex.split, lines):
        command = commands.get_command(None, name)
        assert command is not None, name
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known, name


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_tutorial_can_be_followed(tmp_path: Path, environment: dict[str, str]) -> None:
    folder = tmp_path / "tutorial"
    folder.mkdir()
    address = f"127.0.0.1:{environment['XEMPLAR_PORT']}"
    steps = [(file, text.replace("127.0.0.1:8000", address)) for file, text in STEPS]
    follow(steps, folder, environment)
    assert len(json.loads((folder / "answer.json").read_text())["neighbours"]) == 3
    for made in ("answer/sheet.jpg", "case-1.jpg", "monday.tar", "monday.tar.key"):
        assert (folder / made).exists()
