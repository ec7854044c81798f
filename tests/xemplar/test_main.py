"""The command line: one command for all programs, and quick until it is told what to do."""

import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
import typer

from xemplar import __main__
from xemplar.errors import DatabaseUnreachable

HEAVY = ("cv2", "faiss", "openvino", "torch", "sqlalchemy", "fastapi", "quantus", "matplotlib")


def test_listing_the_commands_loads_nothing_heavy() -> None:
    code = (
        "import sys; from xemplar.__main__ import command_line; command_line();"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


@pytest.mark.parametrize("command", ["--version", "--help", "serve --help", "index --help"])
def test_runs_in_a_folder_with_packages_of_the_same_names_as_its_folders(
    command: str, tmp_path: Path
) -> None:
    for name in ("app", "indexer", "trainer", "evaluator", "pacs"):
        package = tmp_path / name / "__init__.py"
        package.parent.mkdir()
        package.write_text("raise RuntimeError('somebody else's package was loaded')\n")
    for name in ("numpy", "gdcm", "typer", "rich", "pydantic"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('a module of the folder was run')")
    run = subprocess.run(
        [sys.executable, "-m", "xemplar", *command.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_processes_started_from_a_command_run_no_module_of_the_working_directory(
    tmp_path: Path,
) -> None:
    (tmp_path / "numpy.py").write_text("raise RuntimeError('a module of the folder was run')")
    code = (
        "import multiprocessing, sys; from xemplar import __main__\n"
        "def command(**_):\n"
        "    context = multiprocessing.get_context('forkserver')\n"
        "    context.set_forkserver_preload(['numpy'])\n"
        "    child = context.Process(target=print, args=('started',))\n"
        "    child.start(); child.join(); print(child.exitcode)\n"
        "del sys.path[0]; __main__.command_line = lambda: command; __main__.main()\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (run.stdout, run.stderr) == ("started\n0\n", "")


def test_a_process_that_ended_is_not_called_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing asks for input here, so an end of input is no Ctrl-D."""

    def fail() -> NoReturn:
        raise EOFError("a process ended")

    line = typer.Typer()
    line.command()(fail)
    monkeypatch.setattr(sys, "argv", ["xemplar"])
    monkeypatch.setattr(__main__, "command_line", lambda: line)
    with pytest.raises(EOFError, match="a process ended"):
        __main__.main()


def test_loads_only_the_program_whose_command_was_asked_for() -> None:
    code = (
        "import sys; from typer.testing import CliRunner;"
        "from xemplar.__main__ import command_line;"
        "assert CliRunner().invoke(command_line(), ['serve', '--help']).exit_code == 0;"
        "print(sorted(name for name in sys.modules if name.startswith('xemplar_')"
        "             and '.' not in name))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "['xemplar_app']\n"


def test_suggests_the_command_that_was_meant() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "xemplar", "serv"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert "Did you mean 'serve'?" in run.stderr


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(28, "x", "/archive/y"), "error StorageFull: no room is left for /archive/y"),
        (OSError(30, "x", "/archive/y"), "error ReadOnlyStorage: /archive/y cannot be used"),
        (
            IsADirectoryError(21, "Is a directory", "/y"),
            "error IsADirectoryError: /y: Is a directory",
        ),
        (
            DatabaseUnreachable("line one\n  line two"),
            "error DatabaseUnreachable: line one line two",
        ),
    ],
)
def test_an_error_of_disk_or_database_is_one_line_on_stderr(
    error: Exception,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(**_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(__main__, "command_line", lambda: fail)
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (1, 1)
    assert said.startswith(told)
