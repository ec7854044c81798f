"""``xemplar keys``: a secret is shown once, and a key that is revoked is shown as such."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from xemplar.__main__ import main
from xemplar.catalog.keys import Keys, digest_of, open_keys
from xemplar.errors import StorageFull
from xemplar.store import Store

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


def test_a_key_is_made_before_the_first_film_listed_and_revoked(run: Run, tmp_path: Path) -> None:
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
