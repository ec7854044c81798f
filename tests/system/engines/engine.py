"""Docker, and what Podman does alike."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[3]


class NoEngine(Exception):
    """There is nothing to run containers with; the message says what is missing."""


class Engine:
    """Builds images, and looks at containers.

    Attributes:
        command: "docker" or "podman".
        compose: the command that speaks Compose.
    """

    def __init__(self, command: str, compose: Sequence[str]) -> None:
        self.command = command
        self.compose = tuple(compose)
        self._environment: dict[str, str] = {}

    def provide(self, _images: Sequence[str]) -> None:
        """Have images that are not built here; Docker fetches them by itself."""

    def build(self, target: str, tag: str) -> None:
        """Build a target of the Dockerfile."""
        self.run("docker", "build", "--target", target, "--tag", tag, ".")

    def size(self, image: str) -> int:
        """Of an image, in bytes, unpacked."""
        return int(self.run(self.command, "image", "inspect", "-f", "{{.Size}}", image, read=True))

    def kill(self, container: str) -> None:
        """Kill its first process from outside, as a crash would: the restart policy holds then.

        `docker kill` would not do, as a container that was stopped by hand is left alone.
        """
        form = "{{.State.Pid}}"
        pid = self.run(self.command, "inspect", "-f", form, container, read=True)
        os.kill(int(pid), signal.SIGKILL)

    def memory(self, container: str) -> str:
        """That it uses, and may use, as the engine says it: "402MB / 4.295GB"."""
        form = "{{.MemUsage}}"
        return self.run(
            self.command, "stats", "--no-stream", "--format", form, container, read=True
        )

    def environment(self) -> dict[str, str]:
        """Of its commands: this process's, and what says where it is."""
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

        Its output is this process's; or it is read and returned; or nobody wants it (``quiet``); or
        it goes to a file, as its input may come from one.

        Raises:
            subprocess.CalledProcessError: it failed.
            subprocess.TimeoutExpired: it took longer than so many seconds.
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
