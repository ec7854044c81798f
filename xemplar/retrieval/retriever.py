"""The whole line of an image: bytes -> Radiograph -> tensor -> Features -> neighbours -> answer.

Both the service and the command line answer queries through this one class. Pictures of an
answer are drawn in `xemplar.retrieval.render`.
"""

import copy
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Self

import numpy as np

from xemplar.archive.media import Media
from xemplar.archive.store import Store
from xemplar.catalog import Access, Case, Catalog, Description, case_id_of, open_catalog
from xemplar.data.findings import finding_index
from xemplar.errors import InputError, InvalidArgument, NotARadiograph, NotFound
from xemplar.imaging import DISPLAY_SIDE, Radiograph, decode
from xemplar.imaging.overlay import shrink
from xemplar.imaging.preprocess import preprocess
from xemplar.index import LiveIndex
from xemplar.model.checkpoint import Checkpoint
from xemplar.model.densenet import Features
from xemplar.model.encoder import Encoder, open_encoder
from xemplar.retrieval.duplicates import StoredImages, case_of_image
from xemplar.retrieval.ingest import Taken, embed_image, keep
from xemplar.retrieval.query import Query, Question, answer_of
from xemplar.retrieval.result import Answer, Stopwatch
from xemplar.retrieval.selection import Scope, Search
from xemplar.retrieval.snapshot import (
    Snapshot,
    carry_over,
    live_checkpoint,
    new_validator,
    open_snapshot,
    publish_usable,
)

BATCH_SECONDS = 60
"""After which no further image of a request is decoded, so that others get their turn."""

DECODERS = 4
"""Images of a batch that are decoded at once: each is in memory at its full size meanwhile."""

BATCH = 16
"""Images of a batch that one forward pass takes."""


@dataclass
class _Answering:
    """What answers; shared by a retriever and those that are bound to callers."""

    live: Snapshot


