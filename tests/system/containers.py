"""Tests the images and the Compose file as a new user would, with Docker or else Podman.

Builds the image; then `up --wait`, a query by curl, a mounted folder indexed, a reindex that the
running api takes over, a backup that answers the same elsewhere, and `down --volumes`. Then the
same with PostgreSQL, a worker and Prometheus, killing each server under load; then a PACS whose
studies are answered; then the image for training.

It fails if the Compose file is invalid, an image is too large or contains forbidden parts, a
container is not ready in time, an answer is wrong, or acknowledged data is lost. With Docker, the
kills need root.

    python -m tests.system.containers                     # all of it, as `make containers` does
    python -m tests.system.containers --target serve      # without PostgreSQL, PACS and training
    python -m tests.system.containers --target pacs       # the PACS alone
"""

import argparse
import secrets
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2

from tests.system.common import free_port, show, verdict
from tests.system.deployed.kills import kill_each
from tests.system.deployed.report import Report
from tests.system.deployed.scenario import (
    MOUNTED,
    ask,
    back_up,
    crowd,
    look_at_limits,
    look_between,
    look_inside,
    ranked,
    restore,
    run_scenario,
    start,
    weigh,
)
from tests.system.engines import Engine, NoEngine, Project, open_engine
from xemplar.catalog import case_id_of
from xemplar.data.datasets import open_dataset
from xemplar.phantom import write_phantoms

PROFILES = ("", "postgres", "worker", "train", "monitoring", "pacs")
LARGEST = 900_000_000
"""Maximum size of the image `serve`, in bytes."""

PHANTOMS, FEW_PHANTOMS = "60", "24"
"""Phantoms indexed on the first start, of all and of `serve` alone; fewer than by default, as two
busy cores embed only a few per second."""

SERVERS = ("api", "worker", "postgres", "prometheus")
IMAGES = ("postgres", "prometheus")
SCRAPED_SECONDS = 60
ANSWERED_SECONDS = 300
IN_A_STUDY = ("DX", "OT", "SR")
"""Modalities of a phantom's series, of its picture and of its report."""

SKIPPED = 77
"""Exit status if containers cannot run here (as in automake's tests)."""


