"""The ``xemplar`` command: finds the programs' subcommands and turns errors into one line.

Programs register functions (or `typer.Typer` groups) as entry points ``xemplar.commands``, so the
library imports no program.
"""

import sys
from importlib.metadata import entry_points

import typer
from rich.console import Console
from rich.markup import escape

from xemplar import __version__
from xemplar.errors import XemplarError


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"xemplar {__version__}")
        raise typer.Exit


def command_line() -> typer.Typer:
    """All programs' subcommands in one command line."""
    line = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="Find past chest X-rays similar to a new one, and see why. "
        "Research use, not for diagnosis.",
    )

    @line.callback()
    def xemplar(
        version: bool = typer.Option(
            False, "--version", callback=_version, is_eager=True, help="Print the version."
        ),
    ) -> None:
        pass

    for entry in sorted(entry_points(group="xemplar.commands"), key=lambda entry: entry.name):
        command = entry.load()
        if isinstance(command, typer.Typer):
            line.add_typer(command, name=entry.name)
        else:
            line.command(entry.name)(command)
    return line


def main() -> None:
    """Run; an error of the domain becomes one line on stderr and exit status 1."""
    try:
        command_line()()
    except XemplarError as error:
        Console(stderr=True, soft_wrap=True).print(
            f"[bold red]error[/] {type(error).__name__}: {escape(str(error))}", highlight=False
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
