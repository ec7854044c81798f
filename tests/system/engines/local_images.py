"""Builds base images from Debian packages where no image registry is reachable.

They are close enough to the originals to test the Dockerfile and the Compose file, and only for
that: local images of PostgreSQL and Prometheus have Debian's versions, not the named ones.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tests.system.engines.engine import NoEngine

if TYPE_CHECKING:
    from tests.system.engines.engine import Engine

SUITE = "bookworm"
PYTHON = ("python3", "python3-pip", "python3-venv", "ca-certificates")
SERVERS = ("postgresql", "prometheus")
CHANGES: Mapping[str, Sequence[str]] = {
    "python": ('CMD ["python3"]',),
    "postgres": (
        'ENTRYPOINT ["sh", "/start-postgres"]',
        "ENV PGDATA=/var/lib/postgresql/data",
        "STOPSIGNAL SIGINT",
    ),
    "prom/prometheus": ('ENTRYPOINT ["prometheus"]',),
}
"""Configuration of each image that can be built locally."""

DATA = {"var/lib/postgresql/data": "postgres", "prometheus": "nobody"}
"""Volume folders and their owners: a new volume gets its owner from the image."""

LEFT_OUT = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt",
    "var/lib/apt/lists",
)
"""Folders left out, as in the slim images."""


def make_local_images(engine: "Engine", images: Sequence[str]) -> None:
    """Build images of these names from Debian packages.

    Raises:
        NoEngine: one cannot be built here.
    """
    for packages in (PYTHON, SERVERS):
        wanted = [image for image in images if (_name(image) == "python") == (packages == PYTHON)]
        unknown = [image for image in wanted if _name(image) not in CHANGES]
        if unknown or (wanted and shutil.which("debootstrap") is None):
            names = ", ".join(unknown or wanted)
            raise NoEngine(f"{names}: cannot be pulled or built here (needs debootstrap)")
        if wanted:
            _make(engine, wanted, packages)


def _make(engine: "Engine", images: Sequence[str], packages: Sequence[str]) -> None:
    """Build a system from packages and import it as images with different configurations."""
    with tempfile.TemporaryDirectory(prefix="xemplar-base-") as folder:
        system, packed = Path(folder) / "system", Path(folder) / "system.tar"
        options = ("--variant=minbase", f"--include={','.join(packages)}")
        engine.run("debootstrap", *options, SUITE, system, read=True)
        _finish(system)
        if packages == SERVERS:
            _make_data(system)
        left_out = (f"--exclude=./{path}/*" for path in LEFT_OUT)
        engine.run("tar", "-C", system, *left_out, "-cf", packed, ".")
        for image in images:
            changes = [word for change in CHANGES[_name(image)] for word in ("--change", change)]
            engine.run("podman", "import", "--quiet", *changes, packed, f"localhost/{image}")


def _name(image: str) -> str:
    return image.split(":")[0]


def _finish(system: Path) -> None:
    """Add files that the original images have and Debian's packages lack."""
    programs = system / "usr/bin"
    if not (programs / "python").exists() and (programs / "python3").exists():
        (programs / "python").symlink_to("python3")
    start = Path(__file__).with_name("start-postgres")
    shutil.copy(start, system / "start-postgres")
    for server in system.glob("usr/lib/postgresql/*/bin/*"):
        link = programs / server.name
        if not link.exists():
            link.symlink_to(f"/usr/lib/postgresql/{server.parts[-3]}/bin/{server.name}")


def _make_data(system: Path) -> None:
    """Create the servers' volume folders."""
    users = [line.split(":") for line in (system / "etc/passwd").read_text().splitlines()]
    numbers = {user[0]: int(user[2]) for user in users}
    for folder, owner in DATA.items():
        (system / folder).mkdir(parents=True, exist_ok=True)
        os.chown(system / folder, numbers[owner], -1)
