"""A new user's scenario: query, index, reindex, back up and restore with the containers."""

import json
import shutil
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import httpx2

from tests.system.deployed.report import Report
from tests.system.engines import Project
from xemplar.phantom.radiograph import phantom

MOUNTED = 20
"""Number of indexed images of the mounted folder."""

CROWD, SIDE = 16, 6000
"""XEMPLAR_IMAGES_AT_ONCE, and the side of a square of XEMPLAR_MAX_PIXELS."""

SWITCH_SECONDS = 30.0


def start(project: Project, report: Report, what: str) -> None:
    """Start all services and wait until they are healthy."""
    up = ("up", "--detach", "--no-build", "--wait", "--wait-timeout", "300")
    report.timed(what, lambda: project.compose(*up))


def look_inside(project: Project, report: Report) -> None:
    """Check that the running container lacks tools and permissions that it does not need."""
    script = """
        test "$(id -u)" != 0 || echo "runs as root"
        ! touch /opt/xemplar/new 2>/dev/null || echo "can write to its root file system"
        ! python -c "import torch" 2>/dev/null || echo "has torch"
        for one in cc gcc c++ g++ make; do ! command -v $one || echo "has a compiler"; done
    """
    said = project.compose("exec", "-T", "api", "sh", "-c", script, read=True)
    for line in said.splitlines():
        report.expect(False, f"the api {line}")
    report.measured("memory of the api", project.engine.memory(project.container("api")))


def look_at_limits(project: Project, report: Report) -> None:
    """Check the restrictions on each container of the Compose file."""
    described = project.compose("--profile", "*", "config", "--format", "json", read=True)
    for name, service in json.loads(described)["services"].items():
        held = (
            service.get("read_only") is True
            and service.get("cap_drop") == ["ALL"]
            and "cap_add" not in service
            and service.get("security_opt") == ["no-new-privileges:true"]
            and service.get("pids_limit", 0) > 0
        )
        report.expect(held, f"{name} may do more than it needs")
        secret = [key for key in service.get("environment", {}) if key.endswith("PASSWORD")]
        report.expect(not secret, f"{name} is given a password in its environment: {secret}")


def look_between(project: Project, report: Report, password: str) -> None:
    """Check which networks reach PostgreSQL, and that no container exposes its password."""
    for name in ("api", "worker", "postgres", "prometheus"):
        seen = project.engine.run(
            project.engine.command, "inspect", project.container(name), read=True
        )
        report.expect(password not in seen, f"the database's password is seen in {name}")
    for network, due in {"database": True, "monitoring": False}.items():
        reached = project.reaches(network, "postgres", 5432)
        report.expect(reached is due, f"network {network} reaches PostgreSQL: {reached}")


def run_scenario(project: Project, report: Report, folder: Path, image: bytes) -> None:
    """Query, index a mounted folder and reindex; the running api must switch each time."""
    before = report.timed("query", lambda: ask(project.url, image))
    report.expect(len(before["neighbours"]) == 5, "the first query has not five similar cases")
    index = ("indexer", "index", "/images", "--limit", str(MOUNTED))
    report.timed(f"index {MOUNTED} mounted images", lambda: project.once(*index, images=folder))
    wait_for_another(project, report, before["generation"])
    found = ask(project.url, image)
    nearest = found["neighbours"][0]
    report.expect(nearest["similarity"] > 0.999, "an indexed image does not find itself first")
    report.timed("reindex", lambda: project.once("indexer", "reindex"))
    wait_for_another(project, report, found["generation"])
    again = ask(project.url, image)
    report.expect(ranked(again) == ranked(found), "after a reindex the list is another one")


def back_up(project: Project, report: Report, file: Path) -> None:
    """Back up with one command while the service runs."""
    command = ("exec", "-T", "api", "xemplar", "backup", "-")
    with file.open("wb") as out:
        report.timed("backup", lambda: project.compose(*command, output=out))
    with key_of(file).open("wb") as out:
        project.compose("exec", "-T", "api", "cat", "/store/pseudonym.key", output=out)
    report.measured("size of the backup", f"{file.stat().st_size / 1e6:.1f} MB")


def key_of(file: Path) -> Path:
    """Return the path of a backup's key."""
    return file.with_suffix(".key")


def restore(
    project: Project, report: Report, file: Path, image: bytes, due: dict[str, Any]
) -> None:
    """Restore with one command and start; the same image must get the same list."""
    command = ("indexer", "restore", "-", "--key", "-")
    keyed = file.with_suffix(".keyed")  # as `cat KEY BACKUP`
    with keyed.open("wb") as both, file.open("rb") as source:
        both.write(key_of(file).read_bytes())
        shutil.copyfileobj(source, both)
    with keyed.open("rb") as source:
        report.timed("restore elsewhere", lambda: project.once(*command, feed=source))
    start(project, report, "up --wait of what was restored")
    same = ranked(ask(project.url, image)) == ranked(due)
    report.expect(same, "what was restored answers with another list")


def weigh(project: Project, report: Report) -> None:
    """Measure the size of the store."""
    cases = httpx2.get(f"{project.url}/readyz").json()["cases"]
    script = "cd /store && du --apparent-size --block-size=1K --summarize *"
    for line in project.compose("exec", "-T", "api", "sh", "-c", script, read=True).splitlines():
        size, name = line.split("\t")
        report.measured(f"{name} of {cases} cases", f"{int(size):,} KiB")


def crowd(project: Project, report: Report) -> None:
    """Send the maximum number of images of maximum size at once, and measure memory."""
    image = cv2.resize(phantom(0, size=512).pixels, (SIDE, SIDE))
    file = cv2.imencode(".png", image)[1].tobytes()

    def send(_number: int) -> int:
        files = {"image": file}
        return httpx2.post(f"{project.url}/query", files=files, timeout=120).status_code

    with ThreadPoolExecutor(CROWD) as threads:
        statuses = Counter(threads.map(send, range(CROWD)))
    report.measured(f"{CROWD} images of {SIDE} x {SIDE} pixels at once", str(dict(statuses)))
    report.expect(statuses.keys() <= {200, 503}, f"a crowd was answered {dict(statuses)}")
    grep = ("exec", "-T", "api", "grep", "VmHWM", "/proc/1/status")
    peak = project.compose(*grep, read=True).split(":")[1].strip()
    report.measured("memory of the api, at most", peak)


def ask(url: str, image: bytes) -> dict[str, Any]:
    """Send a query with curl."""
    command = ["curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "60"]
    done = subprocess.run(
        [*command, "--form", "image=@-;filename=radiograph", f"{url}/query?k=5"],
        input=image,
        stdout=subprocess.PIPE,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def ranked(answer: dict[str, Any]) -> list[tuple[str, float]]:
    """Return an answer's similar cases with their cosines."""
    return [(near["case_id"], near["similarity"]) for near in answer["neighbours"]]


def wait_for_another(project: Project, report: Report, generation: str) -> None:
    """Wait until the running api uses another generation."""
    began = time.monotonic()
    while time.monotonic() < began + SWITCH_SECONDS:
        if httpx2.get(f"{project.url}/readyz").json()["generation"] != generation:
            return
        time.sleep(0.05)
    report.expect(False, f"no new generation answers after {SWITCH_SECONDS:g} s")
