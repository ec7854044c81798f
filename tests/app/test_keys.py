"""``xemplar keys``: a secret is shown once, and a key that is revoked is shown as such."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from xemplar.__main__ import main
from xemplar.archive.store import Store
from xemplar.errors import StorageFull
from xemplar.operations.keys import Keys, digest_of, open_keys

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs `xemplar keys`; gives exit status, stdout, stderr."""

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["xemplar", "keys", *arguments, "--store", str(tmp_path)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return command


def test_a_key_is_made_before_the_first_image_listed_and_revoked(run: Run, tmp_path: Path) -> None:
    status, secret, about = run("create", "ward [3]", "--role", "reader")
    assert status == 0
    with open_keys(Store(tmp_path).database_url) as keys:
        key = keys.by_digest()[digest_of(secret.strip())]
    assert key.id in about
    assert Store(tmp_path).had_keys.is_file()
    _, listed, _ = run("list")
    assert key.id in listed
    assert "ward [3]" in listed
    assert secret.strip() not in listed
    assert run("revoke", key.id)[:2] == (0, f"key {key.id} is revoked\n")
    status, _, err = run("revoke", key.id)
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("error NotFound: there is no key")


def test_a_key_that_could_not_be_made_locks_nobody_out(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StorageFull("no room is left")

    monkeypatch.setattr(Keys, "create", full)
    assert run("create", "ward", "--role", "reader")[0] == 1
    assert not Store(tmp_path).had_keys.exists()


def test_an_unknown_role_is_refused(run: Run) -> None:
    status, _, err = run("create", "x", "--role", "king")
    assert status == 2
    assert "king" in err


def test_a_store_without_a_catalog_has_no_keys_to_list(run: Run) -> None:
    status, _, err = run("list")
    assert status == 1
    assert "xemplar index" in err


@pytest.mark.parametrize("name", ["[red]x[/]", "[/closing]"])
def test_a_keys_name_is_listed_as_it_is_written(run: Run, name: str) -> None:
    run("create", name, "--role", "reader")
    assert name in run("list")[1]


def test_a_keys_name_holds_no_control_characters(run: Run) -> None:
    status, _, said = run("create", "a\x1b[2J", "--role", "reader")
    assert status == 1
    assert "a key's name is 'a\\x1b[2J': it holds the control character U+001B" in said
    assert "at position 2" in said


def test_a_key_of_sources_that_ends_is_listed_with_both(run: Run, tmp_path: Path) -> None:
    about = ("--source", "ward [a]", "--source", "ward-b")
    assert run("create", "x", "--role", "writer", *about, "--expires", "2100-01-31")[0] == 0
    assert run("create", "y", "--role", "reader", "--expires", "90d")[0] == 0
    with open_keys(Store(tmp_path).database_url) as keys:
        bound, short = keys.list()
    assert bound.sources == ("ward [a]", "ward-b")
    assert bound.expires_at == datetime(2100, 1, 31, tzinfo=UTC)
    assert short.sources is None
    assert short.expires_at is not None
    assert timedelta(0) <= short.created_at + timedelta(days=90) - short.expires_at
    _, listed, _ = run("list")
    row = next(line for line in listed.splitlines() if bound.id in line)
    assert "2100-01-31 00:00" in row
    assert "ward [a], ward-b" in row
    assert "all" in next(line for line in listed.splitlines() if short.id in line)


@pytest.mark.parametrize("wrong", ["soon", "90", "-1d", "2020-01-01"])
def test_an_end_that_is_none_is_refused(run: Run, wrong: str) -> None:
    status, _, err = run("create", "x", "--role", "reader", f"--expires={wrong}")
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("error InvalidArgument: ")
    assert run("list")[0] == (0 if wrong == "2020-01-01" else 1)  # nothing was made
