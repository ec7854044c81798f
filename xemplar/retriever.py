"""The whole line of a film: bytes -> Radiograph -> tensor -> Features -> neighbours -> answer.

Both the service and the command line answer queries through this one class. Pictures of an
answer are drawn in `xemplar.pictures`.
"""

import secrets
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Self

import numpy as np
import numpy.typing as npt

from xemplar.answer import Answer, Neighbour, Prediction, Stopwatch
from xemplar.catalog import Case, Catalog, open_catalog
from xemplar.checkpoint import Checkpoint
from xemplar.encoder import Encoder
from xemplar.errors import InputError, NotFound
from xemplar.explain import grad_cam
from xemplar.findings import finding_index
from xemplar.index import Amended, open_generation
from xemplar.media import Media
from xemplar.network import Features
from xemplar.overlay import shrink
from xemplar.preprocess import preprocess
from xemplar.radiograph import DISPLAY_SIDE, Limits, decode
from xemplar.selection import Found, Scope, Search
from xemplar.store import Store

DECODERS = 4
"""Films of a batch that are decoded at once: each is in memory at its full size meanwhile."""

BATCH = 16
"""Films of a batch that one forward pass takes."""


@dataclass(frozen=True, eq=False)
class _Query:
    """A film on its way: display copy, network's input, and the time it took so far."""

    film: npt.NDArray[np.uint8]
    inputs: npt.NDArray[np.uint8]
    watch: Stopwatch = field(default_factory=Stopwatch)


