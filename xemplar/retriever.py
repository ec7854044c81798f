"""The whole line of a film: bytes -> Radiograph -> tensor -> Features -> neighbours -> answer.

Both the service and the command line answer queries through this one class. Pictures of an
answer are drawn in `xemplar.pictures`.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Self

import numpy as np
import numpy.typing as npt

from xemplar.answer import Answer, Neighbour, Prediction, Stopwatch
from xemplar.artefact import file_digest
from xemplar.catalog import Case, Catalog, open_catalog
from xemplar.checkpoint import Checkpoint, load
from xemplar.doorkeeper import FEWEST, MOST, Doorkeeper, Verdict
from xemplar.encoder import Encoder, open_encoder
from xemplar.errors import InputError, NotARadiograph, NotFound
from xemplar.explain import grad_cam
from xemplar.findings import finding_index
from xemplar.index import Amended, current, open_generation, read_manifest
from xemplar.media import Media
from xemplar.network import Features
from xemplar.overlay import shrink
from xemplar.preprocess import PreprocessSpec, preprocess
from xemplar.radiograph import DISPLAY_SIDE, Limits, decode
from xemplar.selection import Found, Scope, Search
from xemplar.store import Store

DECODERS = 4
"""Films of a batch that are decoded at once: each is in memory at its full size meanwhile."""

BATCH = 16
"""Films of a batch that one forward pass takes."""


SEED = 0
"""Of the sample of films that the doorkeeper is made from."""


@dataclass(frozen=True, eq=False)
class Live:
    """What answers, changed as one: a film is sought in the index of the network that encoded it.

    Attributes:
        encoder: of the checkpoint that made the generation.
        generation: with what came and went since.
        doorkeeper: knows the indexed films; None where they are too few.
    """

    encoder: Encoder
    generation: Amended
    doorkeeper: Doorkeeper | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint that answers."""
        return self.encoder.checkpoint


@dataclass(frozen=True, eq=False)
class _Query:
    """A film on its way.

    Attributes:
        film: display copy.
        inputs: of the network.
        warnings: what speaks against it.
        watch: the time it took so far.
    """

    film: npt.NDArray[np.uint8]
    inputs: npt.NDArray[np.uint8]
    warnings: tuple[str, ...] = ()
    watch: Stopwatch = field(default_factory=Stopwatch)


class Retriever:
    """Answers queries from a store's live generation and its catalog. Thread-safe.

    Attributes:
        live: what answers; one reference, taken once for each question.
    """

    def __init__(
        self,
        live: Live,
        catalog: Catalog,
        store: Store,
        checkpoint: Path,
        limits: Limits | None = None,
        opener: Callable[[Checkpoint], Encoder] = open_encoder,
    ) -> None:
        self.live = live
        self._checkpoint = checkpoint
        self.catalog = catalog
        self.store = store
        self.media = Media(store.media)
        self.limits = limits or Limits()
        self._opener = opener
        self._changing = Lock()

    @classmethod
    def open(
        cls,
        checkpoint: Path,
        store: Store,
        database: str = "",
        limits: Limits | None = None,
        opener: Callable[[Checkpoint], Encoder] = open_encoder,
    ) -> Self:
        """Open a store's live generation, its checkpoint and the catalog.

        Args:
            checkpoint: file of the generation's checkpoint, unless the store keeps that itself.
            store: the folder.
            database: SQLAlchemy URL; empty for the catalog in the store.
            limits: what to refuse of an uploaded film.
            opener: makes the encoder of a checkpoint, also of a later generation's.

        Raises:
            NothingIndexed: there is no published generation.
            Mismatch: generation, checkpoint or catalog do not fit together.
            CorruptArtefact: a file is damaged.
            ConfigurationError: the database cannot be used.
        """
        loaded = load(live_checkpoint(store, checkpoint))
        generation = open_generation(store, loaded)
        catalog = open_catalog(database or store.database_url)
        amended = Amended.of(generation, catalog)
        doorkeeper = _doorkeeper(amended, catalog, Media(store.media), loaded.card.spec)
        live = Live(opener(loaded), amended, doorkeeper)
        return cls(live, catalog, store, checkpoint, limits, opener)

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint that answers."""
        return self.live.checkpoint

    @property
    def encoder(self) -> Encoder:
        """Of the checkpoint that answers."""
        return self.live.encoder

    @property
    def generation(self) -> Amended:
        """The generation that answers."""
        return self.live.generation

    def close(self) -> None:
        """Let go of the database."""
        self.catalog.close()

    def refresh(self) -> None:
        """Take over the store's live generation, with its checkpoint where that is another one.

        Queries that are under way are answered from the generation that they began with.

        Raises:
            CorruptArtefact, Mismatch, NothingIndexed: it cannot be used; the old one stays.
        """
        encoder, path = self.live.encoder, live_checkpoint(self.store, self._checkpoint)
        if file_digest(path) != encoder.checkpoint.digest:
            encoder = self._opener(load(path))
        amended = Amended.of(open_generation(self.store, encoder.checkpoint), self.catalog)
        spec = encoder.checkpoint.card.spec
        doorkeeper = _doorkeeper(amended, self.catalog, self.media, spec)
        with self._changing:  # reading took a while, and cases may have come
            self.live = Live(encoder, amended.updated(self.catalog), doorkeeper)

    def update(self) -> None:
        """Take over the cases that came or went in the catalog, whichever process did it.

        Queries that are under way go on without the change.

        Raises:
            DatabaseUnreachable: nothing has changed.
        """
        with self._changing:
            self.live = replace(self.live, generation=self.generation.updated(self.catalog))

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
        asked = self._asked(search)
        (answer,) = self._answers([self._read(data, asked.live)], asked)
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
        asked = self._asked(search)
        with ThreadPoolExecutor(DECODERS) as threads:
            read = list(threads.map(partial(self._read_or_refusal, live=asked.live), films))
        queries = [one for one in read if isinstance(one, _Query)]
        answers = iter(self._answers(queries, asked))
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
        asked = self._asked(search)
        watch = Stopwatch()
        film = self.media.display(case.image_sha256)
        inputs = self.media.input(case.image_sha256, asked.live.checkpoint.card.spec)
        watch.stage("decode")
        (answer,) = self._answers([_Query(film, inputs, watch=watch)], asked)
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

    def _asked(self, search: Search) -> "_Asked":
        """Refuse what cannot be asked before any film is decoded."""
        live = self.live
        findings = live.checkpoint.card.findings
        explained = None if search.finding is None else finding_index(findings, search.finding)
        return _Asked(live, Scope(live.generation, self.catalog, search), explained)

    def _read(self, data: bytes, live: Live) -> _Query:
        watch = Stopwatch()
        radiograph = decode(data, self.limits)
        watch.stage("decode")
        inputs = preprocess(radiograph, live.checkpoint.card.spec)
        film = shrink(radiograph.pixels, DISPLAY_SIDE)
        verdict = Verdict() if live.doorkeeper is None else live.doorkeeper.judge(inputs)
        if verdict.refused:
            raise NotARadiograph(
                f"this is no film of the kind that is indexed here: {'; '.join(verdict.warnings)}"
            )
        watch.stage("preprocess")
        return _Query(film, inputs, radiograph.warnings + verdict.warnings, watch)

    def _read_or_refusal(self, data: bytes, live: Live) -> _Query | InputError:
        try:
            return self._read(data, live)
        except InputError as refusal:
            return refusal

    def _answers(self, queries: Sequence[_Query], asked: "_Asked") -> list[Answer]:
        """From the network's input on, all queries go the same way."""
        answers = []
        for start in range(0, len(queries), BATCH):
            some = queries[start : start + BATCH]
            began = time.perf_counter()
            features = asked.live.encoder.encode(np.stack([query.inputs for query in some]))
            share = (time.perf_counter() - began) * 1000 / len(some)
            for place, query in enumerate(some):
                query.watch.add("encode", share)
                answers.append(_answer(query, features.one(place), asked))
        return answers