def main() -> None:
    """Run all steps and print the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", choices=("serve", "pacs", "all"), default="all")
    parser.add_argument("--data", type=Path, help="a data set; default: phantoms")
    parser.add_argument(
        "--storage",
        type=Path,
        default=Path.home() / ".cache" / "xemplar-containers",
        help="where Podman keeps images, so that a second run rebuilds nothing",
    )
    asked = parser.parse_args()
    report = Report()
    try:
        with open_engine(asked.storage) as engine, TemporaryDirectory(prefix="xemplar-") as folder:
            if asked.target == "pacs":
                report.timed("build serve", lambda: engine.build("serve", "xemplar:latest"))
            else:
                mounted = asked.data or phantoms(Path(folder))
                check(engine, report, mounted, Path(folder), whole=asked.target == "all")
            if asked.target != "serve":
                check_pacs(engine, report, f"xemplar-pacs-{secrets.token_hex(3)}")
    except NoEngine as missing:
        print(f"SKIPPED: {missing}", file=sys.stderr)
        sys.exit(SKIPPED)
    except subprocess.CalledProcessError as failed:
        report.faults.append(str(failed))
    show("containers", ("", ""), report.figures)
    sys.exit(verdict(report.faults))


def phantoms(folder: Path) -> Path:
    """Write a data set to mount, whose images the first start does not index."""
    folder.chmod(0o755)  # another user reads it in the container
    write_phantoms(folder / "images", MOUNTED, seed=1000)
    return folder / "images"


def check(engine: Engine, report: Report, mounted: Path, folder: Path, *, whole: bool) -> None:
    """Run all steps."""
    radiographs = [
        radiograph.path.read_bytes() for radiograph in open_dataset(mounted).images[:MOUNTED]
    ]
    name = f"xemplar-check-{secrets.token_hex(3)}"
    count = PHANTOMS if whole else FEW_PHANTOMS
    with Project(engine, name, XEMPLAR_PHANTOMS=count) as project:
        for profile in PROFILES:
            project.compose("--profile", profile, "config", "--quiet")
        look_at_limits(project, report)
        report.timed("build serve", lambda: engine.build("serve", "xemplar:latest"))
        size = engine.size("xemplar:latest")
        report.measured("image serve", f"{size / 1e6:.0f} MB")
        report.expect(size <= LARGEST, f"the image has {size:,} bytes, more than {LARGEST:,}")
        start(project, report, f"up --wait, with {count} phantoms to index")
        look_inside(project, report)
        run_scenario(project, report, mounted, radiographs[0])
        weigh(project, report)
        back_up(project, report, folder / "backup.tar")
        due = ask(project.url, radiographs[0])
    backup = folder / "backup.tar"
    if whole:
        check_servers(engine, report, f"{name}-servers", backup, radiographs, due)
        train(engine, report, f"{name}-train", mounted)
    else:
        with Project(engine, f"{name}-elsewhere") as project:
            restore(project, report, backup, radiographs[0], due)


def check_servers(
    engine: Engine,
    report: Report,
    name: str,
    backup: Path,
    radiographs: list[bytes],
    due: dict[str, Any],
) -> None:
    """Restore the backup into PostgreSQL, check Prometheus, and kill servers."""
    port = str(free_port())
    password, file = secrets.token_hex(24), backup.with_name("database-password")
    file.write_text(password + "\n")
    settings = {
        "COMPOSE_PROFILES": "postgres",
        "POSTGRES_PASSWORD_FILE": str(file),
        "PROMETHEUS_PORT": port,
    }
    with Project(engine, name, **settings) as project:
        monitoring = ("--profile", "monitoring")
        images = project.compose(*monitoring, "config", "--images", *IMAGES, read=True).split()
        engine.provide([image for image in images if not image.startswith("xemplar")])
        restore(project, report, backup, radiographs[0], due)
        project.compose(*monitoring, "up", "--detach", "--no-build", "--wait", "prometheus")
        report.expect(scraped(port), "Prometheus does not see the api")
        look_between(project, report, password)
        crowd(project, report)
        kill_each(
            project,
            report,
            {case_id_of(sha256(radiograph).hexdigest()): radiograph for radiograph in radiographs},
        )
        for service in SERVERS:
            used = engine.memory(project.container(service))
            report.measured(f"memory of {service}, afterwards", used)
        again = ranked(ask(project.url, radiographs[0]))[0]
        report.expect(again == ranked(due)[0], "after the kills an image does not find itself")


def scraped(port: str) -> bool:
    """Wait until Prometheus reports that the api is ready; return whether it did."""
    address = f"http://127.0.0.1:{port}/api/v1/query"
    end = time.monotonic() + SCRAPED_SECONDS
    while time.monotonic() < end:
        with suppress(httpx2.TransportError):
            answer = httpx2.get(address, params={"query": "xemplar_ready"}).json()
            if any(one["value"][1] == "1" for one in answer["data"]["result"]):
                return True
        time.sleep(1)
    return False


def check_pacs(engine: Engine, report: Report, name: str) -> None:
    """Start a PACS whose rule asks the node, and wait until all its studies are answered."""
    port = str(free_port())
    report.timed("build pacs", lambda: engine.build("pacs", "xemplar-pacs:latest"))
    report.timed("build orthanc", lambda: engine.build("orthanc", "xemplar-orthanc:latest"))
    settings = {"COMPOSE_PROFILES": "pacs", "ORTHANC_PORT": port, "XEMPLAR_PHANTOMS": PHANTOMS}
    with Project(engine, name, **settings) as project:
        # without --wait: the modality ends when it has sent its images
        up = ("up", "--detach", "--no-build")
        report.timed("up, with a PACS", lambda: project.compose(*up))
        found = report.timed("two studies answered", lambda: answered(port))
        report.expect(
            found == [IN_A_STUDY] * 2, f"the PACS has studies of {found}, not two of {IN_A_STUDY}"
        )


def answered(port: str) -> list[tuple[str, ...]]:
    """Wait for two studies with results in the PACS; return the modalities of each one's series."""
    address = f"http://127.0.0.1:{port}/studies"
    found: list[tuple[str, ...]] = []
    end = time.monotonic() + ANSWERED_SECONDS
    while time.monotonic() < end and found != [IN_A_STUDY] * 2:
        time.sleep(1)
        with suppress(httpx2.TransportError):
            studies = httpx2.get(address).json()
            series = [httpx2.get(f"{address}/{study}/series").json() for study in studies]
            found = [
                tuple(sorted(one["MainDicomTags"]["Modality"] for one in some)) for some in series
            ]
    return found


def train(engine: Engine, report: Report, name: str, mounted: Path) -> None:
    """Test the training image: train a network for one epoch, index and evaluate with it."""
    report.timed("build train", lambda: engine.build("train", "xemplar-train:latest"))
    size = engine.size("xemplar-train:latest")
    report.measured("image train", f"{size / 1e6:.0f} MB")
    with Project(engine, name) as project:
        network = ("--checkpoint", "first/checkpoint.safetensors")
        brief = ("--epochs", "1", "--size", "64", "--initial", "none", "--images-per-epoch", "96")
        steps = {
            "one epoch": ("train", "/images", *brief, "--out", "first"),
            "index by that network": ("index", "/images", "--split", "train", *network),
            "ranking evaluated": ("evaluate", "ranking", "/images", "--out", "report", *network),
        }
        for what, words in steps.items():
            report.timed(what, partial(project.once, "train", *words, images=mounted))


if __name__ == "__main__":
    main()
