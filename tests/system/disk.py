"""A small disk (tmpfs) that can be filled and made read-only. Needs root."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class NoDisk(Exception):
    """No disk can be mounted here; the message says why."""


class Disk:
    """A small disk.

    Attributes:
        root: where it is mounted.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def fill(self) -> None:
        """Fill the disk completely."""
        with (self.root / "filler").open("ab", buffering=0) as file, suppress(OSError):
            for piece in (1 << 20, 1 << 12, 1):
                with suppress(OSError):
                    while True:
                        file.write(bytes(piece))

    def free(self) -> None:
        """Free the filled space."""
        (self.root / "filler").unlink(missing_ok=True)

    def remount(self, how: str) -> None:
        """Remount it ``"ro"`` or ``"rw"``."""
        _run("mount", "-o", f"remount,{how}", self.root)


@contextmanager
def small_disk(megabytes: int) -> Iterator[Disk]:
    """Mount a disk of the given size; unmount it afterwards.

    Raises:
        NoDisk: it cannot be mounted.
    """
    root = Path(tempfile.mkdtemp(prefix="xemplar-disk-"))
    try:
        _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", root)
    except (OSError, subprocess.CalledProcessError) as error:
        root.rmdir()
        said = getattr(error, "stderr", None) or str(error)
        raise NoDisk(f"a disk to fill cannot be mounted here: {said.strip()[-200:]}") from error
    try:
        yield Disk(root)
    finally:
        _run("umount", "--lazy", root)
        shutil.rmtree(root, ignore_errors=True)


def _run(*command: object) -> None:
    subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
