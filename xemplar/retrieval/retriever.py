"""`Retriever`: finds past radiographs similar to a new one, from its bytes to an `Answer`.

Service and command line answer queries through this one class. `xemplar.retrieval.render` draws
the images of an answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Self

from sqlalchemy import Engine

from xemplar.api.search import MAX_IMAGES, Search
from xemplar.archive.store import Store
from xemplar.catalog import Case, Catalog, Description, open_catalog
from xemplar.data.findings import finding_index
from xemplar.errors import InputError, InvalidArgument, NotARadiograph, NotFound
from xemplar.imaging import Radiograph, decode
from xemplar.imaging.radiograph import size_mm
from xemplar.model.checkpoint import Checkpoint
from xemplar.model.encoder import Encoder, open_encoder
from xemplar.retrieval.by_words import answer_by_words
from xemplar.retrieval.duplicates import StoredImages, case_of_image
from xemplar.retrieval.follower import StoreFollower
from xemplar.retrieval.ingest import Ingested, embed_image, store_case
from xemplar.retrieval.query import NewQuery, Query, Question, answer_of, answers, read, read_all
from xemplar.retrieval.result import (
    Answer,
    ExplainedQuery,
    Pixels,
    QuestionImage,
    Stopwatch,
    WordsAnswer,
)
from xemplar.retrieval.selection import Scope
from xemplar.retrieval.snapshot import Snapshot, live_checkpoint, open_snapshot


class Retriever(StoreFollower):
    """Answers queries from a store's live generation and its catalog. Thread-safe.

    Attributes:
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
        super().__init__(live, catalog, store, checkpoint, opener)
        self.decode = decode
        self._adding = Lock()

    @classmethod
    def open(
        cls,
        checkpoint: Path,
        store: Store,
        database: str | Engine = "",
        decode: Callable[[bytes], Radiograph] = decode,
        opener: Callable[[Checkpoint], Encoder] = open_encoder,
    ) -> Self:
        """Open a store's live generation, its checkpoint and the catalog.

        Args:
            checkpoint: file of the generation's checkpoint, unless the store keeps it itself.
            store: folder of the index generations.
            database: SQLAlchemy URL, empty for the catalog in the store; or an engine that is
                shared with other users of the database.
            decode: decodes an uploaded image's file, see `xemplar.imaging.decode`.
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

    def put(self, image: Radiograph, description: Description) -> Ingested:
        """Index a radiograph, unless a case already shows its image; queries find it afterwards.

        One process adds radiographs one at a time, so that of two files of one image the second
        finds the first. Two processes may both add one; an answer then shows them as one case.

        Args:
            image: decoded. If its file is already a case it stays one, whatever others show.
            description: of a new case.

        Raises:
            NotARadiograph: the network finds no features in it.
            InputError: the caller may not add it (`Catalog.check_addition`).
            ConfigurationError, DatabaseUnreachable: the catalog cannot be written to.
            OSError: the stored images cannot be written.
        """
        is_new = False
        while True:
            encoder = self.encoder
            inputs, entry = embed_image(image, description, encoder)
            with self._adding:
                self.update()
                live = self.live
                if live.checkpoint is not encoder.checkpoint:
                    continue
                if self.catalog.find_image(image.sha256) is None:
                    images = StoredImages(self.media, live.checkpoint.card.spec)
                    among = (live.generation, self.catalog, images)
                    copy = case_of_image(entry.vector, inputs, *among)
                    if copy is not None:
                        return Ingested(copy, is_new=False)
                taken = store_case(image, inputs, entry, live.checkpoint, self.catalog, self.media)
                is_new |= taken.is_new
                self.update()
            if taken.case.id in self.generation:
                return replace(taken, is_new=is_new)
            # else another checkpoint has become live in the meantime

    def ask(
        self, data: bytes, search: Search = Search(), others: Sequence[ExplainedQuery] = ()
    ) -> Answer:
        """Find the most similar cases.

        Args:
            data: the image's file.
            search: options of the search.
            others: other images of the question; the network does not run again for them.

        Raises:
            InputError: the image or an argument cannot be used (see `xemplar.errors`).
            NotFound: a case that the search names does not exist, or one of the others is of
                another checkpoint.
        """
        question = self._question(search, others)
        return _answer(read(data, self.decode, question.live), question)

    def ask_together(
        self,
        radiographs: Sequence[bytes],
        search: Search = Search(),
        others: Sequence[ExplainedQuery] = (),
    ) -> tuple[Answer, list[Answer]]:
        """Find the cases most similar to several images, as one question.

        Args:
            radiographs: their files; predictions and evidence belong to the first.
            search: options of the search.
            others: further images of the question, answered before.

        Returns:
            The answer, and an answer to each radiograph but the first by itself, of one case.

        Raises:
            InputError: an argument cannot be used, or one of the images: the message says which.
            NotFound: as `ask`.
        """
        self._question(search, others, len(radiographs))  # before any image is decoded
        each: list[Answer] = []
        found = self.ask_all(radiographs, Search(k=1, finding=search.finding))
        for number, one in enumerate(found, start=1):
            if not isinstance(one, Answer):
                raise type(one)(f"image {number} of {len(found)}: {one}") from one
            each.append(one)
        first, *rest = each
        answer = self.again(first, search, [*rest, *others])
        return replace(answer, timings_ms=first.timings_ms | answer.timings_ms), rest

    def ask_words(self, search: Search) -> WordsAnswer:
        """Find cases by the words of their reports alone.

        Args:
            search: options of the search, with a text.

        Raises:
            InvalidArgument: there is no text, an option needs an image, or nothing in the text can
                be searched for.
            InputError: an argument cannot be used.
            NotFound: an excluded case does not exist.
        """
        search.check_without_image()
        watch = Stopwatch()
        return answer_by_words(self._question(search).scope, watch)

    def ask_all(
        self, radiographs: Sequence[bytes], search: Search = Search()
    ) -> list[Answer | InputError]:
        """Run one search for several images: decoded in threads, encoded in batches.

        Args:
            radiographs: their files.
            search: options of the search, for each of them.

        Returns:
            In the order of the images: the answer, or the reason why the image cannot be used.

        Raises:
            InputError: an argument cannot be used.
            NotFound: an excluded case does not exist.
        """
        question = self._question(search)
        queries = read_all(radiographs, self.decode, question.live)
        found = iter(answers([one for one in queries if isinstance(one, NewQuery)], question))
        return [next(found) if isinstance(one, NewQuery) else one for one in queries]

    def similar(
        self,
        case_id: str,
        search: Search = Search(),
        others: Sequence[ExplainedQuery] = (),
        *,
        same_patient: bool = False,
    ) -> Answer:
        """Find the cases most similar to an indexed one, which is never among them.

        Args:
            case_id: its public id.
            search: options of the search.
            others: other images of the question.
            same_patient: include other images of its patient, and of the question's other cases.

        Raises:
            InputError: an argument cannot be used.
            NotFound: the case is not in the live generation, or as `ask`.
            CorruptArtefact: a stored image is damaged.
        """
        case = self.indexed(case_id)
        if case_id in search.with_case:
            raise InvalidArgument(f"case {case_id} is the query itself; leave it out of with_case")
        left_out = "exclude" if same_patient else "exclude_patient_of"
        search = search.model_copy(update={left_out: (*getattr(search, left_out), case_id)})
        question = self._question(search, others, same_patient=same_patient)
        watch = Stopwatch()
        image = self.media.display(case.image_sha256)
        inputs = self.media.input(case.image_sha256, question.live.checkpoint.card.spec)
        watch.stage("decode")
        pixels, size = Pixels(image, inputs), size_mm((case.height, case.width), case.spacing_mm)
        query = NewQuery(case_id, pixels, size_mm=size, watch=watch, indexed=True)
        return _answer(query, question)

    def again(
        self, answer: ExplainedQuery, search: Search, others: Sequence[ExplainedQuery] = ()
    ) -> Answer:
        """Run another search for an image that was answered; the network does not run again.

        Args:
            answer: to the image. The new one keeps its id, and so its overlays and evidence.
            search: options of the new search.
            others: other images of the question.

        Raises:
            InputError: an argument cannot be used.
            NotFound: another checkpoint is live now, or as `ask`.
        """
        if any(one.query_id == answer.query_id for one in others):
            raise InvalidArgument(
                f"query {answer.query_id} is asked already; leave it out of with_query"
            )
        question = self._question(search, others)
        question.live.check_gave(answer)
        about = answer.warnings, answer.doubts, answer.size_mm
        query = Query(answer.image_id, answer.pixels, *about)
        return replace(answer_of(query, answer.features, question), query_id=answer.query_id)

    def indexed(self, case_id: str) -> Case:
        """Return a case that the live generation holds.

        Raises:
            NotFound: the catalog has no such case, or it is not in the live generation.
        """
        case = self.catalog.case(case_id)
        if case.id not in self.generation:
            raise NotFound(f"case {case_id} is not in the live index generation")
        return case

    def _question(
        self,
        search: Search,
        others: Sequence[ExplainedQuery] = (),
        images: int = 1,
        *,
        same_patient: bool = False,
    ) -> Question:
        """Check the options of a search, before any image is decoded.

        Args:
            search: the options.
            others: images of the question that were answered before.
            images: number of those that were not.
            same_patient: include other images of the patients of its cases.
        """
        live, cases = self.live, tuple(dict.fromkeys(search.with_case))
        count = images + len(others) + len(cases)
        if count > MAX_IMAGES:
            raise InvalidArgument(
                f"the question has {count} images, and {MAX_IMAGES} are the limit; leave some out"
            )
        for one in others:
            live.check_gave(one)
        if cases and not same_patient:
            excluded = (*search.exclude_patient_of, *cases)
            search = search.model_copy(update={"exclude_patient_of": excluded})
        findings = live.checkpoint.card.findings
        explained = None if search.finding is None else finding_index(findings, search.finding)
        stored = StoredImages(self.media, live.checkpoint.card.spec)
        vectors = [one.features.embedding[0] for one in others]
        scope = Scope(live.generation, self.catalog, stored, search, vectors)
        beside = (
            *(QuestionImage(query_id=one.query_id, warnings=one.warnings) for one in others),
            *(QuestionImage(case_id=case_id) for case_id in cases),
        )
        return Question(live, scope, explained, beside)


def _answer(query: NewQuery, question: Question) -> Answer:
    (answer,) = answers([query], question)
    if isinstance(answer, NotARadiograph):
        raise answer
    return answer
