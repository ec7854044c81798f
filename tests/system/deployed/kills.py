"""Kills each container under load; the engine restarts it, and clients verify the answers.

No answer may be wrong and no acknowledged data lost. During an outage a client may get a 503 with
Retry-After; only an outage of the api itself may leave requests unanswered.
"""

import time
from collections import Counter
from collections.abc import Mapping

import httpx2

from tests.system.clients import clients_asking
from tests.system.deployed.report import Report
from tests.system.engines import Project
from tests.system.recorder import Recorder, Sample

SERVICES = ("worker", "postgres", "api")
CLIENTS = 3
PAUSE_SECONDS = 0.1
BEFORE_SECONDS = 3.0
CALM_SECONDS = 10.0
"""Time without a failure that counts as recovery."""

RECOVERED_SECONDS = 90.0
JOB_SECONDS = 180.0


def kill_each(project: Project, report: Report, images: Mapping[str, bytes]) -> None:
    """Kill the services in turn, while clients are active and a reindex job is queued."""
    recorder = Recorder(images)
    with (
        httpx2.Client(base_url=project.url, timeout=60) as http,
        clients_asking(project.url, recorder, CLIENTS, PAUSE_SECONDS),
    ):
        for service in SERVICES:
            print(f"\n== kill {service}", flush=True)
            time.sleep(BEFORE_SECONDS)
            job = http.post("/jobs/reindex").json()["id"]
            killed = time.monotonic()
            project.engine.kill(project.container(service))
            wait_until_calm(recorder, killed)
            report_samples(
                service, [one for one in recorder.samples if one.ended >= killed], killed, report
            )
            done = wait_for_job(http, job)
            report.expect(done, f"{service} killed: a reindex queued before is not done")
            report.measured(
                "a reindex queued right before was done",
                f"{time.monotonic() - killed:.0f} s after",
            )
    with httpx2.Client(base_url=project.url, timeout=60) as http:
        there, gone = recorder.check_acknowledged(http)
    report.measured("uploaded cases present, deleted cases gone", f"{there}, {gone}")
    for wrong in recorder.wrong:
        report.expect(False, wrong)


def report_samples(service: str, samples: list[Sample], killed: float, report: Report) -> None:
    """Report the clients' observations since a kill."""
    statuses = Counter(one.status or "no answer" for one in samples)
    seen = ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items(), key=str))
    failed = max((one.ended - killed for one in samples if not one.ok), default=0.0)
    slowest = max((one.seconds for one in samples), default=0.0)
    report.measured(
        f"{service} killed", f"{seen}; last failure after {failed:.1f} s, slowest {slowest:.1f} s"
    )
    report.expect(failed < RECOVERED_SECONDS, f"{service} killed: not recovered")
    for one in samples:
        silent = service == "api" and one.status == 0
        if not (one.ok or one.refused_with_retry_after or silent):
            report.expect(False, f"{service} killed: {one.kind}: {one.status} {one.detail}")


def wait_until_calm(recorder: Recorder, since: float) -> None:
    """Wait until no request has failed for a while."""
    while time.monotonic() < since + RECOVERED_SECONDS:
        time.sleep(1)
        failed = [one.ended for one in recorder.samples if not one.ok]
        if time.monotonic() > max([since, *failed]) + CALM_SECONDS:
            return


def wait_for_job(http: httpx2.Client, job: str) -> bool:
    """Wait for a job; return whether it succeeded."""
    began = time.monotonic()
    while time.monotonic() < began + JOB_SECONDS:
        state = http.get(f"/jobs/{job}").json()["state"]
        if state not in ("queued", "running"):
            return bool(state == "done")
        time.sleep(0.5)
    return False
