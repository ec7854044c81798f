"""The Compose file of this repository, run under a name and with ports of its own."""

from typing import IO, Self

from checks.common import free_port
from checks.engines.engine import Engine


class Project:
    """A set of containers and volumes, removed in the end; nothing of another one is touched.

    Attributes:
        engine: that runs it.
        url: of the api.
    """

    def __init__(self, engine: Engine, name: str, **settings: str) -> None:
        """Nothing is started yet. The settings are those of .env.example; no .env is read."""
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

    def container(self, service: str) -> str:
        """Name of a service's container."""
        return f"{self._name}-{service}-1"
