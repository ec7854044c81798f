"""Docker, and the base class for Podman."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[3]


class NoEngine(Exception):
    """No container engine is available; the message says what is missing."""


class Engine:
    """Builds images and inspects containers.

    Attributes:
        command: "docker" or "podman".
        compose: the Compose command.
    """

    def __init__(self, command: str, compose: Sequence[str]) -> None:
        self.command = command
        self.compose = tuple(compose)
        self._environment: dict[str, str] = {}

    def provide(self, _images: Sequence[str]) -> None:
        """Provide images that are not built here; Docker pulls them itself."""

    def build(self, target: str, tag: str) -> None:
        """Build a target of the Dockerfile."""
        self.run("docker", "build", "--target", target, "--tag", tag, ".")

    def size(self, image: str) -> int:
        """Return the unpacked size of an image in bytes."""
        return int(self.run(self.command, "image", "inspect", "-f", "{{.Size}}", image, read=True))

    def kill(self, container: str) -> None:
        """Kill a container's first process from outside, which triggers the restart policy like a
        crash.

        `docker kill` would not, as manually stopped containers are not restarted.
        """
        form = "{{.State.Pid}}"
        pid = self.run(self.command, "inspect", "-f", form, container, read=True)
        os.kill(int(pid), signal.SIGKILL)

    def memory(self, container: str) -> str:
        """Return memory usage and limit as the engine formats them: "402MB / 4.295GB"."""
        form = "{{.MemUsage}}"
        return self.run(
            self.command, "stats", "--no-stream", "--format", form, container, read=True
        )

    def environment(self) -> dict[str, str]:
        """Return the environment of commands: this process's plus the engine's settings."""
        return os.environ | self._environment

    def run(
        self,
        *command: str | Path,
        read: bool = False,
        quiet: bool = False,
        feed: IO[bytes] | None = None,
        output: IO[bytes] | None = None,
        seconds: float | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> str:
        """Run a command in the repository's folder.

        Its output is inherited by default, returned (``read``), discarded (``quiet``) or written to
        a file (``output``); its input may come from a file (``feed``).

        Raises:
            subprocess.CalledProcessError: it failed.
            subprocess.TimeoutExpired: it took longer than ``seconds``.
        """
        done = subprocess.run(
            list(map(str, command)),
            cwd=ROOT,
            env=self.environment() | dict(settings or {}),
            stdin=feed or subprocess.DEVNULL,
            stdout=subprocess.PIPE if read or quiet else output,
            stderr=subprocess.DEVNULL if quiet else None,
            timeout=seconds,
            check=True,
        )
        return done.stdout.decode().strip() if read else ""
