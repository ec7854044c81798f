"""A node in this process, between a modality and an archive of `tests.pacs.peers`."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from xemplar_pacs.listen.node import Node, running
from xemplar_pacs.outbox.archive import open_archive
from xemplar_pacs.outbox.outbox import Outbox
from xemplar_pacs.settings import NodeSettings

from tests.pacs.conftest import open_retriever
from tests.pacs.peers import Archive
from tests.stores import SmallStore
from xemplar.retrieval.references import StudyReferences
from xemplar.retrieval.retriever import Retriever

Started = Callable[..., AbstractContextManager[Node]]

NOWHERE = "dicom://ARCHIVE@127.0.0.1:9"


@pytest.fixture
def archive() -> Iterator[Archive]:
    """An archive that listens."""
    with Archive() as started:
        yield started


@pytest.fixture
def own_retriever(own: SmallStore) -> Iterator[Retriever]:
    """Answers from a store that a test may change."""
    opened = open_retriever(own)
    yield opened
    opened.close()


def settings_of(folder: Path, **changed: Any) -> NodeSettings:
    """Settings of a node in a test: any free port, a short wait, whatever room there is."""
    said = {"port": 0, "free_bytes": 0, "retry_seconds": 1, "archive": NOWHERE}
    return NodeSettings(folder=folder, **said | changed)


@contextmanager
def started(
    folder: Path,
    retriever: Retriever | None = None,
    references: StudyReferences | None = None,
    **changed: Any,
) -> Iterator[Node]:
    """A node that receives; it answers if it is given a retriever."""
    settings = settings_of(folder, **changed)
    with ExitStack() as closing:
        outbox = Outbox.open(folder)
        closing.callback(outbox.close)
        archive = None if settings.do == "index" else open_archive(settings)
        node = closing.enter_context(running(settings, outbox, archive))
        if retriever is not None:
            node.answer(retriever, references)
        yield node


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of the node."""
    return tmp_path / "node"


@pytest.fixture
def outbox(folder: Path) -> Iterator[Outbox]:
    """What waits in the folder, as a command sees it."""
    opened = Outbox.open(folder)
    yield opened
    opened.close()