class Retriever:
    """Answers queries from one checkpoint, one index generation, one catalog. Thread-safe."""

    def __init__(
        self,
        encoder: Encoder,
        generation: Amended,
        catalog: Catalog,
        store: Store,
        limits: Limits | None = None,
    ) -> None:
        self.encoder = encoder
        self.generation = generation
        self.catalog = catalog
        self.store = store
        self.media = Media(store.media)
        self.limits = limits or Limits()
        self._changing = Lock()

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
        amended = Amended.of(generation, catalog)
        return cls(encoder, amended, catalog, store, limits)

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
        opened = open_generation(store, self.checkpoint)
        with self._changing:
            self.generation = Amended.of(opened, self.catalog)

    def update(self) -> None:
        """Take over the cases that came or went in the catalog, whichever process did it.

        Queries that are under way go on without the change.

        Raises:
            DatabaseUnreachable: nothing has changed.
        """
        with self._changing:
            self.generation = self.generation.updated(self.catalog)

    # ---- the answer -------------------------------------------------------------------------

    def ask(self, data: bytes, search: Search = Search()) -> Answer:
        """Find the most similar cases.

        Args:
            data: the film's file.
            search: what is asked of it.

        Raises:
            InputError: the film or an argument cannot be used (see `xemplar.errors`).
            NotFound: an excluded case does not exist.
        """
        scope, explained = self._asked(search)
        (answer,) = self._answers([self._read(data)], scope, explained)
        return answer

    def ask_all(
        self, films: Sequence[bytes], search: Search = Search()
    ) -> list[Answer | InputError]:
        """Ask the same of several films: decoded in threads, encoded together.

        Args:
            films: their files.
            search: what is asked of each of them.

        Returns:
            In the order of the films: its answer, or why it cannot be used.

        Raises:
            InputError: an argument cannot be used.
            NotFound: an excluded case does not exist.
        """
        scope, explained = self._asked(search)
        with ThreadPoolExecutor(DECODERS) as threads:
            read = list(threads.map(self._read_or_refusal, films))
        queries = [one for one in read if isinstance(one, _Query)]
        answers = iter(self._answers(queries, scope, explained))
        return [next(answers) if isinstance(one, _Query) else one for one in read]

    def similar(
        self, case_id: str, search: Search = Search(), *, same_patient: bool = False
    ) -> Answer:
        """Find the cases most similar to an indexed one, which is never among them.

        Args:
            case_id: its public id.
            search: what is asked of it.
            same_patient: whether other films of its patient may be among them.

        Raises:
            InputError: an argument cannot be used.
            NotFound: the case is not in the live generation, or an excluded one does not exist.
            CorruptArtefact: a kept picture is damaged.
        """
        case = self.indexed(case_id)
        if same_patient:
            search = replace(search, exclude=(*search.exclude, case_id))
        else:
            search = replace(search, exclude_patient_of=(*search.exclude_patient_of, case_id))
        scope, explained = self._asked(search)
        watch = Stopwatch()
        film = self.media.display(case.image_sha256)
        inputs = self.media.input(case.image_sha256, self.checkpoint.card.spec)
        watch.stage("decode")
        (answer,) = self._answers([_Query(film, inputs, watch)], scope, explained)
        return answer

    def indexed(self, case_id: str) -> Case:
        """A case that the live generation holds.

        Raises:
            NotFound: the catalog has no such case, or it is not in the live generation.
        """
        case = self.catalog.case(case_id)
        if case.id not in self.generation:
            raise NotFound(f"case {case_id} is not in the live index generation")
        return case

    # ---- its stages -------------------------------------------------------------------------

    def _asked(self, search: Search) -> tuple[Scope, int | None]:
        """Refuse what cannot be asked before any film is decoded.

        Returns:
            ``(scope, place of the finding to explain or None)``. The scope holds on to the live
            generation: `refresh` may come between.
        """
        findings = self.checkpoint.card.findings
        explained = None if search.finding is None else finding_index(findings, search.finding)
        return Scope(self.generation, self.catalog, search), explained

    def _read(self, data: bytes) -> _Query:
        watch = Stopwatch()
        radiograph = decode(data, self.limits)
        watch.stage("decode")
        inputs = preprocess(radiograph, self.checkpoint.card.spec)
        film = shrink(radiograph.pixels, DISPLAY_SIDE)
        watch.stage("preprocess")
        return _Query(film, inputs, watch)

    def _read_or_refusal(self, data: bytes) -> _Query | InputError:
        try:
            return self._read(data)
        except InputError as refusal:
            return refusal

    def _answers(
        self, queries: Sequence[_Query], scope: Scope, explained: int | None
    ) -> list[Answer]:
        """From the network's input on, all queries go the same way."""
        answers = []
        for start in range(0, len(queries), BATCH):
            some = queries[start : start + BATCH]
            began = time.perf_counter()
            features = self.encoder.encode(np.stack([query.inputs for query in some]))
            share = (time.perf_counter() - began) * 1000 / len(some)
            for place, query in enumerate(some):
                query.watch.add("encode", share)
                answers.append(self._answer(query, features.one(place), scope, explained))
        return answers

    def _answer(
        self, query: _Query, features: Features, scope: Scope, explained: int | None
    ) -> Answer:
        generation, vector = scope.generation, features.embedding[0]
        probabilities = self.checkpoint.probabilities(features.logits[0])
        explained = int(probabilities.argmax()) if explained is None else explained
        finding = self.checkpoint.card.findings[explained]
        similar = scope.neighbours(vector)
        contrary = scope.counter_examples(vector, finding)
        query.watch.stage("search")
        cams = grad_cam(features, self.checkpoint.weights["classifier.weight"])[0]
        query.watch.stage("explain")
        neighbours = self._neighbours(generation, similar, explained)
        counter_examples = self._neighbours(generation, contrary, explained)
        query.watch.stage("describe")
        return Answer(
            query_id=secrets.token_hex(8),
            checkpoint=self.checkpoint.digest,
            generation=generation.name,
            film=query.film,
            features=features,
            cams=cams,
            predictions=self._predictions(probabilities),
            explained=finding,
            neighbours=neighbours,
            counter_examples=counter_examples,
            matched=scope.matched,
            timings_ms=query.watch.timings_ms,
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
        self, generation: Amended, found: Sequence[Found], explained: int
    ) -> tuple[Neighbour, ...]:
        calibration, threshold = generation.manifest.calibration, self.checkpoint.thresholds
        neighbours = []
        for rank, one in enumerate(found, start=1):
            logits = generation.logits(one.case.id)
            probability = float(self.checkpoint.probabilities(logits)[explained])
            neighbours.append(
                Neighbour(
                    rank=rank,
                    case=one.case,
                    similarity=one.similarity,
                    probability=probability,
                    present=bool(probability >= threshold[explained]),
                    chance=None if calibration is None else calibration.chance_of(one.similarity),
                )
            )
        return tuple(neighbours)
