"""Queries a second that the service answers to 1, 4 and 64 clients, and their cost, in one run.

Each client sends ``POST /query?include=overlays`` again as soon as it is answered, refused or not,
over a connection that it keeps while the service does. Beyond XEMPLAR_IMAGES_AT_ONCE the service
refuses with 503: the last column tells how many refusals there were for each answer. Processor time
is that of the service and its decoder processes, so it says more than the clock where others share
the machine; what the clients take is not in it.

    xemplar index images --store xemplar-store
    python -m benchmarks.serving --store xemplar-store --images images

Turns of services of several settings are compared with ``--with``, such as
``--with OMP_NUM_THREADS=2,OPENBLAS_NUM_THREADS=2``; ``--python`` names an interpreter with another
version of xemplar. Both take turns with the first service, and ratios are to it.
"""

import argparse
import http.client
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from xemplar.data.datasets import open_dataset

PORT = 8766
BOUNDARY = "benchmark"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Served:
    """Work that a service did in some seconds."""

    answered: float
    refused: float
    cpu_ms: float

    @classmethod
    def of(cls, statuses: "Counter[int]", seconds: float, cpu: float) -> "Served":
        """Rates from counts."""
        good, refused = statuses[200], statuses[503]
        assert good + refused == statuses.total(), statuses
        return cls(good / seconds, refused / seconds, 1000 * cpu / max(good, 1))


def form(image: bytes) -> bytes:
    """An image as a multipart form."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="i"\r\n\r\n'
    return head.encode() + image + f"\r\n--{BOUNDARY}--\r\n".encode()


def ask(bodies: list[bytes], first: int, ends: float, statuses: "Counter[int]") -> None:
    """One client: sends images in turn until the end."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=120)
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    place = first
    while time.monotonic() < ends:
        body = bodies[place % len(bodies)]
        connection.request("POST", "/query?include=overlays", body, headers)
        response = connection.getresponse()
        response.read()
        if time.monotonic() < ends:
            statuses[response.status] += 1
        place += 1
    connection.close()


def cpu_seconds(process: int) -> float:
    """Processor time of a process and its children."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    children = [int(child) for one in tasks for child in one.read_text().split()]
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS + sum(map(cpu_seconds, children))


@contextmanager
def service(python: str, store: Path, environment: dict[str, str]) -> Iterator[int]:
    """Process id of a running service."""
    command = [
        python,
        "-m",
        "xemplar",
        "serve",
        "--store",
        str(store.resolve()),
        "--port",
        str(PORT),
    ]
    free = {"XEMPLAR_REQUESTS_PER_SECOND": "0", "XEMPLAR_RECENT_QUERIES": "16"}
    environment = os.environ | free | environment
    quiet = subprocess.DEVNULL
    # not in the repository, whose packages would be taken before an interpreter's own
    with subprocess.Popen(command, stderr=quiet, env=environment, cwd="/") as process:
        try:
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz").close()
                    break
                except OSError:  # not there yet, or not ready
                    assert process.poll() is None, "the service ended"
                    time.sleep(0.2)
            yield process.pid
        finally:
            process.terminate()


def served(process: int, bodies: list[bytes], clients: int, seconds: float) -> Served:
    """Let so many clients ask for some seconds."""
    statuses = Counter[int]()
    before, ends = cpu_seconds(process), time.monotonic() + seconds
    threads = [
        threading.Thread(target=ask, args=(bodies, 7 * n, ends, statuses)) for n in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Served.of(statuses, seconds, cpu_seconds(process) - before)


def main() -> None:
    """Take turns, print rates, processor time for each answer, and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="data set or folder to ask with")
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 64])
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--with", dest="other", metavar="NAME=VALUE,...", default="")
    parser.add_argument("--python", default=sys.executable)
    arguments = parser.parse_args()
    files = open_dataset(arguments.images).images[: arguments.limit]
    bodies = [form(file.path.read_bytes()) for file in files]
    environment = dict(pair.split("=", 1) for pair in arguments.other.split(",") if pair)
    services = {"first": (sys.executable, dict[str, str]())}
    if environment or arguments.python != sys.executable:
        services["other"] = (arguments.python, environment)
    found: dict[tuple[str, int], list[Served]] = {}
    for _ in range(arguments.rounds):
        for name, (python, settings) in services.items():
            with service(python, arguments.store, settings) as process:
                served(process, bodies, 2, 2)
                for clients in arguments.clients:
                    one = served(process, bodies, clients, arguments.seconds)
                    found.setdefault((name, clients), []).append(one)
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
          f"medians of {arguments.rounds} rounds")  # fmt: skip
    for (name, clients), rounds in found.items():
        rate, cpu, refused = (
            statistics.median(values)
            for values in zip(*((s.answered, s.cpu_ms, s.refused) for s in rounds), strict=True)
        )
        line = f"{name:6} {clients:3} clients  {rate:6.1f} answers/s  {cpu:6.1f} ms of a processor"
        print(f"{line}  {refused / max(rate, 1e-9):5.1f} refusals each")
    for clients in arguments.clients if len(services) > 1 else ():
        pairs = zip(found["first", clients], found["other", clients], strict=True)
        ratios = [
            (one.answered / other.answered, other.cpu_ms / one.cpu_ms) for one, other in pairs
        ]
        rate, cpu = map(statistics.median, zip(*ratios, strict=True))
        print(f"{clients:3} clients: {rate:.2f} times the answers, {cpu:.2f} times less processor")


if __name__ == "__main__":
    main()
