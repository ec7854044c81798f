"""Runs this repository's Compose file under its own name and ports."""

import subprocess
from pathlib import Path
from typing import IO, Self

from tests.system.common import free_port
from tests.system.engines.engine import Engine


class Project:
    """A set of containers and volumes, removed at the end and isolated from others.

    Attributes:
        engine: that runs it.
        url: of the api.
    """

    def __init__(self, engine: Engine, name: str, **settings: str) -> None:
        """Prepare a project without starting it; settings as in .env.example, no .env is read."""
        self.engine = engine
        self._name = name
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._settings = {"XEMPLAR_PORT": str(self._port), **settings}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.compose("down", "--volumes", "--timeout", "10")

    def compose(
        self,
        *arguments: str,
        read: bool = False,
        feed: IO[bytes] | None = None,
        output: IO[bytes] | None = None,
    ) -> str:
        """Run Compose v2; see `Engine.run`."""
        options = ("--project-name", self._name, "--env-file", "/dev/null")
        command = (*self.engine.compose, *options, *arguments)
        return self.engine.run(
            *command, read=read, feed=feed, output=output, settings=self._settings
        )

    def once(
        self, service: str, *words: str, images: Path | None = None, feed: IO[bytes] | None = None
    ) -> None:
        """Run a command in a new container, as `docker compose run --rm` does.

        Args:
            service: of the container.
            words: the command.
            images: folder to mount.
            feed: standard input.

        Raises:
            subprocess.CalledProcessError: it failed. The status is read from the container, as
                Compose always exits with 0 on Podman.
        """
        container = f"{self._name}-once"
        mounts = ("--volume", f"{images.resolve()}:/images:ro") if images else ()
        command, form = self.engine.command, "{{.State.ExitCode}}"
        try:
            self.compose("run", "-T", "--name", container, *mounts, service, *words, feed=feed)
            status = int(self.engine.run(command, "inspect", "-f", form, container, read=True))
        finally:
            self.engine.run(command, "rm", "--force", container, quiet=True)
        if status:
            raise subprocess.CalledProcessError(status, [service, *words])

    def reaches(self, network: str, service: str, port: int) -> bool:
        """Return whether a container of xemplar's image in one network reaches a service's port.

        It tries all addresses of the service, as names resolve only within a network.
        """
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
        command = self.engine.command
        addresses = self.engine.run(
            command, "inspect", "-f", form, self.container(service), read=True
        ).split()
        script = (
            "import socket, sys\n"
            "for address in sys.argv[2:]:\n"
            "    try: socket.create_connection((address, int(sys.argv[1])), 3); print('reached')\n"
            "    except OSError: pass"
        )
        options = ("--rm", "--network", f"{self._name}_{network}", "--entrypoint", "python")
        words = ("xemplar:latest", "-c", script, str(port), *addresses)
        return "reached" in self.engine.run(command, "run", *options, *words, read=True)

    def container(self, service: str) -> str:
        """Return the name of a service's container."""
        return f"{self._name}-{service}-1"
