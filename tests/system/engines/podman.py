"""Podman instead of Docker where no Docker engine runs, such as in a sandbox or CI job.

Buildah builds, and Compose v2 uses Podman's Docker-compatible API. Without systemd, which would run
the health checks, a thread does.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Self

from tests.system.engines.engine import ROOT, Engine, NoEngine
from tests.system.engines.local_images import make_local_images

PULL_SECONDS = 300
HEALTH_SECONDS = 2.0

STORAGE = """
[storage]
driver = "overlay"
graphroot = "{graph}"
runroot = "{run}"
"""

# Short image names resolve locally, as buildah names what it builds. Soft and hard limits are
# equal, as a sandbox does not allow raising them.
CONTAINERS = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
compat_api_enforce_docker_hub = false
events_logger = "file"
runtime = "runc"
[network]
network_backend = "netavark"
"""


class Podman(Engine):
    """Podman with its own configuration and storage, isolated from other images."""

    def __init__(self, storage: Path, compose: str) -> None:
        super().__init__("podman", [compose])
        self._folder = Path(tempfile.mkdtemp(prefix="xemplar-podman-"))
        self._storage = storage.resolve()
        self._over = Event()
        self._health = Thread(target=self._check_health, name="health", daemon=True)

    def __enter__(self) -> Self:
        graph, socket = self._storage / "images", self._folder / "socket"
        graph.mkdir(parents=True, exist_ok=True)
        storage, containers = self._folder / "storage.conf", self._folder / "containers.conf"
        storage.write_text(STORAGE.format(graph=graph, run=self._storage / "run"))
        containers.write_text(CONTAINERS)
        self._environment = {
            "CONTAINERS_STORAGE_CONF": str(storage),
            "CONTAINERS_CONF": str(containers),
            "DOCKER_HOST": f"unix://{socket}",
        }
        self._api = self._start_api(socket)
        self._health.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._health.join()
        self._api.terminate()
        self._api.wait()
        self._end_monitors()

    def provide(self, images: Sequence[str]) -> None:
        """Pull images that are not built here, or else build them from Debian packages.

        Raises:
            NoEngine: an image is unavailable, or its container cannot run.
        """
        missing = []
        for image in sorted(set(images)):
            if self._has(image):
                continue
            try:
                self.run("podman", "pull", "--quiet", image, seconds=PULL_SECONDS)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
                missing.append(image)
        try:
            make_local_images(self, missing)
            for image in images:
                trial = ("--rm", "--network", "bridge", "--entrypoint", "true")
                self.run("podman", "run", *trial, image, quiet=True)
        except subprocess.CalledProcessError as failed:
            raise NoEngine(f"Podman cannot create or run containers here: {failed}") from failed

    def build(self, target: str, tag: str) -> None:
        """Build a target of the Dockerfile with this machine's pip settings."""
        dockerfile = (ROOT / "Dockerfile").read_text()
        self.provide(sorted(set(re.findall(r"^FROM (\S+:\S+)", dockerfile, re.MULTILINE))))
        self.run(
            *("buildah", "bud", "--layers", "--isolation", "chroot", "--network", "host"),
            *("--format", "docker"),  # the OCI format has no health checks
            *(f"--volume={path}:{inside}:ro" for path, inside in self._pip_files()),
            *("--target", target, "--tag", tag, "."),
        )

    def _has(self, image: str) -> bool:
        try:
            self.run("podman", "image", "exists", image)
        except subprocess.CalledProcessError:
            return False
        return True

    def _start_api(self, socket: Path) -> "subprocess.Popen[bytes]":
        """Start Podman's Docker-compatible API."""
        command = ["podman", "system", "service", "--time", "0", f"unix://{socket}"]
        log = (self._folder / "log").open("wb")
        api = subprocess.Popen(
            command, env=self.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        deadline = time.monotonic() + 30
        while not socket.exists():
            if api.poll() is not None or time.monotonic() > deadline:
                api.kill()
                raise NoEngine(f"podman does not start: {(self._folder / 'log').read_text()}")
            time.sleep(0.05)
        return api

    def _check_health(self) -> None:
        """Run the health checks of all containers repeatedly."""
        while not self._over.wait(HEALTH_SECONDS):
            for container in self.run("podman", "ps", "--quiet", read=True).split():
                # it may have none, or have just ended
                with suppress(subprocess.CalledProcessError, subprocess.TimeoutExpired):
                    self.run("podman", "healthcheck", "run", container, quiet=True, seconds=20)

    def _end_monitors(self) -> None:
        """Kill conmon processes without a container, which Podman 4.3 leaves after `exec`."""
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended
                words = (process / "cmdline").read_bytes().decode().split("\0")
                if not words[0].endswith("conmon") or "-b" not in words:
                    continue
                bundle = Path(words[words.index("-b") + 1])
                if bundle.is_relative_to(self._storage) and not bundle.exists():
                    os.kill(int(process.name), signal.SIGKILL)

    def _pip_files(self) -> list[tuple[Path, str]]:
        """Return (path here, path in the build) of the files that this machine's pip uses.

        A network may have its own certificate authority or package index; the images keep neither.
        """
        pip = [sys.executable, "-m", "pip", "config", "list"]
        lines = self.run(*pip, read=True).splitlines()
        # variables win over files, and come first in this list
        said: dict[str, str] = {}
        for name, value in (line.split("=", 1) for line in lines):
            said.setdefault(name.split(".")[-1], value.strip("'"))
        config = self._folder / "pip.conf"
        config.write_text("[global]\n" + "".join(f"{k} = {v}\n" for k, v in said.items()))
        words = " ".join(said.values()).replace("file://", "").split()
        paths = {Path(word) for word in words if word.startswith("/")}
        shared = {Path("/", *path.parts[1:3]) for path in paths}  # of an index: with its files
        return [(config, "/etc/pip.conf"), *((p, str(p)) for p in sorted(shared) if p.exists())]
