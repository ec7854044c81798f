"""The documents say what the code does: a setting that is missing from them fails the build."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

from xemplar_app.settings import ServiceSettings

ROOT = Path(__file__).parents[1]


def settings_tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("settings_tables", ROOT / "docs" / "settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_settings_page_is_what_the_settings_say() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    assert settings_tables().page(text) == text, "run `python docs/settings.py`"


def test_the_settings_page_has_every_setting_with_default_and_meaning() -> None:
    tables = settings_tables()
    text = (ROOT / "docs" / "settings.md").read_text()
    for name in ServiceSettings.model_fields:
        assert f"`XEMPLAR_{name.upper()}`" in text
    for kind in ("service", "node", "training", "augmentation", "evaluation"):
        for name, default, meaning in tables.rows(kind):
            assert f"| {name} | {default} | {meaning} |" in text
            assert default
            assert len(meaning) > 5
    assert "| `epochs` | `25` | Most epochs |" in text
    assert "| `uncertain` | `positive` | What an uncertain label (-1) counts as (`positive`" in text


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
