"""The ``xemplar`` command: finds the programs' subcommands and turns errors into one line.

Programs register functions (or `typer.Typer` groups) as entry points ``xemplar.commands``, so the
library imports no program.
"""

import os
import sys

if (
    __name__ == "__main__"
):  # `python -m xemplar`, which would run a numpy.py of the working directory
    sys.path[:] = [path for path in sys.path if path not in ("", os.getcwd())]  # noqa: PTH109

from importlib.metadata import EntryPoint, entry_points
from typing import Any, NoReturn

import typer
from rich.console import Console
from typer.core import TyperGroup

from xemplar import __version__
from xemplar.archive.storage_errors import storage_error
from xemplar.cli.environment import check_environment
from xemplar.cli.terminal import plain
from xemplar.errors import XemplarError


class ProgramCommands(TyperGroup):
    """Loads a program only when one of its commands is run, or listed with all others."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        self._entries = {entry.name: entry for entry in entry_points(group="xemplar.commands")}
        # the names alone are enough for "Did you mean ...?"
        self.commands = dict.fromkeys(sorted(self._entries))  # type: ignore[assignment]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - click's interface
        """The command of that name, loaded; None where there is none."""
        if cmd_name in self._entries and self.commands[cmd_name] is None:
            self.commands[cmd_name] = _load(self._entries[cmd_name])
        return self.commands.get(cmd_name)


def _load(entry: EntryPoint) -> Any:
    loaded = entry.load()
    if not isinstance(loaded, typer.Typer):
        function, loaded = loaded, typer.Typer(add_completion=False)
        loaded.command(entry.name)(function)
    command = typer.main.get_command(loaded)
    command.name = entry.name
    return command


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"xemplar {__version__}")
        raise typer.Exit


def command_line() -> typer.Typer:
    """All programs' subcommands in one command line."""
    line = typer.Typer(
        cls=ProgramCommands,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="Find past chest X-rays similar to a new one, and see why. "
        "Research use, not for diagnosis.",
    )

    @line.callback()
    def xemplar(
        version: bool = typer.Option(  # noqa: ARG001 -- its callback prints it
            False, "--version", callback=_version, is_eager=True, help="Print the version."
        ),
    ) -> None:
        check_environment(os.environ)

    return line


def main() -> None:
    """Run; an error of an argument, the domain or the disk becomes one line on stderr.

    Exit status 2: the arguments cannot be used. 1: they can, and it did not work. 130: it was
    interrupted.
    """
    # what Python starts for multiprocessing would run a numpy.py of the working directory, too
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        sys.exit(command_line()(standalone_mode=False))
    except typer.Abort as error:
        if isinstance(error.__cause__, EOFError):  # typer takes it for Ctrl-D, and none is asked
            raise error.__cause__ from None
        _tell("Abort", "stopped", 130)
    except typer.TyperException as error:
        if message := error.format_message():  # none where the help was asked for by no arguments
            _tell(type(error).__name__, message, error.exit_code)
        sys.exit(error.exit_code)
    except XemplarError as error:
        _tell(type(error).__name__, str(error), 1)
    except OSError as error:
        if (known := storage_error(error)) is not None:
            _tell(type(known).__name__, str(known), 1)
        place = "" if error.filename is None else f"{error.filename}: "
        _tell(type(error).__name__, f"{place}{error.strerror or 'could not be used'}", 1)


def _tell(kind: str, message: str, status: int) -> NoReturn:
    line = plain(" ".join(message.split()))
    Console(stderr=True, soft_wrap=True).print(
        f"[bold red]error[/] {kind}: {line}", highlight=False
    )
    sys.exit(status)


if __name__ == "__main__":
    main()
