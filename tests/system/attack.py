"""Attacks a service on this machine and measures the effect on its readers.

The phases last some seconds each: no attack; bombs (`tests/hostile.py`) one by one; bombs in
batches of 16; a flood of cheap requests; stalled bodies; more connections from one address than
allowed. Meanwhile one reader queries with an image and another lists cases. Prints the responses to
the attackers, the slowest refusal of a bomb, the readers' latencies, and the peak memory of the
service and its decoders. First, this process restores hostile archives
(`tests/hostile_archives.py`).

    python -m tests.system.attack
    python -m tests.system.attack --clients 8 --seconds 60
    python -m tests.system.attack --only batches --only archives
    python -m tests.system.attack --url http://127.0.0.1:8000 --key KEY

It is a fault if an attacker gets a 500, a reader's listing fails, more than `MOST_REFUSED` of the
readers' queries are refused, or a decoder uses more than `DECODER_BYTES`. Without an address, it
serves phantoms itself. It refuses any address that is not loopback, opens no more connections than
`--clients` (and `STALLED`, `SILENT`), and takes two and a half minutes.
"""

import argparse
import ipaddress
import itertools
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from threading import Event, Thread
from urllib.parse import urlsplit

import httpx2

from tests.hostile import BOMBS, peak_memory
from tests.images import drawn_image, encoded
from tests.system.archives import archive_faults, report_archives, restore_all
from tests.system.common import Service, phantom_store, save_tiny_checkpoint, show, verdict

TIMEOUT = 60.0
STALLED = 16
SILENT, ELSEWHERE = 700, "127.0.0.2"
"""Number of silent connections, and their source address."""

MOST_REFUSED = 0.05
"""Tolerated fraction of refused reader queries in a phase."""

BATCH = 16
MAX_SECONDS, MAX_CLIENTS = 300.0, 32
DECODER_BYTES = 300 * 2**20

Sample = tuple[int, float]
"""(status, seconds); status 0 without a response."""


@dataclass
class Phase:
    """Observations of a phase.

    Attributes:
        name: the attack.
        attacks: samples of the attackers, by request.
        queries: samples of the reader with an image.
        looks: samples of the reader without one.
        service: peak memory of the service in bytes; 0 if it is not ours.
        decoders: peak memory of a decoder in bytes.
    """

    name: str
    attacks: list[tuple[str, Sample]] = field(default_factory=list)
    queries: list[Sample] = field(default_factory=list)
    looks: list[Sample] = field(default_factory=list)
    service: int = 0
    decoders: int = 0


class Attack:
    """Attackers and readers of a service."""

    def __init__(self, url: str, key: str, process: int = 0) -> None:
        """Prepare the attack; ``process`` is the service's, to measure its memory, or 0."""
        self._url, self._process = url, process
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._image = encoded(drawn_image(5, 1024, 1024))
        self._bombs: dict[str, bytes] = {}

    def run(self, name: str, seconds: float, clients: int) -> Phase:
        """Run one of `PHASES`."""
        phase, over = Phase(name), Event()
        tasks: list[Callable[[], None]] = [
            lambda: self._repeat(over, lambda client: phase.queries.append(self._query(client))),
            lambda: self._repeat(over, lambda client: phase.looks.append(look(client))),
            lambda: self._watch(phase, over),
        ]
        with ExitStack() as stack:
            if name == "stalls":
                for _ in range(STALLED):
                    stack.enter_context(self._stalled())
            elif name == "connections":
                for _ in range(SILENT):
                    stack.enter_context(self._connected(ELSEWHERE))
            elif name in ATTACKS:
                self._bombs = self._bombs or {one: make() for one, make in BOMBS.items()}
                act, bombs = ATTACKS[name], itertools.cycle(self._bombs.items())
                tasks += [
                    lambda: self._repeat(over, lambda client: act(client, bombs, phase.attacks))
                ] * clients
            threads = [Thread(target=task) for task in tasks]
            for thread in threads:
                thread.start()
            time.sleep(seconds)
            over.set()
            for thread in threads:
                thread.join()
        return phase

    def _repeat(self, over: Event, act: Callable[[httpx2.Client], None]) -> None:
        with httpx2.Client(base_url=self._url, headers=self._headers, timeout=TIMEOUT) as client:
            while not over.is_set():
                act(client)

    def _query(self, client: httpx2.Client) -> Sample:
        return timed(lambda: client.post("/query", files={"image": self._image}))

    def _stalled(self) -> socket.socket:
        """Open a query whose body stalls."""
        client = self._connected()
        lines = [
            "POST /query HTTP/1.1", f"Host: {urlsplit(self._url).netloc}",
            "Content-Length: 1000000",
            "Content-Type: multipart/form-data; boundary=x",
            *(f"{name}: {value}" for name, value in self._headers.items()), "", "--x",
        ]  # fmt: skip
        client.sendall("\r\n".join(lines).encode())
        return client

    def _connected(self, source: str = "") -> socket.socket:
        host, port = urlsplit(self._url).hostname or "", urlsplit(self._url).port or 80
        address = (source, 0) if source else None
        return socket.create_connection((host, port), timeout=TIMEOUT, source_address=address)

    def _watch(self, phase: Phase, over: Event) -> None:
        while self._process and not over.wait(0.05):
            phase.service = max(phase.service, peak_memory(self._process))
            phase.decoders = max(phase.decoders, *map(peak_memory, decoders(self._process)), 0)


def decoders(process: int) -> list[int]:
    """Return the child processes of a service."""
    found: list[int] = []
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, path.read_text().split())
    return found


