"""The ``xemplar`` command: collects the programs' subcommands and prints errors in one line.

Programs register functions (or `typer.Typer` groups) as ``xemplar.commands`` entry points, so the
library imports no program.
"""

import os
import sys

if __name__ == "__main__":  # `python -m xemplar` would import a numpy.py of the working directory
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
    """Loads a program only when one of its commands runs or all are listed."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        self._entries = {entry.name: entry for entry in entry_points(group="xemplar.commands")}
        # the names alone are enough for "Did you mean ...?"
        self.commands = dict.fromkeys(sorted(self._entries))  # type: ignore[assignment]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - click's interface
        """Load and return the command of that name, or None."""
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
    """Build the command line from all programs' subcommands."""
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
    """Run the command line; print usage, domain and storage errors as one line on stderr.

    Exit status: 2 for invalid arguments, 1 for other errors, 130 when interrupted.
    """
    # multiprocessing children would import a numpy.py of the working directory, too
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        sys.exit(command_line()(standalone_mode=False))
    except typer.Abort as error:
        if isinstance(error.__cause__, EOFError):  # not Ctrl-D: nothing is prompted for
            raise error.__cause__ from None
        _exit_with_error("Abort", "stopped", 130)
    except typer.TyperException as error:
        if message := error.format_message():  # empty if help was printed for lack of arguments
            _exit_with_error(type(error).__name__, message, error.exit_code)
        sys.exit(error.exit_code)
    except XemplarError as error:
        _exit_with_error(type(error).__name__, str(error), 1)
    except OSError as error:
        if (known := storage_error(error)) is not None:
            _exit_with_error(type(known).__name__, str(known), 1)
        path = "" if error.filename is None else f"{error.filename}: "
        _exit_with_error(type(error).__name__, f"{path}{error.strerror or 'could not be used'}", 1)


def _exit_with_error(kind: str, message: str, status: int) -> NoReturn:
    line = plain(" ".join(message.split()))
    Console(stderr=True, soft_wrap=True).print(
        f"[bold red]error[/] {kind}: {line}", highlight=False
    )
    sys.exit(status)


if __name__ == "__main__":
    main()
