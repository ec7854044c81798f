"""One run of the back-indexing: images of an archive for the index job.

::

    caller     pages of studies -> those not fetched before -> their images
    threads    `load`: an image's file, which stays in memory
    writer     `kept`: what is in the catalog, or left out for good, is fetched

The journal follows the catalog, so a run that is killed anywhere loses no image: one that is in the
catalog and not yet in the journal is fetched again, and known by its digest.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock

from xemplar.data.datasets import DatasetImage
from xemplar.errors import ImageTooLarge, InputError

from ..conformance import RECEIVED
from ..results.source import read_source
from .archive import VANISHED, ArchiveImage, ArchiveStudy, DicomWebArchive
from .journal import Journal
from .pace import RateLimit
from .query import FetchQuery

STUDIES = 100
"""Studies of a page."""

OTHER_CLASS = "it is neither a CR nor a DX image for presentation"
NO_UID = "the archive tells no valid UID of it"


class Fetching:
    """Images of one run.

    Attributes:
        before: number of studies that were fetched before.
        skipped: reason -> number of images, or studies, that were not asked for.
        finished: whether the archive has no further studies.
    """

    def __init__(
        self,
        archive: DicomWebArchive,
        query: FetchQuery,
        journal: Journal,
        source: str,
        *,
        pace: RateLimit = RateLimit(0),
        may_go_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """Prepare a run.

        Args:
            archive: to fetch from.
            query: what to fetch.
            journal: what was fetched before.
            source: data set of the cases, and identity domain of their patients.
            pace: waits before each image.
            may_go_on: asked before each image; False ends the run.
        """
        self.before, self.finished = 0, False
        self.skipped = Counter[str]()
        self._archive = archive
        self._query = query
        self._journal = journal
        self._source = source
        self._pace = pace
        self._may_go_on = may_go_on
        self._lock = Lock()
        self._images: dict[Path, ArchiveImage] = {}
        self._left: dict[str, set[Path]] = {}
        """Digest of a study -> its images that are not yet kept."""

    def images(self) -> Iterator[DatasetImage]:
        """Yield the images that were not fetched before, named by their digests.

        Raises:
            ConfigurationError, ArchiveUnreachable: see `DicomWebArchive`.
        """
        offset, seen = 0, frozenset[str]()
        while self._may_go_on():
            page = self._archive.studies(self._query, offset, STUDIES)
            uids = frozenset(study.uid for study in page)
            if uids <= seen:  # the last page, or that of an archive that has no pages
                self.finished = True
                return
            offset, seen = offset + len(page), uids
            wanted = [study for study in page if study.uid and self._holds(study)]
            self._skip(NO_UID, sum(not study.uid for study in page))
            new = self._journal.new([self._journal.study(study) for study in wanted])
            for study in wanted:
                if self._journal.study(study) not in new:
                    self.before += 1
                    continue
                for image in self._new(study):
                    if not self._may_go_on():
                        return
                    yield image

    def load(self, image: DatasetImage) -> tuple[DatasetImage, bytes]:
        """Read an image's file from the archive, and its patient from the file.

        Raises:
            InputError: it cannot be used. What the archive itself could not send is not kept, and
                tried in the next run.
        """
        self._pace.wait()
        with self._lock:
            wanted = self._images[image.path]
        try:
            data = self._archive.file(wanted)
        except InputError as error:
            if not isinstance(error, ImageTooLarge):
                with self._lock:
                    del self._images[image.path]
            raise
        header = read_source(data).header
        patient = str(header.get("PatientID") or "").strip() or None
        issuer = str(header.get("IssuerOfPatientID") or "").strip()
        # the domain within which the node's listener takes ids for the same patient, too
        domain = f"{self._source}:{issuer}" if issuer else self._source
        return replace(image, patient=patient, patients=domain), data

    def kept(self, paths: Sequence[Path]) -> None:
        """Record images that are in the catalog, or left out for good, and their whole studies."""
        with self._lock:
            kept = {path for path in paths if self._images.pop(path, None) is not None}
            for left in self._left.values():
                left -= kept
            whole = [study for study, left in self._left.items() if not left]
            for study in whole:
                del self._left[study]
        self._journal.add([*(path.name for path in kept), *whole])

    def _holds(self, study: ArchiveStudy) -> bool:
        return study.modalities is None or not study.modalities.isdisjoint(self._query.modalities)

    def _new(self, study: ArchiveStudy) -> list[DatasetImage]:
        """Search for a study's images; return those that were not fetched before."""
        found = list[ArchiveImage]()
        for modality in self._query.modalities:
            if study.modalities is not None and modality not in study.modalities:
                continue
            images = self._archive.images(study.uid, modality, self._query.body_part)
            if images is None:
                self._skip(VANISHED)
                return []
            found += images
        named = [one for one in found if one.series and one.uid]
        wanted = {self._journal.image(one): one for one in named if one.sop_class in RECEIVED}
        self._skip(NO_UID, len(found) - len(named))
        self._skip(OTHER_CLASS, sum(one.sop_class not in RECEIVED for one in named))
        left = {Path(name) for name in self._journal.new(list(wanted)) if name}
        digest = self._journal.study(study)
        with self._lock:
            # a study can be found twice, where pages shift as others arrive
            new = left - self._images.keys()
            self._images |= {path: wanted[path.name] for path in new}
            if digest is not None:
                self._left[digest] = left
        if not left:
            self.kept(())
        return [DatasetImage(Path(name), self._source) for name in wanted if Path(name) in new]

    def _skip(self, reason: str, count: int = 1) -> None:
        if count:
            self.skipped[reason] += count