def timed(ask: Callable[[], httpx2.Response]) -> Sample:
    """Time a request."""
    began = time.perf_counter()
    try:
        status = ask().status_code
    except httpx2.HTTPError:
        status = 0
    return status, time.perf_counter() - began


def look(client: httpx2.Client) -> Sample:
    """List cases, as a reader."""
    return timed(lambda: client.get("/cases"))


Bombs = Iterator[tuple[str, bytes]]
Seen = list[tuple[str, Sample]]


def send_bomb(client: httpx2.Client, bombs: Bombs, seen: Seen) -> None:
    """Send one image."""
    name, data = next(bombs)
    seen.append((name, timed(lambda: client.post("/query", files={"image": data}))))


def send_batch(client: httpx2.Client, bombs: Bombs, seen: Seen) -> None:
    """Send a batch of images below a megabyte."""
    small = (data for _, data in bombs if len(data) < 2**20)
    files = [("image", data) for data in itertools.islice(small, BATCH)]
    seen.append(("batch", timed(lambda: client.post("/query/batch", files=files))))


def flood(client: httpx2.Client, _: Bombs, seen: Seen) -> None:
    """Send a cheap request."""
    seen.append(("GET /findings", timed(lambda: client.get("/findings"))))


ATTACKS: dict[str, Callable[[httpx2.Client, Bombs, Seen], None]] = {
    "bombs": send_bomb,
    "batches": send_batch,
    "flood": flood,
}
"""Name -> request that an attacker repeats."""

PHASES = ("quiet", *ATTACKS, "stalls", "connections")


def faults(phases: Sequence[Phase]) -> list[str]:
    """List the attacks' violations."""
    found = []
    for phase in phases:
        for name, (status, _) in phase.attacks:
            if status != 503 and not 200 <= status < 500:
                found.append(f"{phase.name}: {name} was answered {status}")
        for status, _ in phase.looks:
            if status != 200:
                found.append(f"{phase.name}: GET /cases was answered {status}")
        refused = sum(status != 200 for status, _ in phase.queries)
        if refused > MOST_REFUSED * len(phase.queries) or not phase.queries:
            found.append(
                f"{phase.name}: {refused} of {len(phase.queries)} readers' queries were refused"
            )
        if phase.decoders > DECODER_BYTES:
            found.append(f"{phase.name}: a decoder took {phase.decoders / 2**20:.0f} MiB")
    return found


def percentile(samples: Sequence[Sample], percent: int) -> str:
    """Return a percentile of the latencies of successful requests, in milliseconds."""
    times = [seconds for status, seconds in samples if status == 200]
    if len(times) < 2:
        return "-"
    return f"{1000 * quantiles(times, n=100, method='inclusive')[percent - 1]:.0f}"


def report(phases: Sequence[Phase]) -> None:
    """Print the figures."""
    rows = []
    for phase in phases:
        said = Counter(status for _, (status, _) in phase.attacks)
        refused = Counter(status for status, _ in phase.queries if status != 200)
        rows.append(
            (
                phase.name,
                ", ".join(f"{count} x {status}" for status, count in sorted(said.items())),
                f"{max((seconds for _, (_, seconds) in phase.attacks), default=0):.2f}",
                f"{percentile(phase.queries, 50)} / {percentile(phase.queries, 95)}",
                f"{sum(refused.values())} of {len(phase.queries)}",
                f"{percentile(phase.looks, 50)} / {percentile(phase.looks, 95)}",
                f"{phase.service / 2**20:.0f} / {phase.decoders / 2**20:.0f}",
            )
        )
    columns = (
        "attack", "answers", "slowest, s", "query p50 / p95, ms", "queries refused",
        "GET /cases p50 / p95, ms", "service / decoder, MiB",
    )  # fmt: skip
    show("attacks", columns, rows)


def is_loopback(url: str) -> bool:
    """Return whether an address is loopback."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def main() -> int:
    """Attack and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", help="of a service on this machine; default: one of its own")
    parser.add_argument("--key", default="", help="of a reader")
    parser.add_argument("--clients", type=int, default=4, help="attackers at once")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each phase")
    parser.add_argument(
        "--only", action="append", choices=(*PHASES, "archives"), help="one or more"
    )
    asked = parser.parse_args()
    if asked.url and not is_loopback(asked.url):
        parser.error(f"{asked.url} is not an address of this machine; attack only your own")
    if asked.clients > MAX_CLIENTS or asked.seconds > MAX_SECONDS:
        parser.error(f"at most {MAX_CLIENTS} clients and {MAX_SECONDS:g} seconds")
    with TemporaryDirectory(prefix="xemplar-attack-") as name, ExitStack() as stack:
        wanted = asked.only or (*PHASES, "archives")
        archives = restore_all(Path(name) / "archives") if "archives" in wanted else []
        attacked = [one for one in PHASES if one in wanted]
        url, process = asked.url, 0
        if attacked and not url:
            checkpoint = save_tiny_checkpoint(Path(name) / "tiny.safetensors")
            store, _ = phantom_store(Path(name), checkpoint, 24)
            service = Service(store, checkpoint, Path(name) / "log")
            stack.callback(service.stop)
            service.wait_until_ready()
            url, process = service.url, service.pid
        attack = Attack(url, asked.key, process)
        phases = [attack.run(one, asked.seconds, asked.clients) for one in attacked]
    if phases:
        report(phases)
    if archives:
        report_archives(archives)
    return verdict([*faults(phases), *archive_faults(archives)])


if __name__ == "__main__":
    sys.exit(main())
