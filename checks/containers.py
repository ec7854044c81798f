"""The images and the Compose file, used as a newcomer uses them, by Docker or else by Podman.

Builds the image; then `up --wait`, a query by curl, a mounted folder indexed, a reindex that the
running api takes over, and `down -v`.

It fails if the Compose file cannot be read, an image is larger than it may be or holds what it
must not, a container is not ready in time, or an answer is not the one that is due.

    python checks/containers.py                     # all of it, as `make containers` does
    python checks/containers.py --target serve      # without the image for training
"""

import argparse
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import httpx

from checks.common import show, verdict
from checks.engines import Engine, NoEngine, Project, open_engine

PROFILES = ("", "postgres", "worker", "train", "monitoring")
LARGEST = 900_000_000
"""Of the image `serve`, in bytes."""

PHANTOMS = "60"
"""That the first start indexes: fewer than by default, as two busy cores embed a few a second."""

MOUNTED = "20"
"""Films of the mounted folder that are indexed."""

TAKEN_OVER_SECONDS = 30.0

T = TypeVar("T")


class Report:
    """What was measured, and what was wrong."""

    def __init__(self) -> None:
        self.figures: list[tuple[str, str]] = []
        self.faults: list[str] = []

    def timed(self, what: str, do: Callable[[], T]) -> T:
        """Do a step, and write down how long it took."""
        print(f"\n== {what}", flush=True)
        began = time.monotonic()
        done = do()
        self.measured(what, f"{time.monotonic() - began:.1f} s")
        return done

    def measured(self, what: str, value: str) -> None:
        """Write a figure down."""
        self.figures.append((what, value))
        print(f"-- {what}: {value}", flush=True)

    def expect(self, right: bool, otherwise: str) -> None:
        """Write a fault down, unless all is right."""
        if not right:
            self.faults.append(otherwise)


def main() -> None:
    """Do all steps, and print what was seen."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", choices=("serve", "all"), default="all")
    parser.add_argument("--data", type=Path, help="real films; default: phantoms")
    parser.add_argument(
        "--storage",
        type=Path,
        default=Path.home() / ".cache" / "xemplar-containers",
        help="where Podman keeps images, so that a second run builds nothing anew",
    )
    asked = parser.parse_args()
    report = Report()
    try:
        with open_engine(asked.storage) as engine, TemporaryDirectory(prefix="xemplar-") as folder:
            check(engine, report, films(Path(folder), asked.data), whole=asked.target == "all")
    except NoEngine as missing:
        sys.exit(f"skipped: {missing}")
    except subprocess.CalledProcessError as failed:
        report.faults.append(str(failed))
    show("containers", ("", ""), report.figures)
    sys.exit(verdict(report.faults))


def films(folder: Path, data: Path | None) -> tuple[Path, bytes]:
    """(folder to mount, a film of it): real ones, or phantoms that the first start has not."""
    from xemplar.datasets import open_dataset
    from xemplar.phantom import write_phantoms

    if data is None:
        data = folder / "films"
        write_phantoms(data, int(MOUNTED), seed=1000)
    folder.chmod(0o755)  # another user reads it in the container
    return data, open_dataset(data).films[0].path.read_bytes()


def check(engine: Engine, report: Report, mounted: tuple[Path, bytes], *, whole: bool) -> None:
    """All steps."""
    name = f"xemplar-check-{secrets.token_hex(3)}"
    with Project(engine, name, XEMPLAR_PHANTOMS=PHANTOMS) as project:
        for profile in PROFILES:
            project.compose("--profile", profile, "config", "--quiet")
        report.timed("build serve", lambda: engine.build("serve", "xemplar:latest"))
        size = engine.size("xemplar:latest")
        report.measured("image serve", f"{size / 1e6:.0f} MB")
        report.expect(size <= LARGEST, f"the image has {size:,} bytes, more than {LARGEST:,}")
        report.timed("up --wait", lambda: project.compose("up", "--detach", "--no-build", "--wait"))
        look_inside(project, report)
        use(project, report, *mounted)
    if whole:
        report.timed("build train", lambda: engine.build("train", "xemplar-train:latest"))
        report.measured("image train", f"{engine.size('xemplar-train:latest') / 1e6:.0f} MB")


def look_inside(project: Project, report: Report) -> None:
    """What the running container must not have or be able to."""
    script = """
        test "$(id -u)" != 0 || echo "runs as root"
        ! touch /opt/xemplar/new 2>/dev/null || echo "can write to its root file system"
        ! python -c "import torch" 2>/dev/null || echo "has torch"
        for one in cc gcc c++ g++ make; do ! command -v $one || echo "has a compiler"; done
    """
    said = project.compose("exec", "-T", "api", "sh", "-c", script, read=True)
    report.faults.extend(f"the api {line}" for line in said.splitlines())
    report.measured("memory of the api", project.engine.memory(project.container("api")))


def use(project: Project, report: Report, folder: Path, film: bytes) -> None:
    """Ask, index a mounted folder, reindex; each time the running api must answer with it."""
    before = report.timed("query", lambda: ask(project.url, film))
    report.expect(len(before["neighbours"]) == 5, "the first query has not five similar cases")
    job = ("run", "--rm", "-T", "--volume", f"{folder.resolve()}:/films:ro", "indexer")
    index = (*job, "index", "/films", "--limit", MOUNTED)
    report.timed(f"index {MOUNTED} mounted films", lambda: project.compose(*index))
    changed = wait_for_another(project, before["generation"])
    report.measured("a new generation answers after", f"{changed:.1f} s")
    found = ask(project.url, film)
    nearest = found["neighbours"][0]
    report.expect(nearest["similarity"] > 0.999, "an indexed film does not find itself first")
    report.timed("reindex", lambda: project.compose("run", "--rm", "-T", "indexer", "reindex"))
    changed = wait_for_another(project, found["generation"])
    report.measured("a reindexed generation answers after", f"{changed:.1f} s")
    again = ask(project.url, film)
    report.expect(ranked(again) == ranked(found), "after a reindex the list is another one")


def ask(url: str, film: bytes) -> dict[str, Any]:
    """A query, by curl."""
    command = ["curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "60"]
    done = subprocess.run(
        [*command, "--form", "image=@-;filename=film", f"{url}/query?k=5"],
        input=film,
        stdout=subprocess.PIPE,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def ranked(answer: dict[str, Any]) -> list[tuple[str, float]]:
    """Its similar cases, with their cosines."""
    return [(near["case_id"], near["similarity"]) for near in answer["neighbours"]]


def wait_for_another(project: Project, generation: str) -> float:
    """Seconds until another generation answers.

    Raises:
        subprocess.TimeoutExpired: none does.
    """
    began = time.monotonic()
    while (seconds := time.monotonic() - began) < TAKEN_OVER_SECONDS:
        if httpx.get(f"{project.url}/readyz").json()["generation"] != generation:
            return seconds
        time.sleep(0.05)
    raise subprocess.TimeoutExpired("waiting for another generation", TAKEN_OVER_SECONDS)


if __name__ == "__main__":
    main()
