"""Command-line options generated from a settings model: names, help, defaults and ranges.

A model is a dataclass or a pydantic model whose fields carry `pydantic.Field`. An option is then
declared once, where its value is used::

    @dataclass(frozen=True)
    class Settings:
        epochs: Annotated[int, Field(ge=1, description="Most epochs.")] = 25

    @options_from(Settings)
    def train(data: Path, options: dict[str, Any]) -> None:
        settings = Settings(**options)

``train --help`` lists ``--epochs <int>  Most epochs. [x>=1]``, and ``options`` holds only what the
user typed. Everything else about an option (another name, a metavar, a help panel) comes from a
`typer.Option` in the field's annotation. A field without a description is no option.
"""

import dataclasses
import inspect
import operator
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import typer
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.markup import escape
from typer.models import OptionInfo

Model = type[Any]
"""A dataclass, or a subclass of `pydantic.BaseModel`."""

Command = TypeVar("Command", bound=Callable[..., None])

PARAMETER = "options"
"""Name of the command's parameter that receives what the user typed."""

LIMITS: Mapping[type, tuple[str, str, Callable[[Any, Any], bool]]] = {
    Gt: ("gt", "greater than", operator.gt),
    Ge: ("ge", "at least", operator.ge),
    Lt: ("lt", "less than", operator.lt),
    Le: ("le", "at most", operator.le),
}
"""Limit -> its attribute, its words, and what holds between value and limit."""


def fields_of(model: Model) -> Mapping[str, FieldInfo]:
    """Returns the fields of a model by name: annotation, default, description, range."""
    if issubclass(model, BaseModel):
        return model.model_fields
    hints = get_type_hints(model, include_extras=True)
    found = {}
    for field in dataclasses.fields(model):
        factory = field.default_factory
        default = field.default if isinstance(factory, dataclasses._MISSING_TYPE) else factory()
        found[field.name] = FieldInfo.from_annotated_attribute(hints[field.name], default)
    return found


def refusals(settings: object) -> list[str]:
    """States each field whose value is outside its range or not among its choices.

    For dataclasses, which check nothing themselves; call it in ``__post_init__``.

    Returns:
        Sentences with the field's name, its value and the limit; empty if all are usable.
    """
    return [
        refusal
        for name, field in fields_of(type(settings)).items()
        if (refusal := _refusal(name, field, getattr(settings, name)))
    ]


def _refusal(name: str, field: FieldInfo, value: Any) -> str:
    if get_origin(field.annotation) is Literal and value not in get_args(field.annotation):
        return f"{name} {value!r} is none of {', '.join(get_args(field.annotation))}"
    for limit in field.metadata:
        if type(limit) in LIMITS:
            attribute, words, holds = LIMITS[type(limit)]
            if not holds(value, bound := getattr(limit, attribute)):
                return f"{name} is {value}; it must be {words} {bound:g}"
    return ""


def options_from(*models: Model, panel: str | None = None) -> Callable[[Command], Command]:
    """Adds an option for each field of the models to a typer command.

    Args:
        models: with field names that differ from each other's and from the command's parameters.
        panel: heading of the options in the help, unless a field names its own.

    Returns:
        A decorator. What the user typed reaches the command by field name, as the dict `PARAMETER`.
    """
    fields = {
        name: field
        for model in models
        for name, field in fields_of(model).items()
        if field.description
    }

    def decorate(command: Command) -> Command:
        def run(*args: Any, **given: Any) -> None:
            typed = {name: given.pop(name, None) for name in fields}
            options = {
                name: _value(name, fields[name], value)
                for name, value in typed.items()
                if value not in (None, [])
            }
            command(*args, **given, **{PARAMETER: options})

        own = inspect.signature(command, eval_str=True).parameters.values()
        parameters = [
            *(parameter for parameter in own if parameter.name != PARAMETER),
            *(_parameter(name, field, panel) for name, field in fields.items()),
        ]
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run  # type: ignore[return-value]

    return decorate


