"""``xemplar readers``: from a protocol to a report, on a store of phantoms."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result
from xemplar_evaluator.readers.cli import readers

from tests.evaluator.conftest import Phantoms
from xemplar.catalog import open_catalog
from xemplar.errors import ConfigurationError, CorruptArtefact
from xemplar.operations.reader_studies import ReaderStudies, ReadingAnswer

EXPECTED = "[expected]\nauc = 0.7\ndifference = 0.1\n"


def run(*words: object) -> Result:
    result = CliRunner().invoke(readers, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_power_is_simulated_for_more_readers_and_films(protocol_file: Path) -> None:
    protocol_file.write_text(protocol_file.read_text() + EXPECTED)
    result = run("power", protocol_file, "--studies", 20)
    lines = [line for line in result.output.splitlines() if "%" in line]
    assert len(lines) == 4
    assert "6" in lines[-1]


def test_power_needs_an_expectation(protocol_file: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"needs \[expected\]"):
        run("power", protocol_file)


def test_a_study_goes_from_its_protocol_to_its_report(
    phantoms: Phantoms, protocol_file: Path, tmp_path: Path
) -> None:
    store, checkpoint = phantoms.source.store, phantoms.encoder.checkpoint
    text = protocol_file.read_text().replace("= 6", "= 3").replace("ward", "phantoms")
    text = text.replace("cases = 3", "cases = 1")
    protocol_file.write_text(text.replace("seed = 4", "seed = 4\nwashout_days = 0"))
    plan, report = tmp_path / "plan.json", tmp_path / "report"
    there = ("--store", store.root)
    made = run("plan", protocol_file, "--out", plan, *there, "--checkpoint", checkpoint.path)
    assert "6 films, 3 readers, 3 sessions each" in made.output
    study = run("open", plan, *there).output.split()[1]
    with open_catalog(store.database_url) as catalog:
        studies = ReaderStudies(catalog.engine)
        locked = studies.plan(study)
        for reader in locked.sessions:
            for number, (_, film, arm) in enumerate(locked.readings_of(reader)):
                confidence = (number * 37 + 50 * film.present) % 101
                trust = None if arm.cases == "none" else 50
                studies.save(study, reader, number, ReadingAnswer(confidence, trust, 1.0))
    assert "ada: 18 of 18" in run("progress", study, *there).output
    done = run("analyse", study, "--out", report, *there)
    assert "6 films" in done.output
    page = (report / "report.html").read_text()
    assert "Do similar cases help?" in page
    assert "Research use, not for diagnosis" in page


def test_a_plan_that_was_edited_is_another_study_or_none(
    phantoms: Phantoms, protocol_file: Path, tmp_path: Path
) -> None:
    edited = tmp_path / "plan.json"
    edited.write_text('{"title": "mine"}')
    with pytest.raises(CorruptArtefact, match="cannot be read"):
        run("open", edited, "--store", phantoms.source.store.root)
    edited.write_text("no JSON")
    with pytest.raises(ConfigurationError, match="is no JSON"):
        run("open", edited, "--store", phantoms.source.store.root)
