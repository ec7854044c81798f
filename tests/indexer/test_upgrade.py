"""``xemplar upgrade``: the catalog's schema, and nothing else."""

from pathlib import Path

import pytest
from alembic import command
from typer.testing import CliRunner, Result

from tests.stores import CASES, small_store
from xemplar.__main__ import command_line
from xemplar.catalog import open_catalog
from xemplar.catalog.schema import _config, connect, head
from xemplar.checkpoint import load
from xemplar.errors import ConfigurationError, Mismatch
from xemplar.retriever import Retriever


def call(*arguments: object) -> Result:
    line = command_line()
    result = CliRunner().invoke(line, ["upgrade", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def older(url: str) -> None:
    """As the release before made it."""
    engine = connect(url)
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
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
    assert retriever.ask(small.films[0]).neighbours[0].similarity > 0.999
    assert len(retriever.generation) == CASES
    digest = load(small.checkpoint).digest
    assert len(retriever.catalog.embedded_ids(digest)) == CASES
    retriever.close()
    again = call("--database", small.store.database_url)
    assert again.stdout == f"the catalog has schema {head()} already; nothing to do\n"


def test_no_catalog_is_made_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no catalog at"):
        call("--store", tmp_path / "none")
    assert list(tmp_path.iterdir()) == []
