"""Each search parameter is declared once: HTTP, command line and page offer the model's fields."""

import re
from pathlib import Path
from typing import Any, get_origin

import pytest
import typer
from annotated_types import Ge, Le
from fastapi.testclient import TestClient
from pydantic import BaseModel
from xemplar_app.cli import query

from xemplar.api import (
    AuditParameters,
    CaseListParameters,
    CaseRankingParameters,
    QueryParameters,
    RankingParameters,
    Search,
    SimilarParameters,
)

PAGE = Path(__file__).parents[2] / "app" / "page"
TEXTS = (PAGE / "texts.js").read_text()
FILTERS = (PAGE / "filters.js").read_text()
ADDRESS = (PAGE / "address.js").read_text()

OF_QUERY_ALONE = {
    *(
        "image",
        "prior",
        "with_image",
        "store",
        "checkpoint",
        "database",
        "index_url",
        "pictures",
        "as_json",
    )
}
FINDING_LISTS = {"any_of", "all_of", "none_of"}
ONLY_IN_ADDRESSES = {"exclude", "exclude_patient_of"}
"""Lists of case ids, which nobody types: the page shows and removes them, but has no field."""

CHOSEN_ELSEWHERE = {
    *("finding", "include", "prevalence", "like", "unlike", "region", "with_case", "with_query")
}
"""The page chooses the finding among the predictions, and asks for all maps and prevalence; cases
and regions are marked, and unmarked, where they are shown, as are images of the question."""


@pytest.mark.parametrize(
    ("method", "path", "model"),
    [
        ("post", "/query", QueryParameters),
        ("post", "/query/together", QueryParameters),
        ("post", "/query/batch", Search),
        ("get", "/queries/{query_id}/similar", QueryParameters),
        ("get", "/cases/{case_id}/similar", SimilarParameters),
        ("get", "/queries/{query_id}/ranking", RankingParameters),
        ("get", "/cases/{case_id}/ranking", CaseRankingParameters),
        ("get", "/cases", CaseListParameters),
        ("get", "/audit", AuditParameters),
    ],
)
def test_http_parameters_are_the_models_fields(
    client: TestClient, method: str, path: str, model: type[BaseModel]
) -> None:
    operation = client.get("/openapi.json").json()["paths"][path][method]
    found = {one["name"]: one for one in operation["parameters"] if one["in"] == "query"}
    assert list(found) == list(model.model_fields)
    for name, field in model.model_fields.items():
        assert found[name].get("description") == field.description


def test_command_line_options_are_the_models_fields() -> None:
    app = typer.Typer(add_completion=False)
    app.command()(query)
    options = {one.name: one for one in typer.main.get_command(app).params}
    assert options.keys() - OF_QUERY_ALONE == Search.model_fields.keys()
    for name, field in Search.model_fields.items():
        assert f"--{name.replace('_', '-')}" in options[name].opts
        assert getattr(options[name], "help", None) == field.description
    assert "-k" in options["k"].opts


def keys_of(text: str, start: str) -> set[str]:
    """Keys of the JavaScript object that begins after ``start``, up to the brace that closes it."""
    begin = text.index(start) + len(start)
    indent = re.search(r"\n( +)\w", text[begin:])
    assert indent
    body = text[begin : text.index(f"\n{indent[1][:-2]}}}", begin)]
    return set(re.findall(rf"^{indent[1]}(\w+):", body, re.MULTILINE))


def offered() -> set[str]:
    """Parameters that have a field in the page's form."""
    fields = re.findall(r'\b(?:number|words|day|box|field)\("(\w+)"', FILTERS)
    return {*fields, *FINDING_LISTS}


def names_in(text: str, constant: str) -> list[str]:
    """Strings of a JavaScript list that is a constant."""
    found = re.search(rf"const {constant} = \[(.*?)\]", text, re.DOTALL)
    assert found
    return re.findall(r'"(\w+)"', found[1])


def test_the_page_has_a_field_for_each_parameter() -> None:
    fields = SimilarParameters.model_fields.keys()
    assert offered() == fields - ONLY_IN_ADDRESSES - CHOSEN_ELSEWHERE


def test_the_page_has_a_text_for_each_parameter() -> None:
    labels, chips = keys_of(TEXTS, "  filters: {"), keys_of(TEXTS, "    chips: {")
    choices = set(re.findall(r"(\w+):", TEXTS[TEXTS.index("findingChoices: {") :].split("}")[0]))
    assert offered() - FINDING_LISTS <= labels
    assert choices >= FINDING_LISTS
    assert chips == SimilarParameters.model_fields.keys() - CHOSEN_ELSEWHERE


def test_the_page_keeps_each_parameter_in_its_address() -> None:
    assert set(names_in(ADDRESS, "ASKED")) == SimilarParameters.model_fields.keys() - {
        *("include", "prevalence")
    }


def test_the_page_knows_which_parameters_are_lists() -> None:
    lists = {n for n, f in Search.model_fields.items() if get_origin(f.annotation) is tuple}
    assert {*names_in(FILTERS, "LISTS"), *names_in(FILTERS, "FINDING_LISTS")} == lists


def test_the_page_has_the_models_limits_and_defaults() -> None:
    written = re.findall(r'number\("(\w+)", question, \{(.*?)\}\)', FILTERS)
    assert len(written) == 6
    for name, limits in written:
        stated: dict[str, Any] = dict(re.findall(r"(\w+): \"?([-\d.]+)", limits))
        field = Search.model_fields[name]
        bounds = {type(one): one for one in field.metadata}
        assert float(stated["min"]) == bounds[Ge].ge  # type: ignore[attr-defined]
        assert float(stated["max"]) == bounds[Le].le  # type: ignore[attr-defined]
        # a similarity of -1 leaves out nothing: the field is empty
        assert ("usual" in stated) == (field.default not in (None, -1))
        if "usual" in stated:
            assert float(stated["usual"]) == field.default
