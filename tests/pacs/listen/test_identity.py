"""Fifty planted values: the results have those of the study, and nothing else has any.

Looked for in the bytes of everything that is written: catalog, pictures, index, the node's database
and what is left of its spool, log, metrics, and the results.
"""

import logging
import re
from io import BytesIO
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from pydicom import Dataset, dcmread
from pydicom._dicom_dict import DicomDictionary
from pydicom.sequence import Sequence
from xemplar_pacs.outbox.outbox import Outbox

from tests.agreement import wait_until
from tests.images import drawn_image
from tests.pacs.films import IDENTITY, SERIES, STUDY, film
from tests.pacs.listen.conftest import started
from tests.pacs.peers import Archive, send
from xemplar.retrieval.retriever import Retriever

TEXTS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT", "AE", "UR"})
MEANT = {"SpecificCharacterSet", "Modality", "PatientOrientation"}
INSTANCE = "2.25.1828182845"
OF_THE_STUDY = {
    **{word: value for word, value in IDENTITY.items() if len(value) > 2},
    "StudyInstanceUID": f"{STUDY}.90909",
}
"""What every object of the study has; a sex is no identity."""


def every_text() -> dict[str, str]:
    """A value of its own in every text of the data dictionary that is not of the study."""
    words = [
        word
        for tag, (vr, _, _, retired, word) in DicomDictionary.items()
        if vr in TEXTS and word and not retired and tag >= 0x00080000
        if word not in IDENTITY and word not in MEANT
    ]
    return {word: f"XQ{n:04d}Z" for n, word in enumerate(words)}


@pytest.fixture
def planted() -> dict[str, str]:
    values = every_text()
    assert len(values) > 500
    return values


def image(values: dict[str, str]) -> bytes:
    """An image with all of them, in sequences and private elements as well."""
    read = dcmread(BytesIO(film(drawn_image(50, 120, 100), **OF_THE_STUDY)))
    for word, value in values.items():
        setattr(read, word, value)
    read.SOPInstanceUID = read.file_meta.MediaStorageSOPInstanceUID = INSTANCE
    inner = Dataset()
    inner.PatientName = inner.PatientID = "XQ9001Z"
    read.ReferencedPatientSequence = Sequence([inner])
    block = read.private_block(0x0011, "XQ9002Z", create=True)
    block.add_new(1, "LO", "XQ9003Z")
    out = BytesIO()
    read.save_as(out, enforce_file_format=True)
    return out.getvalue()


def written(*folders: Path) -> bytes:
    """Everything in some folders."""
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return b"\n".join(path.read_bytes() for path in files)


def marks(content: bytes) -> set[bytes]:
    """Values of the form that all planted ones have, in one byte or two for a letter."""
    return set(re.findall(rb"(?i)XQ\d{4}Z", content.replace(b"\0", b"")))


def named(content: bytes) -> list[str]:
    """What is said of the study, or of the image."""
    told = (*OF_THE_STUDY.values(), SERIES, INSTANCE)
    return [one for one in told if one.encode() in content]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("refuses", [False, True])
def test_nothing_of_a_patient_is_anywhere_but_in_the_results(
    folder: Path,
    own_retriever: Retriever,
    archive: Archive,
    outbox: Outbox,
    planted: dict[str, str],
    caplog: pytest.LogCaptureFixture,
    refuses: bool,
) -> None:
    data = image(planted)
    assert len(marks(data)) == len(planted) + 3
    assert len(named(data)) == len(OF_THE_STUDY) + 2
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    archive.status = 0xC000 if refuses else 0
    with started(folder, own_retriever, do="both", archive=archive.url, tries=1) as node:
        send(node.server.port, data, data.replace(b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00UL"))
        wait_until(lambda: outbox.outcomes() == {"indexed": 1})
        wait_until(lambda: all(item.held for item in outbox.all()))
        metrics = generate_latest(node.metrics.registry)
    log = "\n".join(f"{one.getMessage()} {one.exc_text}" for one in ours(caplog)).encode()
    database = b"".join(path.read_bytes() for path in folder.glob("node.sqlite*"))
    for content in (log + metrics + database, written(own_retriever.store.root)):
        assert (marks(content), named(content)) == (set(), [])
    assert marks(written(folder)) == set()
    for result in [copies[0] for copies in archive.stored.values()]:
        assert marks(result) == set()
        assert set(OF_THE_STUDY.values()) <= set(named(result))
    assert len(archive.stored) == (0 if refuses else 2)


def ours(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Records of a node's process: the modality and the archive of this test are others."""
    foreign = ("pynetdicom", "pydicom", "httpx", "hypothesis")
    return [one for one in caplog.records if not one.name.startswith(foreign)]
