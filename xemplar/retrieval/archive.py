"""`Archive`: an indexed archive on this machine, searched from Python without a server."""

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from xemplar.api.search import CaseFilter, Search
from xemplar.archive.store import Store
from xemplar.catalog import Case
from xemplar.model.checkpoint import Checkpoint, default_checkpoint
from xemplar.retrieval import render
from xemplar.retrieval.result import Answer
from xemplar.retrieval.retriever import Retriever

PAGE = 1000
"""Cases read from the catalog at a time."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Cases of an archive with what the network makes of them, in order of indexing.

    An embedding is personal data where the image is: the same patient's images have similar ones.

    Attributes:
        cases: n cases.
        vectors: float32 (n, C), unit length.
        probabilities: float32 (n, F) in [0, 1], calibrated.
        findings: the F findings.
    """

    cases: tuple[Case, ...]
    vectors: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]
    findings: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.cases)


class Archive:
    """An archive made by ``xemplar index``. Thread-safe; close it, or use it as a context.

    Example::

        with xemplar.open("archive") as archive:
            for case in archive.search("image.png", k=3, sex="F").neighbours:
                print(case.rank, case.similarity, case.case.findings)
    """

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever

    @classmethod
    def open(
        cls,
        store: str | PathLike[str],
        *,
        checkpoint: str | PathLike[str] | None = None,
        database: str = "",
    ) -> Self:
        """Open an archive.

        Args:
            store: its folder.
            checkpoint: file of its network, unless the store keeps it, or it is the shipped one.
            database: SQLAlchemy URL of its catalog; empty for the one in the folder.

        Raises:
            NothingIndexed: nothing is indexed there.
            Mismatch: index, network or catalog do not fit together.
            ConfigurationError: the catalog cannot be used.
        """
        path = default_checkpoint() if checkpoint is None else Path(checkpoint)
        return cls(Retriever.open(path, Store(Path(store)), database))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._retriever.generation)

    def close(self) -> None:
        """Close the catalog's connections."""
        self._retriever.close()

    @property
    def checkpoint(self) -> Checkpoint:
        """The network that the archive was made with."""
        return self._retriever.checkpoint

    def search(self, image: str | PathLike[str] | bytes, **options: Any) -> Answer:
        """Find the cases most similar to an image.

        Args:
            image: path or bytes of a PNG, JPEG, TIFF or DICOM file.
            options: of the search, by the names of `xemplar.api.search.Search`: k, finding,
                any_of, none_of, sex, age_min, view, source, ...

        Raises:
            InputError: the image or an option cannot be used.
        """
        data = image if isinstance(image, bytes) else Path(image).read_bytes()
        return self._retriever.ask(data, Search(**options))

    def similar(self, case_id: str, **options: Any) -> Answer:
        """Find the cases most similar to a case of the archive, without its own patient's.

        Raises:
            NotFound: there is no such case.
        """
        return self._retriever.similar(case_id, Search(**options))

    def case(self, case_id: str) -> Case:
        """Return a case by its id.

        Raises:
            NotFound: there is no such case.
        """
        return self._retriever.indexed(case_id)

    def cases(self, **wanted: Any) -> Iterator[Case]:
        """Yield cases in order of indexing.

        Args:
            wanted: filter, by the names of `xemplar.api.search.CaseFilter`: any_of, sex, view, ...
        """
        catalog, chosen, after = self._retriever.catalog, CaseFilter(**wanted), 0
        while page := catalog.page(self.checkpoint.digest, chosen, after=after, limit=PAGE):
            yield from page
            after = page[-1].id

    def image(self, case_id: str) -> npt.NDArray[np.uint8]:
        """Return a case's display copy, uint8 (height, width), longer side at most 1024 pixels."""
        return self._retriever.media.display(self.case(case_id).image_sha256)

    def overlay(self, case_id: str, finding: str) -> bytes:
        """Draw a case with its Grad-CAM for a finding; without where the finding is not called.

        Returns:
            JPEG file.

        Raises:
            UnknownFinding: the network does not know the finding.
        """
        live, media = self._retriever.live, self._retriever.media
        return render.case_overlay(live, media, self.case(case_id), finding)

    def embeddings(self, **wanted: Any) -> Embeddings:
        """Return embeddings and probabilities of cases, all of them in memory.

        Args:
            wanted: filter, as in `cases`.
        """
        card, digest = self.checkpoint.card, self.checkpoint.digest
        cases = {case.id: case for case in self.cases(**wanted)}
        wanted_ids = np.fromiter(cases, np.int64, len(cases))
        ids, vectors, logits = list[int](), [], []
        for batch in self._retriever.catalog.vectors(digest):
            kept = np.isin(batch.ids, wanted_ids)
            ids += batch.ids[kept].tolist()
            vectors.append(batch.vectors[kept])
            logits.append(batch.logits[kept])
        shape = (0, len(card.findings))
        return Embeddings(
            cases=tuple(cases[number] for number in ids),
            vectors=np.concatenate(vectors) if vectors else np.empty((0, 0), np.float32),
            probabilities=self.checkpoint.probabilities(
                np.concatenate(logits) if logits else np.empty(shape, np.float32)
            ),
            findings=card.findings,
        )