class Retriever:
    """Answers queries from a store's live generation and its catalog. Thread-safe.

    Attributes:
        catalog: the cases, within the limits of the caller that the retriever is bound to.
        decode: decodes an uploaded image's file.
    """

    def __init__(
        self,
        live: Snapshot,
        catalog: Catalog,
        store: Store,
        checkpoint: Path,
        decode: Callable[[bytes], Radiograph] = decode,
        opener: Callable[[Checkpoint], Encoder] = open_encoder,
    ) -> None:
        self._answering = _Answering(live)
        self._checkpoint = checkpoint
        self.catalog = self._everything = catalog
        self.store = store
        self.media = Media(store.media)
        self.decode = decode
        self._opener = opener
        self._changing = Lock()
        self._taking_in = Lock()

    @classmethod
    def open(
        cls,
        checkpoint: Path,
        store: Store,
        database: str = "",
        decode: Callable[[bytes], Radiograph] = decode,
        opener: Callable[[Checkpoint], Encoder] = open_encoder,
    ) -> Self:
        """Open a store's live generation, its checkpoint and the catalog.

        Args:
            checkpoint: file of the generation's checkpoint, unless the store keeps that itself.
            store: the folder.
            database: SQLAlchemy URL; empty for the catalog in the store.
            decode: decodes an uploaded image's file, as `xemplar.imaging.decode` does.
            opener: makes the encoder of a checkpoint, also of a later generation's.

        Raises:
            NothingIndexed: there is no published generation.
            Mismatch: generation, checkpoint or catalog do not fit together.
            CorruptArtefact: a file is damaged.
            ConfigurationError: the database cannot be used.
        """
        path = live_checkpoint(store, checkpoint)
        catalog = open_catalog(database or store.database_url)
        try:
            live = open_snapshot(path, store, catalog, opener)
        except BaseException:
            catalog.close()
            raise
        return cls(live, catalog, store, checkpoint, decode, opener)

    def bound(self, access: Access) -> "Retriever":
        """The same retriever within a caller's limits: cases beyond them do not exist.

        It answers with the same generation; what it is told of the store, the other knows too.
        """
        bound = copy.copy(self)
        bound.catalog = self.catalog.bound(access)
        return bound

    @property
    def live(self) -> Snapshot:
        """What answers; one reference, taken once for each question."""
        return self._answering.live

    @live.setter
    def live(self, live: Snapshot) -> None:
        self._answering.live = live

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint that answers."""
        return self.live.checkpoint

    @property
    def encoder(self) -> Encoder:
        """Of the checkpoint that answers."""
        return self.live.encoder

    @property
    def generation(self) -> LiveIndex:
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
        path = live_checkpoint(self.store, self._checkpoint)
        live = open_snapshot(path, self.store, self._everything, self._opener, self.live)
        carry_over(self.checkpoint, live.encoder, self._everything, self.media)
        with self._changing:  # all that took a while, and cases may have come
            carry_over(self.checkpoint, live.encoder, self._everything, self.media)
            self.live = replace(live, generation=live.generation.updated(self._everything))

    def publish(self, name: str) -> None:
        """Make a generation the store's live one; `refresh` takes it over.

        Raises:
            NotFound, CorruptArtefact, Mismatch: see `publish_usable`; the live one stays.
        """
        publish_usable(name, self.store, self._everything, self._checkpoint)

    def learn(self) -> None:
        """Let the input validator learn what the images of the generation that answers look like.

        Raises:
            CorruptArtefact: a stored input is damaged; the old input validator stays.
            DatabaseUnreachable: likewise.
        """
        live = self.live
        validator = new_validator(live, self._everything, self.store)
        with self._changing:
            if self.checkpoint is live.checkpoint:  # else it has an input validator of its own
                self.live = replace(self.live, validator=validator)

    def update(self) -> None:
        """Take over the cases that came or went in the catalog, whichever process did it.

        Queries that are under way go on without the change.

        Raises:
            DatabaseUnreachable: nothing has changed.
        """
        with self._changing:
            self.live = replace(self.live, generation=self.generation.updated(self._everything))

    def put(self, image: Radiograph, description: Description) -> Taken:
        """Take a radiograph in, unless a case shows its image, and answer with it from now on.

        Radiographs come one after the other in a process, so that of two files of one image that
        come at the same time the second finds the first. Two processes may both take one in; an
        answer shows them in one place.

        Args:
            image: decoded. One that is a case stays one, whatever others show.
            description: of a new case.

        Raises:
            NotARadiograph: the network sees nothing in it.
            InputError: the caller may not put it in (`Catalog.check_addition`).
            ConfigurationError, DatabaseUnreachable: the catalog cannot be written to.
            OSError: the pictures cannot be written.
        """
        is_new = False
        while True:
            encoder = self.encoder
            inputs, entry = embed_image(image, description, encoder)
            with self._taking_in:
                self.update()
                live = self.live
                if live.checkpoint is not encoder.checkpoint:
                    continue
                if self.catalog.find_image(image.sha256) is None:
                    images = StoredImages(self.media, live.checkpoint.card.spec)
                    among = (live.generation, self.catalog, images)
                    copy = case_of_image(entry.vector, inputs, *among)
                    if copy is not None:
                        return Taken(copy, is_new=False)
                taken = keep(image, inputs, entry, live.checkpoint, self.catalog, self.media)
                is_new |= taken.is_new
                self.update()
            if taken.case.id in self.generation:
                return replace(taken, is_new=is_new)
            # else another checkpoint has begun to answer meanwhile

    # ---- the answer -------------------------------------------------------------------------

    def ask(self, data: bytes, search: Search = Search()) -> Answer:
        """Find the most similar cases.

        Args:
            data: the image's file.
            search: what is asked of it.

        Raises:
            InputError: the image or an argument cannot be used (see `xemplar.errors`).
            NotFound: an excluded case does not exist.
        """
        question = self._question(search)
        return self._answer(self._read(data, question.live), question)

    def ask_all(
        self, radiographs: Sequence[bytes], search: Search = Search()
    ) -> list[Answer | InputError]:
        """Ask the same of several images: decoded in threads, encoded together.

        Args:
            radiographs: their files.
            search: what is asked of each of them.

        Returns:
            In the order of the images: its answer, or why it cannot be used.

        Raises:
            InputError: an argument cannot be used.
            NotFound: an excluded case does not exist.
        """
        question = self._question(search)
        with ThreadPoolExecutor(DECODERS) as threads:
            until = time.monotonic() + BATCH_SECONDS
            read = list(
                threads.map(
                    partial(self._read_in_time, live=question.live, until=until), radiographs
                )
            )
        queries = [one for one in read if isinstance(one, Query)]
        answers = iter(self._answers(queries, question))
        return [next(answers) if isinstance(one, Query) else one for one in read]

    def similar(
        self, case_id: str, search: Search = Search(), *, same_patient: bool = False
    ) -> Answer:
        """Find the cases most similar to an indexed one, which is never among them.

        Args:
            case_id: its public id.
            search: what is asked of it.
            same_patient: whether other images of its patient may be among them.

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
        question = self._question(search)
        watch = Stopwatch()
        image = self.media.display(case.image_sha256)
        inputs = self.media.input(case.image_sha256, question.live.checkpoint.card.spec)
        watch.stage("decode")
        query = Query(case_id, image, inputs, watch=watch, indexed=True)
        return self._answer(query, question)

    def again(self, answer: Answer, search: Search) -> Answer:
        """Ask something else of an image that was answered; the network does not run again.

        Args:
            answer: to the radiograph. The new one has its id: pictures and evidence stay the same.
            search: what is asked of it now.

        Raises:
            InputError: an argument cannot be used.
            NotFound: another checkpoint answers by now, or an excluded case does not exist.
        """
        question = self._question(search)
        question.live.check_gave(answer)
        query = Query(answer.image_id, answer.image, answer.inputs, answer.warnings)
        return replace(answer_of(query, answer.features, question), query_id=answer.query_id)

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

    def _question(self, search: Search) -> Question:
        """Refuse what cannot be asked before any image is decoded."""
        live = self.live
        findings = live.checkpoint.card.findings
        explained = None if search.finding is None else finding_index(findings, search.finding)
        images = StoredImages(self.media, live.checkpoint.card.spec)
        scope = Scope(live.generation, self.catalog, images, search)
        return Question(live, scope, explained)

    def _read(self, data: bytes, live: Snapshot) -> Query:
        watch = Stopwatch()
        radiograph = self.decode(data)
        watch.stage("decode")
        inputs = preprocess(radiograph, live.checkpoint.card.spec)
        image = shrink(radiograph.pixels, DISPLAY_SIDE)
        watch.stage("preprocess")
        image_id = case_id_of(radiograph.sha256)
        return Query(image_id, image, inputs, radiograph.warnings, watch)

    def _read_in_time(self, data: bytes, live: Snapshot, until: float) -> Query | InputError:
        if time.monotonic() > until:
            return InvalidArgument(
                f"this image was not looked at: the images before it took {BATCH_SECONDS} seconds, "
                "the limit for one request; send it in another one"
            )
        try:
            return self._read(data, live)
        except InputError as refusal:
            return refusal

    def _answer(self, query: Query, question: Question) -> Answer:
        (answer,) = self._answers([query], question)
        if isinstance(answer, NotARadiograph):
            raise answer
        return answer

    def _answers(
        self, queries: Sequence[Query], question: Question
    ) -> list[Answer | NotARadiograph]:
        """From the network's input on, all queries go the same way; what is refused is told so."""
        answers: list[Answer | NotARadiograph] = []
        for start in range(0, len(queries), BATCH):
            some = queries[start : start + BATCH]
            began = time.perf_counter()
            features = question.live.encoder.encode(np.stack([query.inputs for query in some]))
            share = (time.perf_counter() - began) * 1000 / len(some)
            for place, query in enumerate(some):
                try:
                    answers.append(_judged(query, features.one(place), question, share))
                except NotARadiograph as refusal:
                    answers.append(refusal)
        return answers


def _judged(query: Query, features: Features, question: Question, encoding: float) -> Answer:
    """The answer to one query that took so many milliseconds to encode.

    Raises:
        NotARadiograph: it surely is none; an indexed case is not asked.
    """
    began = time.perf_counter()
    if not query.indexed:
        doubts = question.live.judge(query.inputs, features).require_accepted()
        query = replace(query, warnings=query.warnings + doubts)
    query.watch.add("encode", encoding + (time.perf_counter() - began) * 1000)
    return answer_of(query, features, question)
