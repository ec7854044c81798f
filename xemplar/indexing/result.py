"""`IndexingResult`: what an index job did."""

from dataclasses import dataclass

from xemplar.indexing.reader import SkippedImage


@dataclass(frozen=True)
class IndexingResult:
    """Result of an index job.

    Attributes:
        embedded: number of images embedded and added as cases.
        reused: number of images embedded before or repeated in this job.
        unreadable: skipped images.
        copies: number of skipped images that duplicate another case.
        seconds: from the first image to the last commit.
        reports: number of reports stored.
        reports_left_out: images whose report cannot be used, with the reason.
    """

    embedded: int
    reused: int
    unreadable: tuple[SkippedImage, ...]
    copies: int
    seconds: float
    reports: int = 0
    reports_left_out: tuple[SkippedImage, ...] = ()
