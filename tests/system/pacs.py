"""The whole way through a real PACS: storescu -> Orthanc -> rule -> node -> results in the study.

    python -m tests.system.pacs              # times it, with a tiny network and phantoms
    python -m tests.system.pacs --checkpoint data/checkpoint.safetensors

Needs Orthanc and dcmtk (Debian: orthanc, orthanc-dicomweb, dcmtk).
"""

import argparse
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from tests.pacs.films import film
from tests.system.common import Process, free_port, phantom_store, save_tiny_checkpoint
from tests.system.orthanc import NoOrthanc, Orthanc
from xemplar.archive.store import Store
from xemplar.phantom.radiograph import phantom

ROOT = Path(__file__).parents[2]
SECONDS = 300.0
CASES = 40
SCRIPT = re.compile(r"```lua\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Study:
    """A study of one image, of a patient of its own.

    Attributes:
        uid: StudyInstanceUID.
        data: file of the image.
    """

    uid: str
    data: bytes


def studies(count: int, first: int = 1000, size: int = 128) -> list[Study]:
    """Studies of phantoms that are not in a store of `phantom_store`."""
    made = []
    for n in range(first, first + count):
        uid = f"2.25.9{n}"
        named = {"PatientID": f"PATIENT-{n}", "PatientName": f"Phantom^{n}"}
        uids = {"SeriesInstanceUID": f"{uid}.1", "SOPInstanceUID": f"{uid}.1.1"}
        pixels = phantom(n, size=size).pixels
        made.append(Study(uid, film(pixels, StudyInstanceUID=uid, **uids, **named)))
    return made


class Node(Process):
    """`xemplar dicom listen` on a store, with short waits.

    Attributes:
        port: its DICOM port.
    """

    def __init__(
        self, store: Store, checkpoint: Path, folder: Path, archive: str, port: int, **more: str
    ) -> None:
        self.port = port
        arguments = ("--store", store.root, "--checkpoint", checkpoint)
        settings = {
            "XEMPLAR_PACS_FOLDER": str(folder / "node"),
            "XEMPLAR_PACS_PORT": str(port),
            "XEMPLAR_PACS_ARCHIVE": archive,
            "XEMPLAR_PACS_FREE_BYTES": "0",
            "XEMPLAR_PACS_RETRY_SECONDS": "2",
        }
        super().__init__(folder / "node.log", "dicom", "listen", *arguments, **settings | more)

    def wait_until_it(self, says: str) -> None:
        """Wait for a word of its log.

        Raises:
            RuntimeError: it ended, or never said it; contains the end of its log.
        """
        until = time.monotonic() + SECONDS
        while says not in self.said:
            if not self.lives or time.monotonic() > until:
                raise RuntimeError(f"the node never said {says!r}: {self.said[-2000:]}")
            time.sleep(0.05)


def wait_for(condition: Callable[[], Any], what: str, seconds: float = SECONDS) -> None:
    """Wait for a condition.

    Raises:
        RuntimeError: it never came true; says what.
    """
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise RuntimeError(f"never: {what}")
        time.sleep(0.05)


@contextmanager
def pacs(folder: Path, checkpoint: Path, **settings: str) -> Iterator[tuple[Orthanc, Node]]:
    """Orthanc with the rule of docs/pacs.md, and a node that answers to it.

    Raises:
        NoOrthanc: Orthanc or dcmtk is not installed.
    """
    if shutil.which("storescu") is None:
        raise NoOrthanc("no storescu here: apt-get install dcmtk")
    store, _ = phantom_store(folder, checkpoint, CASES)
    port, script = free_port(), folder / "xemplar.lua"
    (lua,) = SCRIPT.findall((ROOT / "docs" / "pacs.md").read_text())
    script.write_text(lua)
    modalities = {"xemplar": ["XEMPLAR", "127.0.0.1", port]}
    orthanc = Orthanc(folder, DicomModalities=modalities, LuaScripts=[str(script)])
    archive = f"dicom://{orthanc.title}@127.0.0.1:{orthanc.port}"
    node = Node(store, checkpoint, folder, archive, port, **settings)
    try:
        node.wait_until_it("ready: ")
        with orthanc:
            yield orthanc, node
    finally:
        node.stop()


def modalities_of(orthanc: Orthanc, study: str) -> list[str]:
    """Modalities of a study's instances in the archive, sorted."""
    found = []
    for series in orthanc.rest("/series?expand"):
        parent = orthanc.rest(f"/studies/{series['ParentStudy']}")
        if parent["MainDicomTags"]["StudyInstanceUID"] == study:
            found += [series["MainDicomTags"]["Modality"]] * len(series["Instances"])
    return sorted(found)


def round_trip(orthanc: Orthanc, study: Study, folder: Path) -> float:
    """Send an image as a modality does; return the seconds until both results are in its study."""
    file = folder / f"{study.uid}.dcm"
    file.write_bytes(study.data)
    began = time.perf_counter()
    called = ["-aet", "MODALITY", "-aec", orthanc.title, "127.0.0.1", str(orthanc.port)]
    subprocess.run(["storescu", *called, str(file)], check=True, capture_output=True)
    wait_for(
        lambda: modalities_of(orthanc, study.uid) == ["DX", "OT", "SR"],
        "picture and report in the study of the image",
    )
    return time.perf_counter() - began


def main() -> None:
    """Time some images on their way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument("--side", type=int, default=2048, help="of an image in pixels")
    parser.add_argument("--checkpoint", type=Path, help="default: a tiny one")
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="xemplar-pacs-") as name:
        folder = Path(name)
        checkpoint = asked.checkpoint or save_tiny_checkpoint(folder / "tiny.safetensors")
        with pacs(folder, checkpoint) as (orthanc, _):
            some = studies(asked.images, size=asked.side)
            took = [round_trip(orthanc, one, folder) for one in some]
    Console(highlight=False).print(
        f"{len(took)} images of {asked.side} pixels: median {median(took):.2f} s, first "
        f"{took[0]:.2f} s, longest {max(took):.2f} s"
    )


if __name__ == "__main__":
    main()
