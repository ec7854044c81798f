"""``xemplar upgrade``: the catalog's schema and ambiguous pseudonyms, and nothing else."""

import hashlib
import hmac
from pathlib import Path

import pytest
from alembic import command
from typer.testing import CliRunner, Result

from tests.stores import CASES, SmallStore, small_store
from xemplar.__main__ import command_line
from xemplar.catalog import case_id_of, open_catalog
from xemplar.catalog.schema import _config, connect, head
from xemplar.errors import ConfigurationError, Mismatch
from xemplar.model.checkpoint import load
from xemplar.retrieval.retriever import Retriever


def call(*arguments: object) -> Result:
    line = command_line()
    result = CliRunner().invoke(line, ["upgrade", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def older(url: str, release: str = "0001") -> None:
    """As a release before made it."""
    engine = connect(url)
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, release)
    engine.dispose()


def test_a_store_of_the_release_before_answers_once_it_is_upgraded(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    small = small_store(tmp_path, tiny_checkpoint)
    older(small.store.database_url)
    with pytest.raises(Mismatch, match="xemplar upgrade"):
        open_catalog(small.store.database_url)
    said = call("--store", small.store.root)
    assert said.stdout.splitlines()[0] == f"catalog upgraded from schema 0001 to {head()}"
    retriever = Retriever.open(small.checkpoint, small.store)
    assert retriever.ask(small.images[0]).neighbours[0].case.file == "image-0.png"
    assert len(retriever.generation) == CASES
    digest = load(small.checkpoint).digest
    assert len(retriever.catalog.embedded_ids(digest)) == CASES
    retriever.close()
    again = call("--database", small.store.database_url)
    assert again.stdout == f"the catalog already has schema {head()}; nothing to do\n"


PATIENTS = [("clinic", "a:1"), ("clinic:a", "1"), ("clinic:a", "2"), ("nih", "7")]
"""Source and id of those of the first cases of `older_patients`; the first two shared a pseudonym
in the release before."""


def older_patients(small: SmallStore) -> None:
    """Give the first cases the pseudonyms that the release before gave `PATIENTS`."""
    key = small.store.pseudonym_key.read_bytes()
    with open_catalog(small.store.database_url) as catalog:
        for image, (source, patient) in zip(small.images, PATIENTS, strict=False):
            joined = hmac.new(key, f"{source}:{patient}".encode(), "sha256").hexdigest()[:16]
            case_id = case_id_of(hashlib.sha256(image).hexdigest())
            catalog.describe(case_id, {"source": source, "patient": joined})
    older(small.store.database_url, "0002")


def found_patients(small: SmallStore) -> list[str | None]:
    with open_catalog(small.store.database_url) as catalog:
        digests = [hashlib.sha256(image).hexdigest() for image in small.images[: len(PATIENTS)]]
        return [catalog.case(case_id_of(digest)).patient for digest in digests]


def test_patients_are_told_apart_and_known_again_after_an_upgrade(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    small = small_store(tmp_path, tiny_checkpoint)
    older_patients(small)
    call("--store", small.store.root)
    assert found_patients(small) == [small.store.pseudonym(*who) for who in PATIENTS]
    call("--store", small.store.root)  # a second time changes nothing
    assert found_patients(small) == [small.store.pseudonym(*who) for who in PATIENTS]


def test_pseudonyms_are_not_made_anew_without_the_key_that_made_them(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    small = small_store(tmp_path, tiny_checkpoint)
    older_patients(small)
    other = tmp_path / "another store"
    with pytest.raises(ConfigurationError, match=r"2 cases .*--store"):
        call("--database", small.store.database_url, "--store", other)
    assert not other.exists()
    call("--store", small.store.root)  # nothing was half done
    assert found_patients(small) == [small.store.pseudonym(*who) for who in PATIENTS]


def test_no_catalog_is_made_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no catalog at"):
        call("--store", tmp_path / "none")
    assert list(tmp_path.iterdir()) == []
