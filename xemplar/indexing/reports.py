"""Reports of the images of an index job: read, scrubbed, and their labels mined if asked for."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from xemplar.data.datasets import DatasetImage, WrittenReport
from xemplar.errors import DatasetError, InvalidArgument
from xemplar.indexing.reader import SkippedImage
from xemplar.reports.mentions import mined_labels
from xemplar.reports.openi import MOST_BYTES, read_openi
from xemplar.reports.report import ReceivedReport, StoredReport, decoded


@dataclass
class ReportReader:
    """Reads reports for an index job; only their scrubbed text leaves it.

    Attributes:
        mine: read labels of images that have none from their reports.
        count: number of reports taken.
        left_out: images whose report cannot be used, with the reason; the images are indexed.
        mined: digests of the images whose labels were mined.
    """

    mine: bool = False
    count: int = 0
    left_out: list[SkippedImage] = field(default_factory=list)
    mined: set[str] = field(default_factory=set)

    def read(self, image: DatasetImage, sha256: str) -> tuple[DatasetImage, StoredReport | None]:
        """Read the report of an image.

        Returns:
            The image, with mined labels if it had none; and its scrubbed report, None without one.
        """
        if image.report is None:
            return image, None
        try:
            report = _report(image.report).scrubbed()
        except (InvalidArgument, DatasetError, OSError) as error:
            why = error.strerror or "it cannot be read" if isinstance(error, OSError) else error
            self.left_out.append(SkippedImage(image.path, f"its report is left out: {why}"))
            return image, None
        self.count += bool(report)
        labels = self._labels(image, report)
        if labels:
            self.mined.add(sha256)
            image = replace(image, labels=labels)
        return image, report

    def _labels(self, image: DatasetImage, report: StoredReport) -> Mapping[str, int]:
        if not self.mine or image.labels:
            return {}
        return mined_labels(report.findings, report.impression)


def _report(written: WrittenReport | Path) -> ReceivedReport:
    """Read a report from a label file's cells, or from a file of its own.

    Raises:
        InvalidArgument, DatasetError: it cannot be used; the message does not quote it.
        OSError: the file cannot be read.
    """
    if isinstance(written, WrittenReport):
        whole = ReceivedReport.read(written.whole) if written.whole else ReceivedReport()
        return ReceivedReport(
            findings=written.findings or whole.findings,
            impression=written.impression or whole.impression,
        )
    if written.suffix.lower() == ".xml":
        return read_openi(written).report
    with open(written, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise InvalidArgument("it is a pipe or device, not a file")
        return ReceivedReport.read(decoded(file.read(MOST_BYTES), "the file"))


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
