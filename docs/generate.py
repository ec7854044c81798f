"""Builds the documentation site in `build/site/html`, from the repository alone: `make docs`.

Gathers the pages of `docs/` and those at the root in `build/site/pages`, generates the reference
of the command line, the HTTP API and the Python API there, and runs Zensical in strict mode: a
broken link fails the build.
"""

import ast
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

import typer
import typer.cli
import yaml
from xemplar_app.main import create_app

import xemplar
from xemplar.__main__ import command_line

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "site"
PAGES = BUILD / "pages"
REFERENCE = PAGES / "reference"
AT_ROOT = ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", ".env.example")
"""Files beside docs/ that its pages link to; they become `project/`."""

EXAMPLES = re.compile(r"^Examples?:\n(.*?)\n\n(?=\*\*Usage)", re.DOTALL | re.MULTILINE)


def main() -> None:
    """Build the site; fail where Zensical warns."""
    shutil.rmtree(BUILD, ignore_errors=True)
    gather()
    REFERENCE.mkdir()
    (REFERENCE / "cli.md").write_text(cli_reference())
    (REFERENCE / "http.md").write_text(http_reference(create_app().openapi()))
    write_python_reference()
    (BUILD / "mkdocs.yml").write_text(yaml.safe_dump(configuration(), sort_keys=False))
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    sys.exit(subprocess.run([*command, "--config-file", "mkdocs.yml"], cwd=BUILD).returncode)


def gather() -> None:
    """Copy the pages, with links to files at the root led to their copies."""
    shutil.copytree(ROOT / "docs", PAGES, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (PAGES / "project").mkdir()
    for name in AT_ROOT:
        shutil.copy(ROOT / name, PAGES / "project" / name)
    for page in PAGES.rglob("*.md"):
        up = "../" * len(page.relative_to(PAGES).parts)
        text = page.read_text()
        if page.parent.name == "project":
            text = text.replace("](docs/", "](../")
        page.write_text(text.replace(f"]({up}", f"]({up.removesuffix('../')}project/"))


def configuration() -> dict[str, Any]:
    """`mkdocs.yml`, with the lists in its navigation that follow from the repository."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    config["plugins"][1]["mkdocstrings"]["handlers"]["python"]["paths"] = [str(ROOT)]
    modules = ["index", *python_modules()]
    decisions = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    listed = {
        "Python API": [f"reference/python/{name}.md" for name in modules],
        "Decisions": ["decisions/README.md", *(f"decisions/{n}" for n in decisions if n[0] == "0")],
    }
    for section in config["nav"]:
        for part in next(iter(section.values())) if isinstance(section, dict) else ():
            (title,) = part if isinstance(part, dict) else ("",)
            if title in listed:
                part[title] = listed[title]
    return config


def cli_reference() -> str:
    """The command line, as typer writes it; examples become blocks of code."""
    group: Any = typer.main.get_command(command_line())
    context = typer.Context(group, info_name="xemplar")
    text: str = typer.cli.get_docs_for_click(obj=group, ctx=context, name="xemplar")
    fenced = EXAMPLES.sub(lambda found: f"```\n{dedent(found[1])}\n```\n\n", text)
    return fenced.replace("# `xemplar`", "# Command line", 1)


def http_reference(document: dict[str, Any]) -> str:
    """Every operation and every schema of an OpenAPI document."""
    intro = "`xemplar openapi` writes this as OpenAPI; a running service has it at `/docs`."
    parts = ["# HTTP API", intro]
    tags = dict.fromkeys(tag for _, _, one in operations(document) for tag in one["tags"])
    for tag in tags:
        parts.append(f"## {tag.capitalize()}")
        for method, path, one in operations(document):
            if tag in one["tags"]:
                parts += operation(method, path, one)
    parts.append("## Schemas")
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts += [f"### {name}", schema.get("description", ""), *fields(schema)]
    return "\n\n".join(part for part in parts if part) + "\n"


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of each operation."""
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            yield method.upper(), path, one


def operation(method: str, path: str, one: dict[str, Any]) -> Iterator[str]:
    """One operation: what it does, what it takes, what it answers."""
    yield f"### {method} `{path}` {{ #{one['operationId']} }}"
    yield f"**{one['summary']}.** {one.get('description', '')}"
    if one.get("parameters"):
        rows = [
            (f"`{each['name']}`", kind(each["schema"]), each.get("description", ""))
            for each in one["parameters"]
        ]
        yield table(("parameter", "type", "meaning"), rows)
    for media, content in one.get("requestBody", {}).get("content", {}).items():
        yield f"Body, `{media}`: {kind(content['schema'])}"
    rows = [
        (status, answer["description"], ", ".join(contents(answer)))
        for status, answer in sorted(one["responses"].items())
    ]
    yield table(("status", "meaning", "body"), rows)


def contents(answer: dict[str, Any]) -> Iterator[str]:
    """Each form of an answer."""
    for media, content in answer.get("content", {}).items():
        yield f"{kind(content['schema'])}" if content.get("schema") else f"`{media}`"


def fields(schema: dict[str, Any]) -> Iterator[str]:
    """The table of an object's fields."""
    rows = [
        (f"`{name}`", kind(each), each.get("description", ""))
        for name, each in schema.get("properties", {}).items()
    ]
    if rows:
        yield table(("field", "type", "meaning"), rows)


def kind(schema: dict[str, Any]) -> str:
    """The type that a JSON schema describes, in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(kind(each) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}))}"
    limits = [
        f"{sign} {schema[limit]:g}"
        for limit, sign in (("minimum", "≥"), ("maximum", "≤"))
        if limit in schema
    ]
    return " ".join([schema.get("type", "any"), *limits])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; cells are put on one line."""
    lines = [head, ["---"] * len(head), *rows]
    cells = ([re.sub(r"\s+", " ", cell).replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def python_modules() -> list[str]:
    """Modules and packages of the library, as they stand in its folder."""
    found = (module.name for module in pkgutil.iter_modules(xemplar.__path__))
    return sorted(name for name in found if not name.startswith("_"))


def write_python_reference() -> None:
    """Write a page for each module of the library, and the list of them; none is imported."""
    folder = REFERENCE / "python"
    folder.mkdir()
    rows = []
    for name in python_modules():
        (folder / f"{name}.md").write_text(f"---\ntitle: {name}\n---\n\n::: xemplar.{name}\n")
        rows.append((f"[`xemplar.{name}`]({name}.md)", summary(name)))
    text = f"# Python API\n\n{table(('module', 'about'), rows)}\n\n::: xemplar\n"
    options = "    options: {heading_level: 2, show_submodules: false}\n"
    (folder / "index.md").write_text(text + options)


def summary(name: str) -> str:
    """First paragraph of a module's docstring, read and not imported."""
    place = Path(xemplar.__path__[0]) / name
    source = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(source.read_text())) if source.exists() else None
    return (docstring or "").split("\n\n")[0]


if __name__ == "__main__":
    main()
