"""The documents say what the code does: a setting that is missing from them fails the build."""

import dataclasses
import re
from pathlib import Path

import pytest
from xemplar_app.settings import Settings as ServiceSettings
from xemplar_evaluator.settings import Settings as EvaluationSettings
from xemplar_trainer.settings import Augmentation
from xemplar_trainer.settings import Settings as TrainingSettings

ROOT = Path(__file__).parents[1]


def documented() -> dict[str, str]:
    """Setting -> default, as the tables of docs/settings.md have them."""
    found = {}
    for row in (ROOT / "docs" / "settings.md").read_text().splitlines():
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        names, defaults = (re.findall(r"`([^`]+)`", cell) for cell in (*cells, "", "")[:2])
        for place, setting in enumerate(names):
            if defaults:
                found[setting] = defaults[min(place, len(defaults) - 1)]
    return found


@pytest.mark.parametrize("name", sorted(ServiceSettings.model_fields))
def test_each_setting_of_the_service_is_documented_with_its_default(name: str) -> None:
    field = ServiceSettings.model_fields[name]
    text = (ROOT / "docs" / "settings.md").read_text()
    assert f"`XEMPLAR_{name.upper()}`" in text
    if field.default_factory is None and str(field.default):
        assert documented()[f"XEMPLAR_{name.upper()}"] == str(field.default)


@pytest.mark.parametrize(
    "field",
    [
        *(f for f in dataclasses.fields(TrainingSettings)),
        *(f for f in dataclasses.fields(Augmentation)),
        *(f for f in dataclasses.fields(EvaluationSettings)),
    ],
    ids=lambda field: field.name,
)
def test_each_setting_of_a_training_or_an_evaluation_is_documented_with_its_default(
    field: dataclasses.Field[object],
) -> None:
    default = documented()
    if field.name in (
        "findings",
        "augmentation",
        "split",
        "splits",
        "index_splits",
        "teacher",
        "soft_labels",
        "sampling_weights",
    ):
        assert f"`{field.name}`" in (ROOT / "docs" / "settings.md").read_text()
    elif isinstance(field.default, float):
        assert float(default[field.name]) == field.default
    else:
        assert default[field.name] == str(field.default)


def test_links_in_documents_lead_somewhere() -> None:
    # docs/index.md is the start of the site: `make docs` generates the rest of it, and checks links
    pages = {*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")} - {ROOT / "docs" / "index.md"}
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in sorted(pages)
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []
