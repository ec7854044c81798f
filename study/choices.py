"""`Choices`: everything that a study's figures depend on, kept as study.toml."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from xemplar.errors import ConfigurationError

SCHEMA = 1

Evaluated = Literal[
    "ranking", "localisation", "faithfulness", "classification", "probability", "shortcuts", "all"
]


@dataclass(frozen=True)
class DataChoices:
    """Data sets, in order.

    Attributes:
        folders: absolute paths.
        sources: their names.
        patients: their identity domains; their own names where they share no patients.
        unknown_findings: "refuse", "keep" or "drop".
        pictures: images to decode at most for the inspection.
    """

    folders: tuple[str, ...]
    sources: tuple[str, ...]
    patients: tuple[str, ...]
    unknown_findings: str = "refuse"
    pictures: int = 2000


@dataclass(frozen=True)
class SplitChoices:
    """Split of patients for a training, where a data set names none.

    Attributes:
        seed: of the hash.
        val: share of the patients for validation.
        test: share of the patients held out.
    """

    seed: int = 0
    val: float = 0.1
    test: float = 0.1


@dataclass(frozen=True)
class TrainChoices:
    """Training.

    Attributes:
        run: whether a network is trained; else the index's checkpoint is used.
        recipe: of ``xemplar train``.
        options: further ones, as typed.
    """

    run: bool = False
    recipe: str = "poster"
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class IndexChoices:
    """Indexing.

    Attributes:
        checkpoint: file of the network, or of the weights that a training begins with; empty for
            the shipped one, or the weights of the training's recipe.
        splits: that cases are found in.
        options: further ones of ``xemplar index``, as typed.
    """

    checkpoint: str = ""
    splits: tuple[str, ...] = ("train",)
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class EvaluationChoices:
    """Evaluation.

    Attributes:
        study: of ``xemplar evaluate``.
        splits: whose images are the queries.
        tuning_split: thresholds and calibration are fitted on.
        leaks: "refuse" or "drop".
        options: further ones, as typed.
    """

    study: str = "all"
    splits: tuple[str, ...] = ("test",)
    tuning_split: str = "val"
    leaks: str = "refuse"
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choices:
    """A study."""

    data: DataChoices
    split: SplitChoices = field(default_factory=SplitChoices)
    train: TrainChoices = field(default_factory=TrainChoices)
    index: IndexChoices = field(default_factory=IndexChoices)
    evaluate: EvaluationChoices = field(default_factory=EvaluationChoices)

    def __post_init__(self) -> None:
        if self.evaluate.study not in get_args(Evaluated):
            known = ", ".join(get_args(Evaluated))
            raise ConfigurationError(f"evaluate.study is {self.evaluate.study!r}, none of {known}")
        if not self.data.folders:
            raise ConfigurationError("a study needs at least one folder")
        for name in ("sources", "patients"):
            if len(getattr(self.data, name)) != len(self.data.folders):
                raise ConfigurationError(
                    f"data.{name} names {len(getattr(self.data, name))} of "
                    f"{len(self.data.folders)} folders; name each, in their order"
                )


_SECTIONS: Mapping[str, type[Any]] = {
    "data": DataChoices,
    "split": SplitChoices,
    "train": TrainChoices,
    "index": IndexChoices,
    "evaluate": EvaluationChoices,
}


def read_choices(file: Path) -> Choices:
    """Read study.toml.

    Raises:
        ConfigurationError: it is no TOML, of another schema, or has an unknown or unusable entry.
    """
    try:
        read = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} is no TOML in UTF-8: {error}") from error
    if read.pop("schema", None) != SCHEMA:
        raise ConfigurationError(
            f"{file} is no study of this version; it begins: schema = {SCHEMA}"
        )
    unknown = sorted(read.keys() - _SECTIONS.keys())
    if unknown:
        raise ConfigurationError(
            f"{file}: [{unknown[0]}] is unknown; known here: {', '.join(_SECTIONS)}"
        )
    return Choices(**{name: _section(file, name, read.get(name, {})) for name in _SECTIONS})


def _section(file: Path, name: str, read: Any) -> Any:
    kind = _SECTIONS[name]
    known = {each.name: each for each in fields(kind)}
    if not isinstance(read, dict):
        raise ConfigurationError(f"{file}: {name} must be a section, as [{name}]")
    values = {}
    for key, value in read.items():
        if key not in known:
            raise ConfigurationError(
                f"{file}: {name}.{key} is unknown; known here: {', '.join(known)}"
            )
        values[key] = _value(file, f"{name}.{key}", str(known[key].type), value)
    lacking = [k for k in ("folders", "sources", "patients") if name == "data" and k not in values]
    if lacking:
        raise ConfigurationError(f"{file} lacks {name}.{lacking[0]}")
    return kind(**values)


def _value(file: Path, name: str, kind: str, value: Any) -> Any:
    """Check an entry's type; lists become tuples."""
    if "tuple" in kind:
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            return tuple(value)
    elif "float" in kind:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif type(value).__name__ in kind:
        return value
    raise ConfigurationError(f"{file}: {name} is {value!r}, and should be another kind of value")


def choices_text(choices: Choices) -> str:
    """Write choices as TOML."""
    lines = [
        "# A study of xemplar: every choice that its figures depend on.",
        "# `xemplar study --out FOLDER` goes on with the study of this folder.",
        f"schema = {SCHEMA}",
    ]
    for name, section in asdict(choices).items():
        lines += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in section.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    # JSON's texts, numbers, booleans and lists of texts are TOML's
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def differences(one: Choices, other: Choices) -> list[str]:
    """Name the entries in which two studies differ, as "train.recipe"."""
    first, second = asdict(one), asdict(other)
    return [
        f"{name}.{key}"
        for name, section in first.items()
        for key, value in section.items()
        if second[name][key] != value
    ]
