"""Kills the DICOM node with ``kill -9`` while studies come in and the archive is away.

Every study must get its picture and its report once, and no acknowledged image may be lost.

    python -m tests.system.pacs_kills
    python -m tests.system.pacs_kills --studies 20 --kills 2 --away 2

Needs Orthanc. With 200 studies and 20 kills it takes some minutes on two idle cores, most of them
to start Python and load the network 21 times.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

from pydicom import dcmread
from pynetdicom import AE
from rich.console import Console
from xemplar_pacs.outbox.outbox import Outbox

from tests.pacs.peers import SENT
from tests.system.common import free_port, phantom_store, save_tiny_checkpoint, verdict
from tests.system.orthanc import Orthanc
from tests.system.pacs import CASES, Node, Study, studies, wait_for

PATIENCE = 3600.0
LONGEST_LIFE = 4.0
"""Seconds after the node is ready to receive within which it is killed."""


@dataclass
class Modality:
    """Sends studies to the node; repeats what was not acknowledged, as a modality does.

    Attributes:
        acknowledged: StudyInstanceUIDs, in order.
        repeated: attempts without an acknowledgement.
    """

    port: int
    pending: list[Study]
    acknowledged: list[str] = field(default_factory=list)
    repeated: int = 0
    over: Event = field(default_factory=Event)

    def run(self) -> None:
        """Send all of them."""
        while self.pending and not self.over.is_set():
            if self._send(self.pending[0]):
                self.acknowledged.append(self.pending.pop(0).uid)
            else:
                self.repeated += 1
                time.sleep(0.1)

    def _send(self, study: Study) -> bool:
        entity = AE("MODALITY")
        for wait in ("acse", "dimse", "network", "connection"):
            setattr(entity, f"{wait}_timeout", 60)
        for sop_class in SENT:
            entity.add_requested_context(sop_class)
        association = entity.associate("127.0.0.1", self.port, ae_title="XEMPLAR")
        if not association.is_established:
            return False
        answer = association.send_c_store(dcmread(BytesIO(study.data)))
        if association.is_established:
            association.release()
        return "Status" in answer and answer.Status == 0


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        faults: what was lost, or there twice.
        kills: of the node.
        repeated: attempts of the modality without an acknowledgement.
        seconds: from the first image to the last result.
    """

    faults: list[str]
    kills: int
    repeated: int
    seconds: float


def kill_node(folder: Path, count: int, kills: int, away: float, seed: int = 0) -> Outcome:
    """Send studies into a node that is killed, with an archive that is away for a while.

    Args:
        folder: for everything.
        count: number of studies.
        kills: number of kills.
        away: seconds for which the archive is stopped.
        seed: of the moments of the kills.
    """
    chance = random.Random(seed)
    checkpoint = save_tiny_checkpoint(folder / "tiny.safetensors")
    store, _ = phantom_store(folder, checkpoint, CASES)
    sent, orthanc, port = studies(count), Orthanc(folder), free_port()
    archive = f"dicom://{orthanc.title}@127.0.0.1:{orthanc.port}"
    node = Node(store, checkpoint, folder, archive, port)
    modality, began = Modality(port, list(sent)), time.monotonic()
    sending = Thread(target=modality.run, daemon=True)
    try:
        node.wait_until_it("receives at")
        sending.start()
        for n in range(kills):
            time.sleep(chance.uniform(0, LONGEST_LIFE))
            node.kill()
            node = Node(store, checkpoint, folder, archive, port)
            if n == kills // 2:
                with orthanc:  # it was away until here; now it takes some, and is away again
                    node.wait_until_it("receives at")
                    time.sleep(chance.uniform(0, LONGEST_LIFE))
                time.sleep(away)
            node.wait_until_it("receives at")
        with orthanc:
            wait_for(lambda: not sending.is_alive(), "all images acknowledged", PATIENCE)
            outbox = Outbox.open(folder / "node")
            wait_for(lambda: not outbox.all(), f"an empty outbox: {node.said[-800:]}", PATIENCE)
            faults = faults_of(orthanc, sent)
            seconds = time.monotonic() - began
    finally:
        modality.over.set()
        node.kill()
    return Outcome(faults, kills, modality.repeated, seconds)


def faults_of(orthanc: Orthanc, sent: Sequence[Study]) -> list[str]:
    """Compare the archive with what it should hold: a picture and a report of each study."""
    there: Counter[tuple[str, str]] = Counter()
    uids = {
        one["ID"]: one["MainDicomTags"]["StudyInstanceUID"]
        for one in orthanc.rest("/studies?expand")
    }
    for series in orthanc.rest("/series?expand"):
        key = uids[series["ParentStudy"]], series["MainDicomTags"]["Modality"]
        there[key] += len(series["Instances"])
    wanted = Counter((one.uid, kind) for one in sent for kind in ("OT", "SR"))
    lost = [f"{kind} of study {uid} is lost" for uid, kind in (wanted - there).elements()]
    more = [f"{kind} of study {uid} is there again" for uid, kind in (there - wanted).elements()]
    return lost + more


def main() -> None:
    """Kill, check and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--away", type=float, default=20, help="seconds without an archive")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="xemplar-pacs-kills-") as folder:
        outcome = kill_node(Path(folder), asked.studies, asked.kills, asked.away, asked.seed)
    Console(highlight=False).print(
        f"{asked.studies} studies, {outcome.kills} kills, archive away for {asked.away:g} s: "
        f"{outcome.repeated} attempts repeated by the modality, {outcome.seconds:.0f} s"
    )
    sys.exit(verdict(outcome.faults))


if __name__ == "__main__":
    main()
