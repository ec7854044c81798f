"""A store of drawn images, and a film that is asked about."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path
from socket import SHUT_RDWR

import pytest
from pydicom import Dataset, dcmread
from pynetdicom.transport import AssociationSocket
from xemplar_pacs.results.objects import ResultObject, result_objects

from tests.images import drawn_image
from tests.pacs.films import film
from tests.stores import SmallStore, small_store
from xemplar.api.search import Search
from xemplar.model.encoder import Precision, open_encoder
from xemplar.retrieval.result import Answer
from xemplar.retrieval.retriever import Retriever

AT = datetime(2026, 5, 4, 13, 2, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Asked:
    """A film with its answer."""

    retriever: Retriever
    data: bytes
    answer: Answer

    def results(self) -> tuple[ResultObject, ...]:
        """The answer's objects, made once."""
        return self._results

    @cached_property
    def _results(self) -> tuple[ResultObject, ...]:
        return self.made_anew()

    def made_anew(self, at: datetime = AT) -> tuple[ResultObject, ...]:
        """The answer's objects, dated, each time they are asked for."""
        live, media = self.retriever.live, self.retriever.media
        made: tuple[ResultObject, ...] = result_objects(self.data, live, media, self.answer, at)
        return made

    def result(self, kind: str) -> Dataset:
        """The object of a kind, as an archive reads it."""
        (one,) = (one for one in self.results() if one.kind == kind)
        return dcmread(BytesIO(one.data))

    def with_chance(self, chance: float) -> "Asked":
        """The same, from an index that is calibrated."""
        near = tuple(replace(one, chance=chance) for one in self.answer.neighbours)
        return replace(self, answer=replace(self.answer, neighbours=near))


@pytest.fixture(autouse=True)
def _closed_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closes what pynetdicom leaves to the garbage collector: a socket whose peer has gone."""

    def close(connection: AssociationSocket) -> None:
        if connection.socket is not None:
            with suppress(OSError):
                connection.socket.shutdown(SHUT_RDWR)
            connection.socket.close()

    monkeypatch.setattr(AssociationSocket, "_shutdown_socket", close)


def open_retriever(small: SmallStore) -> Retriever:
    """Answers from a store, the same on every processor."""
    opener = partial(open_encoder, precision=Precision.FLOAT32)
    return Retriever.open(small.checkpoint, small.store, opener=opener)


@pytest.fixture(scope="session")
def retriever(
    tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path
) -> Iterator[Retriever]:
    """Answers from the small store."""
    opened = open_retriever(small_store(tmp_path_factory.mktemp("pacs"), tiny_checkpoint))
    yield opened
    opened.close()


def ask(retriever: Retriever, data: bytes, search: Search = Search(k=3)) -> Asked:
    """Ask about a film."""
    return Asked(retriever, data, retriever.ask(data, search))


@pytest.fixture(scope="session")
def asked(retriever: Retriever) -> Asked:
    """A DX film that no case shows, higher than wide, with three cases and a counter-example."""
    data = film(drawn_image(50, 360, 280))
    return ask(retriever, data, Search(k=3, counter_examples=1))
