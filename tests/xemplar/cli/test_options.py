"""Options generated from a model: what the command line shows, takes and refuses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
import typer
from pydantic import BaseModel, Field
from typer.testing import CliRunner

from xemplar.api import QueryParameters
from xemplar.cli.options import options_from, refusals


@dataclass(frozen=True)
class Model:
    rounds: Annotated[int, Field(gt=0, le=9, description="Rounds [of all].")] = 3
    share: Annotated[float, Field(gt=0, lt=1, description="Share.")] = 0.5
    kind: Annotated[Literal["near", "far"], Field(description="Kind.")] = "near"
    names: Annotated[tuple[str, ...], Field(description="Names."), typer.Option("--name")] = ()
    weights: Annotated[
        Mapping[str, float],
        Field(description="Weights.", examples=["a=0.3"]),
        typer.Option("--weight", metavar="SET=WEIGHT", rich_help_panel="Weighing"),
    ] = field(default_factory=dict)
    hidden: int = 7


class Wire(BaseModel):
    strict: bool = Field(False, description="Strict.")
    limit: int | None = Field(None, ge=0, description="Limit.")


def line(*models: type[Any]) -> tuple[typer.Typer, list[dict[str, Any]]]:
    """A command with the models' options, and what it was called with."""
    calls: list[dict[str, Any]] = []
    app = typer.Typer()

    @app.command()
    @options_from(*models)
    def work(target: str, options: dict[str, Any]) -> None:
        """Work on a target."""
        calls.append({"target": target, **options})

    return app, calls


def run(app: typer.Typer, *words: str) -> tuple[int, str]:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, words)
    return result.exit_code, result.output


def test_the_help_has_names_descriptions_ranges_choices_and_defaults() -> None:
    status, text = run(line(Model)[0], "--help")
    assert status == 0
    for expected in (
        *("Work on a target.", "--rounds", "[1<=x<=9]", "Rounds [of all].", "[default: (3)]"),
        *("<near|far>", "--name", "--weight", "SET=WEIGHT", "Weighing"),
    ):
        assert expected in text
    assert "hidden" not in text


def test_a_command_gets_what_was_typed_and_no_default() -> None:
    app, calls = line(Model, Wire)
    assert run(app, "it")[0] == 0
    assert (
        run(app, "it", "--rounds", "2", "--name", "a", "--name", "b", "--weight", "x=0.25")[0] == 0
    )
    assert run(app, "it", "--no-strict", "--limit", "0", "--kind", "far")[0] == 0
    assert calls == [
        {"target": "it"},
        {"target": "it", "rounds": 2, "names": ("a", "b"), "weights": {"x": 0.25}},
        {"target": "it", "strict": False, "limit": 0, "kind": "far"},
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--rounds", "0"), "greater than or equal to 1"),
        (("--limit", "-1"), "greater than or equal to 0"),
        (("--kind", "middle"), "'middle' is not one of 'near', 'far'"),
        (("--weight", "a=much"), "--weight 'a=much' is not SET=WEIGHT, as a=0.3"),
    ],
)
def test_what_is_out_of_range_never_reaches_the_command(
    words: tuple[str, ...], message: str
) -> None:
    app, calls = line(Model, Wire)
    status, text = run(app, "it", *words)
    assert status == 2
    assert message in text
    assert calls == []


def test_a_dataclass_states_its_refusals_by_name_value_and_limit() -> None:
    assert refusals(Model()) == []
    assert refusals(Model(rounds=10, share=1.0, kind="middle")) == [  # type: ignore[arg-type]
        "rounds is 10; it must be at most 9",
        "share is 1.0; it must be less than 1",
        "kind 'middle' is none of near, far",
    ]


def test_a_model_of_the_service_becomes_a_command() -> None:
    app, calls = line(QueryParameters)
    words = ("--k", "3", "--any-of", "Mass", "--sex", "F", "--one-per-patient")
    assert run(app, "it", *words, "--indexed-since", "2026-01-31")[0] == 0
    asked = QueryParameters(**{name: value for name, value in calls[0].items() if name != "target"})
    assert (asked.k, asked.any_of, asked.sex, asked.one_per_patient) == (3, ("Mass",), "F", True)
    assert asked.indexed_since is not None
