"""What a researcher takes along: files, and a map."""

import csv
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from xemplar_study.export import Format, export
from xemplar_study.map import MOST, Method, map_page, project

from xemplar.catalog import Case
from xemplar.errors import ConfigurationError
from xemplar.retrieval.archive import Embeddings

COUNT = 30


def case(number: int) -> Case:
    return Case(
        id=number,
        case_id=f"{number:016x}",
        image_sha256=f"{number:064x}",
        source=f"ward-{number}" if number else "</script><b>",
        patient="pseudonym" if number else None,
        view="PA",
        sex="FM"[number % 2],
        age=40 + number,
        labels={"Mass": 1, "Effusion": number % 2},
        split="train",
        height=64,
        width=64,
        spacing_mm=None,
        photometric=None,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


@pytest.fixture
def found() -> Embeddings:
    vectors = np.random.default_rng(0).normal(size=(COUNT, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    probabilities = np.linspace(0, 1, COUNT * 2, dtype=np.float32).reshape(COUNT, 2)
    cases = tuple(map(case, range(COUNT)))
    return Embeddings(cases, vectors, probabilities, ("Mass", "Effusion"))


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def test_numpy_arrays_have_a_row_for_each_row_of_the_table(
    found: Embeddings, tmp_path: Path
) -> None:
    export(found, tmp_path / "out", Format.NUMPY, {"checkpoint": "digest"})
    rows = rows_of(tmp_path / "out" / "cases.csv")
    vectors = np.load(tmp_path / "out" / "embeddings.npy", allow_pickle=False)
    np.testing.assert_array_equal(vectors, found.vectors)
    assert rows[3]["case_id"] == f"{3:016x}"
    assert rows[3]["findings"] == "Effusion|Mass"
    assert rows[0]["patient"] == ""
    assert float(rows[3]["probability Effusion"]) == pytest.approx(
        float(found.probabilities[3, 1]), abs=1e-6
    )


def test_csv_holds_the_embeddings_as_numbers(found: Embeddings, tmp_path: Path) -> None:
    export(found, tmp_path / "out", Format.CSV, {})
    rows = rows_of(tmp_path / "out" / "embeddings.csv")
    read = [[float(row[f"e{place}"]) for place in range(8)] for row in rows]
    np.testing.assert_allclose(read, found.vectors, atol=1e-6)


def test_parquet_is_read_with_typed_columns(found: Embeddings, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    export(found, tmp_path / "out", Format.PARQUET, {})
    table = parquet.read_table(tmp_path / "out" / "archive.parquet")
    np.testing.assert_allclose(table["embedding"].to_pylist(), found.vectors)
    assert table["findings"][1].as_py() == ["Effusion", "Mass"]
    assert table["age"][1].as_py() == 41
    assert table["patient"][0].as_py() is None


def test_an_export_says_that_embeddings_are_personal_data(
    found: Embeddings, tmp_path: Path
) -> None:
    export(found, tmp_path / "out", Format.NUMPY, {"checkpoint": "digest"})
    about = json.loads((tmp_path / "out" / "about.json").read_text())
    assert "personal data" in about["notice"]
    assert (about["cases"], about["dimension"], about["checkpoint"]) == (COUNT, 8, "digest")


def test_an_export_replaces_nothing(found: Embeddings, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="exists already"):
        export(found, tmp_path, Format.NUMPY, {})


def test_a_plane_shows_the_directions_in_which_embeddings_differ(found: Embeddings) -> None:
    points = project(found.vectors, Method.PCA)
    assert points.shape == (COUNT, 2)
    assert points.min() >= 0
    assert points.max() <= 1
    line = np.outer(np.arange(COUNT), np.ones(8)).astype(np.float32)
    along = project(line, Method.PCA)[:, 0]
    assert np.all(np.diff(along) > 0) or np.all(np.diff(along) < 0)


def test_near_points_have_similar_embeddings(found: Embeddings) -> None:
    pytest.importorskip("pacmap")
    groups = np.repeat(np.eye(8, dtype=np.float32)[:2], COUNT, axis=0)
    vectors = groups + np.concatenate([found.vectors] * 2) * 0.01
    points = project(vectors, Method.PACMAP)
    within = np.linalg.norm(points[:COUNT] - points[:COUNT].mean(axis=0), axis=1).max()
    between = np.linalg.norm(points[:COUNT].mean(axis=0) - points[COUNT:].mean(axis=0))
    assert within < between


def test_a_map_of_too_few_cases_is_refused(found: Embeddings) -> None:
    with pytest.raises(ConfigurationError, match="3 cases are too few for a map by pacmap"):
        project(found.vectors[:3], Method.PACMAP)


def test_the_map_holds_everything_and_asks_no_network(found: Embeddings) -> None:
    page = map_page(found, project(found.vectors, Method.PCA), Method.PCA)
    assert "src=" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "Research use, not for diagnosis" in page
    assert page.count("</script>") == 1  # a name from a label file ends no script
    [data] = re.findall(r"const map = (.*);\n", page)
    content = json.loads(data)
    assert len(content["x"]) == len(content["cases"]) == COUNT
    assert content["schemes"]["sex"] == {"values": ["F", "M"], "codes": [0, 1] * (COUNT // 2)}


def test_the_rarest_values_share_a_colour(found: Embeddings) -> None:
    page = map_page(found, project(found.vectors, Method.PCA), Method.PCA)
    [data] = re.findall(r"const map = (.*);\n", page)
    sources = json.loads(data)["schemes"]["source"]
    assert len(sources["values"]) == MOST + 1
    assert sources["values"][-1] == "others"
    assert sources["codes"].count(MOST) == COUNT - MOST


def test_a_case_has_the_colour_of_its_rarest_finding(found: Embeddings) -> None:
    page = map_page(found, project(found.vectors, Method.PCA), Method.PCA)
    [data] = re.findall(r"const map = (.*);\n", page)
    scheme = json.loads(data)["schemes"]["finding"]
    names = [scheme["values"][code] for code in scheme["codes"]]
    assert names[:2] == ["Mass", "Effusion"]