@dataclass(frozen=True, eq=False)
class _Asked:
    """A question, bound to what answers it: `Retriever.refresh` may come between.

    Attributes:
        live: what answers.
        scope: where to look.
        explained: place of the finding to explain; None for the most probable.
    """

    live: Live
    scope: Scope
    explained: int | None


def live_checkpoint(store: Store, otherwise: Path) -> Path:
    """File of the live generation's checkpoint, if the store keeps it, else the other one.

    Raises:
        NothingIndexed, CorruptArtefact: there is no live generation, or it cannot be read.
    """
    kept = store.checkpoint(read_manifest(store.generations / current(store)).checkpoint)
    return kept if kept.is_file() else otherwise


def _doorkeeper(
    generation: Amended, catalog: Catalog, media: Media, spec: PreprocessSpec
) -> Doorkeeper | None:
    """Made from a sample of the indexed films."""
    count = min(len(generation), MOST)
    drawn = np.random.default_rng(SEED).choice(generation.ids, count, replace=False)
    cases = catalog.cases(map(int, drawn)).values()
    if len(cases) < FEWEST:
        return None
    return Doorkeeper.of(np.stack([media.input(case.image_sha256, spec) for case in cases]))


def _answer(query: _Query, features: Features, asked: _Asked) -> Answer:
    live, scope, vector = asked.live, asked.scope, features.embedding[0]
    checkpoint = live.checkpoint
    probabilities = checkpoint.probabilities(features.logits[0])
    explained = int(probabilities.argmax()) if asked.explained is None else asked.explained
    finding = checkpoint.card.findings[explained]
    similar = scope.neighbours(vector)
    contrary = scope.counter_examples(vector, finding)
    query.watch.stage("search")
    cams = grad_cam(features, checkpoint.weights["classifier.weight"])[0]
    query.watch.stage("explain")
    neighbours = _neighbours(live, similar, explained)
    counter_examples = _neighbours(live, contrary, explained)
    query.watch.stage("describe")
    return Answer(
        query_id=secrets.token_hex(8),
        checkpoint=checkpoint.digest,
        generation=live.generation.name,
        film=query.film,
        features=features,
        cams=cams,
        predictions=_predictions(checkpoint, probabilities),
        explained=finding,
        neighbours=neighbours,
        counter_examples=counter_examples,
        matched=scope.matched,
        warnings=query.warnings,
        timings_ms=query.watch.timings_ms,
    )


def _predictions(
    checkpoint: Checkpoint, probabilities: npt.NDArray[np.float32]
) -> tuple[Prediction, ...]:
    present = probabilities >= checkpoint.thresholds
    return tuple(
        Prediction(
            checkpoint.card.findings[place], float(probabilities[place]), bool(present[place])
        )
        for place in np.argsort(-probabilities, kind="stable")
    )


def _neighbours(live: Live, found: Sequence[Found], explained: int) -> tuple[Neighbour, ...]:
    calibration = live.generation.manifest.calibration
    threshold = live.checkpoint.thresholds[explained]
    neighbours = []
    for rank, one in enumerate(found, start=1):
        logits = live.generation.logits(one.case.id)
        probability = float(live.checkpoint.probabilities(logits)[explained])
        neighbours.append(
            Neighbour(
                rank=rank,
                case=one.case,
                similarity=one.similarity,
                probability=probability,
                present=bool(probability >= threshold),
                chance=None if calibration is None else calibration.chance_of(one.similarity),
            )
        )
    return tuple(neighbours)