def _parameter(name: str, field: FieldInfo, panel: str | None) -> inspect.Parameter:
    """Builds the parameter of a field; None where the user types nothing."""
    option = _option(name, field, panel)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[_typed(field) | None, option],
    )


def _option(name: str, field: FieldInfo, panel: str | None = None) -> OptionInfo:
    given = next((one for one in field.metadata if isinstance(one, OptionInfo)), None)
    lowest, highest = _bounds(field)
    return OptionInfo(
        default=...,
        param_decls=_declared(name, given) or None,  # typer then makes them from the name
        help=escape(field.description or ""),
        metavar=given.metavar if given else None,
        rich_help_panel=(given.rich_help_panel if given else None) or panel,
        show_default=_shown(field.get_default(call_default_factory=True)),
        min=lowest,
        max=highest,
    )


def _declared(name: str, given: OptionInfo | None) -> list[str]:
    """Lists the names of an option as the field's `typer.Option` declares them; ``-k`` for k."""
    if given is None:
        return [f"-{name}", f"--{name}"] if len(name) == 1 else []
    first = [given.default] if isinstance(given.default, str) else []
    return [*first, *(given.param_decls or ())]


def _bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    """Returns (least, greatest) that typer can check; it knows no open ends of floats."""
    limits: dict[type, Any] = {type(one): one for one in field.metadata if type(one) in LIMITS}
    whole = field.annotation is int
    least = limits[Ge].ge if Ge in limits else None
    most = limits[Le].le if Le in limits else None
    if whole and Gt in limits:
        least = limits[Gt].gt + 1
    if whole and Lt in limits:
        most = limits[Lt].lt - 1
    return least, most


def _shown(default: Any) -> str | bool:
    """Writes a default for the help; False where there is nothing to write."""
    if isinstance(default, bool) or default is None or default in ("", (), [], {}):
        return False
    if isinstance(default, Sequence) and not isinstance(default, str):
        return ", ".join(map(str, default))
    return str(default.value if isinstance(default, Enum) else default)


def _typed(field: FieldInfo) -> Any:
    """Returns the type that typer reads from the command line; strings where it knows none."""
    kind = _plain(field.annotation)
    origin = get_origin(kind)
    if origin in (list, tuple, Sequence):
        return list[_known(get_args(kind)[0])]  # type: ignore[misc]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return list[str]
    return kind if origin is Literal else _known(kind)


def _plain(kind: Any) -> Any:
    """Strips ``Annotated`` and ``| None`` from a type."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        (kind,) = (one for one in get_args(kind) if one is not type(None))
        return _plain(kind)
    return kind


def _known(kind: Any) -> type:
    plain = _plain(kind)
    usable = isinstance(plain, type) and issubclass(plain, bool | int | float | Path | Enum)
    return plain if usable else str


def _value(name: str, field: FieldInfo, given: Any) -> Any:
    """Converts what typer read to the field's type: ``NAME=VALUE`` to a mapping, lists to tuples.

    Raises:
        typer.BadParameter: an entry of a mapping is not ``NAME=VALUE``.
    """
    origin = get_origin(_plain(field.annotation))
    if origin is tuple:
        return tuple(given)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return dict(_entries(name, field, given))
    return given


def _entries(name: str, field: FieldInfo, given: Sequence[str]) -> Iterator[tuple[str, Any]]:
    option = _option(name, field)
    _, kind = get_args(_plain(field.annotation))
    for one in given:
        key, _, value = one.partition("=")
        try:
            yield key, kind(value)
        except ValueError as error:
            example = f", as {field.examples[0]}" if field.examples else ""
            raise typer.BadParameter(
                f"{(option.param_decls or [f'--{name}'])[0]} {one!r} is not "
                f"{option.metavar or 'NAME=VALUE'}{example}"
            ) from error
