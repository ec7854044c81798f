"""The whole line for one film: bytes -> Radiograph -> Features -> neighbours -> evidence.

Both the service and the command line answer queries through this one class.
"""

import secrets
from collections.abc import Collection, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from xemplar.answer import Answer, Neighbour, Prediction, Stopwatch
from xemplar.catalog import Case, Catalog, open_catalog
from xemplar.checkpoint import Checkpoint
from xemplar.encoder import Encoder
from xemplar.errors import InvalidArgument, NotFound
from xemplar.explain import grad_cam, similarity_evidence
from xemplar.findings import finding_index
from xemplar.index import Generation, Hits, open_generation
from xemplar.media import Media
from xemplar.overlay import jpeg, overlay, shrink
from xemplar.preprocess import preprocess
from xemplar.radiograph import DISPLAY_SIDE, Limits, decode
from xemplar.store import Store

MAX_K = 100


class Retriever:
    """Answers queries from one checkpoint, one index generation, one catalog. Thread-safe."""

    def __init__(
        self,
        encoder: Encoder,
        generation: Generation,
        catalog: Catalog,
        media: Media,
        limits: Limits | None = None,
    ) -> None:
        self.encoder = encoder
        self.generation = generation
        self.catalog = catalog
        self.media = media
        self.limits = limits or Limits()

    @classmethod
    def open(
        cls, encoder: Encoder, store: Store, database: str = "", limits: Limits | None = None
    ) -> Self:
        """Open a store's live generation and catalog.

        Args:
            encoder: of the checkpoint that the generation was built with.
            store: the folder.
            database: SQLAlchemy URL; empty for the catalog in the store.
            limits: what to refuse of an uploaded film.

        Raises:
            NothingIndexed: there is no published generation.
            Mismatch: generation, checkpoint or catalog do not fit together.
            CorruptArtefact: a file is damaged.
            ConfigurationError: the database cannot be used.
        """
        generation = open_generation(store, encoder.checkpoint)
        catalog = open_catalog(database or store.database_url)
        return cls(encoder, generation, catalog, Media(store.media), limits)

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint that answers."""
        return self.encoder.checkpoint

    def close(self) -> None:
        """Let go of the database."""
        self.catalog.close()

    def refresh(self, store: Store) -> None:
        """Take over the store's live generation.

        Queries that are under way are answered from the generation that they began with.

        Raises:
            CorruptArtefact, Mismatch, NothingIndexed: it cannot be used; the old one stays.
        """
        self.generation = open_generation(store, self.checkpoint)

    # ---- the answer -------------------------------------------------------------------------

    def ask(
        self, data: bytes, *, k: int = 5, finding: str | None = None, exclude: Sequence[str] = ()
    ) -> Answer:
        """Find the most similar cases.

        Args:
            data: the film's file.
            k: how many cases, 1 to 100.
            finding: to explain; None for the most probable.
            exclude: public ids of cases that must not be among the answer.

        Raises:
            InputError: the film or an argument cannot be used (see `xemplar.errors`).
            NotFound: an excluded case does not exist.
        """
        explained, excluded = self._checked(k, finding, exclude)
        watch = Stopwatch()
        radiograph = decode(data, self.limits)
        watch.stage("decode")
        inputs = preprocess(radiograph, self.checkpoint.card.spec)
        film = shrink(radiograph.pixels, DISPLAY_SIDE)
        watch.stage("preprocess")
        return self._answer(film, inputs, k, explained, excluded, watch)

    def similar(
        self,
        case_id: str,
        *,
        k: int = 5,
        finding: str | None = None,
        exclude: Sequence[str] = (),
        same_patient: bool = False,
    ) -> Answer:
        """Find the cases most similar to an indexed one, which is never among them.

        Args:
            case_id: its public id.
            k: how many cases, 1 to 100.
            finding: to explain; None for the most probable.
            exclude: public ids of further cases that must not be among the answer.
            same_patient: whether other films of its patient may be.

        Raises:
            InputError: an argument cannot be used.
            NotFound: the case is not in the live generation, or an excluded one does not exist.
            CorruptArtefact: a kept picture is damaged.
        """
        explained, excluded = self._checked(k, finding, exclude)
        case = self.indexed(case_id)
        excluded.add(case.id)
        if case.patient is not None and not same_patient:
            excluded.update(self.catalog.patient_ids(case.patient))
        watch = Stopwatch()
        film = self.media.display(case.image_sha256)
        inputs = self.media.input(case.image_sha256, self.checkpoint.card.spec)
        watch.stage("decode")
        return self._answer(film, inputs, k, explained, excluded, watch)

    def _checked(
        self, k: int, finding: str | None, exclude: Sequence[str]
    ) -> tuple[int | None, set[int]]:
        """Place of the finding to explain, and ids of the cases to leave out."""
        if not 1 <= k <= MAX_K:
            raise InvalidArgument(f"k is {k}; it must be from 1 to {MAX_K}")
        findings = self.checkpoint.card.findings
        explained = None if finding is None else finding_index(findings, finding)
        return explained, {self.catalog.case(case_id).id for case_id in exclude}

    def _answer(
        self,
        film: npt.NDArray[np.uint8],
        inputs: npt.NDArray[np.uint8],
        k: int,
        explained: int | None,
        excluded: Collection[int],
        watch: Stopwatch,
    ) -> Answer:
        """From the network's input on, all queries go the same way."""
        generation = self.generation  # one for the whole answer: `refresh` may come between
        features = self.encoder.encode(inputs[None])
        watch.stage("encode")
        hits = generation.search(features.embedding[0], k, excluded)
        watch.stage("search")
        cams = grad_cam(features, self.checkpoint.weights["classifier.weight"])[0]
        probabilities = self.checkpoint.probabilities(features.logits[0])
        explained = int(probabilities.argmax()) if explained is None else explained
        watch.stage("explain")
        neighbours = self._neighbours(generation, hits, explained)
        watch.stage("describe")
        return Answer(
            query_id=secrets.token_hex(8),
            checkpoint=self.checkpoint.digest,
            generation=generation.name,
            film=film,
            features=features,
            cams=cams,
            predictions=self._predictions(probabilities),
            explained=self.checkpoint.card.findings[explained],
            neighbours=neighbours,
            timings_ms=watch.timings_ms,
        )

    def _predictions(self, probabilities: npt.NDArray[np.float32]) -> tuple[Prediction, ...]:
        present = probabilities >= self.checkpoint.thresholds
        return tuple(
            Prediction(
                self.checkpoint.card.findings[place],
                float(probabilities[place]),
                bool(present[place]),
            )
            for place in np.argsort(-probabilities, kind="stable")
        )

    def _neighbours(
        self, generation: Generation, hits: Hits, explained: int
    ) -> tuple[Neighbour, ...]:
        """Cases removed from the catalog since the generation was built are left out."""
        cases = self.catalog.cases(map(int, hits.ids))
        calibration = generation.manifest.calibration
        neighbours: list[Neighbour] = []
        for case_id, similarity in zip(map(int, hits.ids), hits.similarity, strict=True):
            if case_id not in cases:
                continue
            score = float(similarity)
            probability = self._probability(generation, case_id, explained)
            neighbours.append(
                Neighbour(
                    rank=len(neighbours) + 1,
                    case=cases[case_id],
                    similarity=score,
                    probability=probability,
                    present=bool(probability >= self.checkpoint.thresholds[explained]),
                    chance=None if calibration is None else calibration.chance_of(score),
                )
            )
        return tuple(neighbours)

    def _probability(self, generation: Generation, case_id: int, place: int) -> float:
        return float(self.checkpoint.probabilities(generation.logits(case_id))[place])

    # ---- its pictures -----------------------------------------------------------------------

    def query_image(self, answer: Answer) -> bytes:
        """The query's display copy, as JPEG."""
        return jpeg(answer.film)

    def query_overlay(self, answer: Answer, finding: str | None = None, side: int = 512) -> bytes:
        """The query with its Grad-CAM for a finding (None: the explained one), as JPEG.

        Below the finding's threshold the film is shown without a map.
        """
        findings = self.checkpoint.card.findings
        place = finding_index(findings, finding or answer.explained)
        present = next(p.present for p in answer.predictions if p.finding == findings[place])
        return self._picture(answer.film, answer.cams[place] if present else None, side)

    def case_overlay(self, case: Case, finding: str, side: int = 512) -> bytes:
        """A case with its stored Grad-CAM for a finding, as JPEG. No network runs.

        Below the finding's threshold the film is shown without a map.
        """
        place = finding_index(self.checkpoint.card.findings, finding)
        generation = self.generation
        present = self._probability(generation, case.id, place) >= self.checkpoint.thresholds[place]
        heatmap = generation.cams(case.id)[place] if present else None
        return self._picture(self.media.display(case.image_sha256), heatmap, side)

    def query_evidence(self, answer: Answer, case: Case, side: int = 512) -> bytes:
        """The query, showing which places make it similar to the case, as JPEG."""
        heatmap = similarity_evidence(answer.features.maps[0], self.generation.vector(case.id))
        return self._picture(answer.film, heatmap, side)

    def case_evidence(self, answer: Answer, case: Case, side: int = 512) -> bytes:
        """The case, showing which places make it similar to the query, as JPEG.

        Its maps are not stored (326 kB a case): one forward pass over its stored input yields
        them again.
        """
        inputs = self.media.input(case.image_sha256, self.checkpoint.card.spec)
        maps = self.encoder.encode(inputs[None]).maps[0]
        heatmap = similarity_evidence(maps, answer.features.embedding[0])
        return self._picture(self.media.display(case.image_sha256), heatmap, side)

    def pictures(self, answer: Answer, side: int = 512) -> dict[str, bytes]:
        """The overlay of the query (key "query") and of each neighbour (key: case id)."""
        drawn = {"query": self.query_overlay(answer, side=side)}
        for neighbour in answer.neighbours:
            case = neighbour.case
            drawn[case.case_id] = self.case_overlay(case, answer.explained, side)
        return drawn

    def indexed(self, case_id: str) -> Case:
        """A case that the live generation holds.

        Raises:
            NotFound: the catalog has no such case, or it is not in the live generation.
        """
        case = self.catalog.case(case_id)
        if case.id not in self.generation:
            raise NotFound(f"case {case_id} is not in the live index generation")
        return case

    def _picture(
        self,
        film: npt.NDArray[np.uint8],
        heatmap: npt.NDArray[np.float32] | None,
        side: int,
    ) -> bytes:
        if heatmap is None:
            return jpeg(shrink(film, side))
        return jpeg(overlay(film, heatmap, self.checkpoint.card.spec, side=side))
