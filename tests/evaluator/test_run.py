"""A whole evaluation: complete or absent, and it goes on where it was killed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from xemplar_evaluator import run as module
from xemplar_evaluator.run import Study, evaluate
from xemplar_evaluator.section import Section

from tests.evaluator.conftest import SETTINGS, Phantoms
from xemplar.errors import ConfigurationError, DatasetError


@pytest.mark.parametrize(
    "left_out",
    [
        pytest.param(("localisation", "faithfulness", "shortcuts"), id="the quick ones"),
        pytest.param((), id="all", marks=pytest.mark.long),
    ],
)
def test_all_studies_end_in_one_report(
    phantoms: Phantoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_out: tuple[str, ...]
) -> None:
    """Each has tests of its own, in the folder of its name."""
    for name in left_out:
        monkeypatch.setattr(module, name, lambda *_, n=name: Section(n, n))
    stages: dict[str, tuple[int, int]] = {}
    outcome = evaluate(
        Study.ALL,
        phantoms.source,
        phantoms.encoder,
        tmp_path / "report",
        SETTINGS,
        on_progress=lambda what, done, total: stages.update({what: (done, total)}),
    )
    studies = ["ranking", "localisation", "faithfulness"]
    studies += ["classification", "probability", "shortcuts"]
    assert list(stages) == ["images", *(name for name in studies if name not in left_out)]
    assert all(done == total for done, total in stages.values())
    assert [s.name for s in outcome.report.sections] == studies
    assert [path.name for path in tmp_path.iterdir()] == ["report"]  # the work folder is gone
    written = json.loads((tmp_path / "report" / "report.json").read_text())
    about = written["about"]
    assert about["checkpoint"]["digest"] == phantoms.encoder.checkpoint.digest
    assert about["data"]["labels"] == phantoms.source.dataset.digest
    assert about["settings"]["quantus_samples"] == SETTINGS.quantus_samples
    assert about["software"]["quantus"]
    assert about["seconds"]["all"] > 0
    for section in written["sections"]:
        for table in section["tables"]:
            assert (tmp_path / "report" / f"{table['name']}.csv").is_file()
    everything = b"".join(p.read_bytes() for p in (tmp_path / "report").iterdir())
    for image in phantoms.source.dataset.images:
        assert str(image.file).encode() not in everything


def test_a_killed_run_takes_over_what_is_finished(
    phantoms: Phantoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> Section:
        raise KeyboardInterrupt

    def run() -> None:
        evaluate(Study.ALL, phantoms.source, phantoms.encoder, tmp_path / "report", SETTINGS)

    for name in ("faithfulness", "classification", "probability", "shortcuts"):
        monkeypatch.setattr(module, name, lambda *_, n=name: Section(n, n))
    monkeypatch.setattr(module, "localisation", killed)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert not (tmp_path / "report").exists()
    (work,) = tmp_path.iterdir()
    assert work.name.startswith(".report.")
    kept = json.loads((work / "ranking.json").read_text())["section"]
    monkeypatch.setattr(module, "ranking", killed)  # would be noticed if it ran again
    monkeypatch.setattr(module, "localisation", lambda *_: Section("localisation", "L"))
    run()
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["sections"][0] == kept
    assert (tmp_path / "report" / "first-three.png").read_bytes().startswith(b"\x89PNG")


def test_other_settings_take_over_nothing(
    phantoms: Phantoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []

    def ranking(data, *_: object) -> Section:
        seeds.append(data.settings.seed)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "ranking", ranking)
    for seed in (0, 1):
        settings = replace(SETTINGS, seed=seed)
        with pytest.raises(KeyboardInterrupt):
            evaluate(
                Study.RANKING, phantoms.source, phantoms.encoder, tmp_path / "report", settings
            )
    assert seeds == [0, 1]
    assert len(list(tmp_path.iterdir())) == 2


def test_an_existing_folder_is_refused_before_any_work(phantoms: Phantoms, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="exists already"):
        evaluate(Study.ALL, phantoms.source, phantoms.encoder, tmp_path, SETTINGS)


def test_a_missing_box_or_ratings_file_is_refused(phantoms: Phantoms, tmp_path: Path) -> None:
    absent = tmp_path / "absent.csv"
    boxed = replace(phantoms.source, boxes=absent)
    with pytest.raises(ConfigurationError, match=r"no file .*absent\.csv"):
        evaluate(Study.ALL, boxed, phantoms.encoder, tmp_path / "report", SETTINGS)
    with pytest.raises(ConfigurationError, match=r"no file .*absent\.csv"):
        evaluate(
            Study.RANKING,
            phantoms.source,
            phantoms.encoder,
            tmp_path / "report",
            SETTINGS,
            experts=absent,
        )


def test_without_boxes_all_leaves_localisation_out_and_localisation_is_refused(
    phantoms: Phantoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xemplar.data.boxes.formats.BOX_FILES", ())
    for name in ("classification", "probability", "ranking", "faithfulness", "shortcuts"):
        monkeypatch.setattr(module, name, lambda *_, n=name: Section(n, n))
    outcome = evaluate(Study.ALL, phantoms.source, phantoms.encoder, tmp_path / "report", SETTINGS)
    assert [s.name for s in outcome.report.sections] == [
        "ranking",
        "faithfulness",
        "classification",
        "probability",
        "shortcuts",
    ]
    with pytest.raises(DatasetError, match="box"):
        evaluate(
            Study.LOCALISATION, phantoms.source, phantoms.encoder, tmp_path / "other", SETTINGS
        )
