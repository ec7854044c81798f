"""A real Milvus server from PyPI's milvus, which can be stopped, killed and frozen.

The server listens on all interfaces, so it starts only in a network namespace of its own:

    unshare --map-root-user --net sh -c 'ip link set lo up; python -m pytest tests/engines'
"""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from tests.system.common import free_port

START_SECONDS = 120


class NoMilvus(Exception):
    """No server can be started here; the message says what is missing."""


class Milvus:
    """A standalone server with its data in its own folder.

    It ends with the context, and with the thread that started it.
    """

    def __init__(self) -> None:
        """Write its configuration and unpack its programs.

        Raises:
            NoMilvus: it cannot run here.
        """
        if importlib.util.find_spec("milvus") is None:
            raise NoMilvus("Milvus is not installed: `make engines` installs it and tests with it")
        if [name for _, name in socket.if_nameindex()] != ["lo"]:
            raise NoMilvus("Milvus would listen to the network: `make engines` runs it without one")
        from milvus import MilvusServerConfig, _initialize_data_files

        self.folder = Path(tempfile.mkdtemp(prefix="xemplar-milvus-"))
        config = MilvusServerConfig(data_dir=str(self.folder), proxy_port=free_port())
        config.resolve()
        _initialize_data_files(str(self.folder))
        self.port = int(config.get("proxy_port"))
        self._health = free_port()
        self._server: subprocess.Popen[bytes] | None = None
        self._databases = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.thaw()
        self.kill()
        shutil.rmtree(self.folder)

    def start(self) -> None:
        """Start it and wait until it is healthy.

        Raises:
            RuntimeError: it is not; contains the end of its log.
        """
        programs, log = self.folder / "bin", self.folder / "log"
        environment = {
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self._health),
            "MILVUS_RUN_DIR": str(self.folder / "run"),
            "LD_LIBRARY_PATH": str(programs),
        }
        with log.open("ab") as out:
            self._server = subprocess.Popen(
                [*_with_this_thread(), programs / "milvus", "run", "standalone"],
                cwd=self.folder,
                env=os.environ | environment,
                stdout=out,
                stderr=out,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._healthy():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text(errors="replace")[-2000:])
            time.sleep(0.1)

    def create(self) -> str:
        """Create an empty database; return its URL."""
        from pymilvus import MilvusClient

        self._databases += 1
        name = f"archive{self._databases}"
        client = MilvusClient(uri=f"http://127.0.0.1:{self.port}", timeout=10)
        client.create_database(name)
        client.close()
        return f"milvus://127.0.0.1:{self.port}/{name}"

    def kill(self) -> None:
        """Kill it, as ``kill -9`` does."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def freeze(self) -> None:
        """Let it accept connections but not answer."""
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self._server is not None:
            self._server.send_signal(signal.SIGCONT)

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._health}/healthz") as answer:
                return b"OK" in answer.read()
        except (urllib.error.URLError, ConnectionError):
            return False


def _with_this_thread() -> list[str]:
    """Return the beginning of a command that ends with this thread, where util-linux is there."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig=KILL"] if setpriv else []
