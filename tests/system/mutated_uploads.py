"""Uploads thousands of mutated images: each must be answered or refused, with stable memory.

PNG, JPEG, TIFF and DICOM files with damaged bytes and false headers are sent to a service process,
most to POST /query and every tenth to POST /cases. No response may be a 5xx, the process must
survive, and its memory may grow by less than a tenth after a warm-up.

    python -m tests.system.mutated_uploads
    python -m tests.system.mutated_uploads --uploads 500 --warm-up 200 --seed 7

Has the same requirements as the tests (`make test` installs them). Uses a temporary folder with
phantoms and a tiny network, and takes a quarter of an hour on two cores.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx2
from rich.console import Console
from rich.progress import track

from tests.system.common import Service, phantom_store, save_tiny_checkpoint, show
from tests.system.mutations import Mutation, mutation

IMAGES = 24
TIMEOUT = 90.0
"""Seconds; the service's own limit for GDCM's decoding is 60."""

MAX_GROWTH = 0.1
LOOK_EVERY = 50
"""Uploads between two measurements of memory; the first and the last `LOOKS` are compared."""

LOOKS = 5
RESIDENT = re.compile(r"^process_resident_memory_bytes (\S+)$", re.MULTILINE)


@dataclass
class Seen:
    """Observations.

    Attributes:
        answers: number of uploads by status and problem type, or by error without a response.
        formats: number of uploads by format and success.
        memory: resident memory in bytes, from the end of the warm-up.
        faults: uploads with forbidden responses, as messages.
    """

    answers: Counter[tuple[int, str]] = field(default_factory=Counter)
    formats: Counter[tuple[str, bool]] = field(default_factory=Counter)
    memory: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def growth(self) -> float:
        """Growth of memory as a fraction of that after the warm-up."""
        return median(self.memory[-LOOKS:]) / median(self.memory[:LOOKS]) - 1

    def note(self, number: int, mutated: Mutation, status: int, kind: str) -> None:
        """Count an upload; status 0 without a response."""
        self.answers[status, kind] += 1
        self.formats[mutated.image.partition(" ")[0], 200 <= status < 300] += 1
        if not 200 <= status < 500:
            self.faults.append(f"{number}: {mutated.image}, {mutated.kind}: {status} {kind}")


def upload(client: httpx2.Client, number: int, mutated: Mutation) -> tuple[int, str]:
    """Send an image; return status and problem type, or 0 and the error without a response."""
    files = {"image": mutated.data}
    try:
        if number % 10:
            response = client.post("/query", files=files)
        else:
            response = client.post("/cases", files=files, data={"source": "mutated"})
    except httpx2.HTTPError as error:
        return 0, repr(error)
    if response.is_success:
        return response.status_code, ""
    return response.status_code, response.json()["type"].rpartition(":")[2]


def run(service: Service, numbers: Iterator[int], warm_up: int, seed: int) -> Seen:
    """Send all mutations in order, measuring memory from time to time."""
    seen = Seen()
    with httpx2.Client(base_url=service.url, timeout=TIMEOUT) as client:
        for number in numbers:
            mutated = mutation(number, seed)
            seen.note(number, mutated, *upload(client, number, mutated))
            if not service.lives:
                seen.faults.append(f"the service ended: {service.said[-2000:]}")
                break
            if number >= warm_up and number % LOOK_EVERY == 0:
                (resident,) = RESIDENT.findall(client.get("/metrics").text)
                seen.memory.append(float(resident))
    return seen


def report(seen: Seen) -> None:
    """Print the figures."""
    answers = [(*answer, times) for answer, times in sorted(seen.answers.items())]
    show("answers", ("status", "problem", "uploads"), answers)
    formats = [
        (name, seen.formats[name, True], seen.formats[name, False])
        for name in sorted({name for name, _ in seen.formats})
    ]
    show("formats", ("format", "2xx", "others"), formats)
    begin, end = (median(looks) / 2**20 for looks in (seen.memory[:LOOKS], seen.memory[-LOOKS:]))
    memory = [
        (f"{begin:.0f}", f"{end:.0f}", f"{max(seen.memory) / 2**20:.0f}", f"{seen.growth:.1%}")
    ]
    show("memory, MiB", ("after warm-up", "at the end", "most", "growth"), memory)


def main() -> None:
    """Send the mutations and print the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--uploads", type=int, default=11_000, help="each eleventh is no PNG, "
                        "JPEG or DICOM, but a TIFF")  # fmt: skip
    parser.add_argument("--warm-up", type=int, default=500, help="uploads before memory counts")
    parser.add_argument("--seed", type=int, default=0, help="of all mutations")
    asked = parser.parse_args()
    if asked.uploads < asked.warm_up + 2 * LOOKS * LOOK_EVERY:
        parser.error(f"--uploads must be {2 * LOOKS * LOOK_EVERY} above --warm-up at least")
    with TemporaryDirectory(prefix="xemplar-mutated-") as folder:
        checkpoint = save_tiny_checkpoint(Path(folder) / "tiny.safetensors")
        store, _ = phantom_store(Path(folder), checkpoint, IMAGES)
        # the cache of recent answers must be full after the warm-up
        service = Service(store, checkpoint, Path(folder) / "log", XEMPLAR_RECENT_QUERIES="32")
        service.wait_until_ready()
        console = Console(stderr=True)
        numbers = iter(track(range(asked.uploads), "uploading", console=console))
        seen = run(service, numbers, asked.warm_up, asked.seed)
        service.stop()
    report(seen)
    if seen.growth >= MAX_GROWTH:
        seen.faults.append(f"memory grew by {seen.growth:.1%}; {MAX_GROWTH:.0%} is the limit")
    for fault in seen.faults[:20]:
        console.print(fault, markup=False)
    sys.exit(1 if seen.faults else 0)


if __name__ == "__main__":
    main()
