"""Protocol of a reader study, from a TOML file."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from xemplar.api.rating_scale import RATER
from xemplar.data.findings import canonical
from xemplar.errors import ConfigurationError
from xemplar.operations.study_plan import Arm

MOST_FILMS = 2000
"""Films of a study: at 30 s each, 17 hours of reading in each session."""

MOST_CASES = 10


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Films(_Table):
    """Films of a study: a table of them, or so many to be drawn from the index.

    Attributes:
        table: CSV file with the columns case_id and present (1 or 0), beside the protocol: truth
            that is better than the labels.
        with_it: number of films with the finding, drawn by the data set's labels.
        without: number of films without it.
        source: data set that they are drawn from.
        split: split that they are drawn from; empty for any.
    """

    table: str = ""
    with_it: int = Field(0, ge=0, le=MOST_FILMS, alias="with")
    without: int = Field(0, ge=0, le=MOST_FILMS)
    source: str = ""
    split: str = ""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        drawn = self.with_it > 0 and self.without > 0 and bool(self.source)
        if bool(self.table) == drawn:
            raise ValueError("name a table, or the numbers with and without and their source")
        return self


class Expected(_Table):
    """Expectation that `xemplar readers power` simulates.

    Attributes:
        auc: mean AUC of the readers without cases.
        difference: by which similar cases change it.
        structure: correlation of scores and variation of readers, high or low each (Roe & Metz).
    """

    auc: float = Field(gt=0, lt=1)
    difference: float = Field(gt=-1, lt=1)
    structure: Literal["HL", "LL", "HH", "LH"] = "HL"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not 0 < self.auc + self.difference < 1:
            raise ValueError(f"the AUC would be {self.auc + self.difference:g}, outside (0, 1)")
        return self


class Protocol(_Table):
    """Protocol of a reader study.

    Attributes:
        title: of the study.
        question: as readers see it.
        finding: that it is about.
        readers: pseudonyms.
        arms: conditions; the first is the one that the others are compared with.
        films: of the study.
        cases: number of cases beside a film.
        washout_days: between a reader's last reading of one session and the first of the next.
        ask_trust: whether readers say how far they relied on the cases.
        seed: of everything drawn: films, and each reader's order.
        expected: for the power.
    """

    title: str = Field(min_length=1, max_length=200)
    question: str = Field(min_length=1, max_length=500)
    finding: Annotated[str, AfterValidator(canonical)]
    readers: tuple[Annotated[str, Field(pattern=RATER)], ...] = Field(min_length=2, max_length=100)
    arms: tuple[Arm, ...] = Field(min_length=2, max_length=4)
    films: Films
    cases: int = Field(5, ge=1, le=MOST_CASES)
    washout_days: float = Field(28, ge=0, le=365)
    ask_trust: bool = True
    seed: int = 0
    expected: Expected | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for what, names in (
            ("readers", self.readers),
            ("arms", tuple(arm.name for arm in self.arms)),
        ):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{what} name {twice[0]!r} twice")
        if self.arms[0].cases != "none":
            raise ValueError('the first arm has to be without cases (cases = "none")')
        return self


def read_protocol(file: Path) -> Protocol:
    """Read a protocol.

    Raises:
        ConfigurationError: it is no TOML, or a value is missing, unknown or out of range.
    """
    try:
        content: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
        return Protocol.model_validate(content)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} is no TOML: {error}") from error
    except ValidationError as error:
        wrong = [
            f"{'.'.join(map(str, one['loc'])) or 'it'}: {one['msg']}" for one in error.errors()
        ]
        raise ConfigurationError(f"{file}: {'; '.join(wrong)}") from error
