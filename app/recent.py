"""What is kept in memory, and forgotten when the service stops.

The latest queries, so that their pictures can be drawn on demand: an uploaded radiograph is never
written to disk, and is forgotten when others have taken its place. And the latest errors.
"""

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from threading import Lock

from xemplar.api import ErrorOut
from xemplar.errors import NotFound
from xemplar.retrieval.result import Answer

MAX_ERRORS = 200


@dataclass
class _Remembered:
    """An answer, and the key that asked; None where no key was asked for."""

    answer: Answer
    key: str | None
    shared: bool = False

    def is_for(self, key: str | None) -> bool:
        return self.shared or self.key == key


class RecentAnswers:
    """The last so many answers by query id. Safe to share between threads.

    Each belongs to the API key that asked, and is unknown to all others unless it is shared.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._answers: OrderedDict[str, _Remembered] = OrderedDict()
        self._lock = Lock()

    def keep(self, answer: Answer, key: str | None = None) -> None:
        """Remember an answer; one of the key that holds the most makes room.

        It is the one of that key's that was not asked for longest, so that nobody's queries push
        out those of somebody who holds fewer. Of an image that was asked about again, the first
        answer stays: a browser keeps its pictures.
        """
        with self._lock:
            self._answers.setdefault(answer.query_id, _Remembered(answer, key))
            self._answers.move_to_end(answer.query_id)
            while len(self._answers) > self._capacity:
                held = Counter(one.key for one in self._answers.values())
                most = max(held.values())
                del self._answers[next(i for i, o in self._answers.items() if held[o.key] == most)]

    def newest(self, key: str | None = None) -> Answer | None:
        """The answer of a key's that was given or asked for last."""
        with self._lock:
            mine = (one.answer for one in reversed(self._answers.values()) if one.key == key)
            return next(mine, None)

    def find(self, query_id: str, key: str | None = None) -> Answer:
        """An answer by its id.

        Args:
            query_id: its own.
            key: id of the API key that asks for it.

        Raises:
            NotFound: never given, forgotten, or another key's and not shared.
        """
        with self._lock:
            return self._found(query_id, key).answer

    def share(self, query_id: str, key: str | None = None) -> None:
        """Let all keys find an answer.

        Raises:
            NotFound: as `find`.
        """
        with self._lock:
            self._found(query_id, key).shared = True

    def has_image(self, image_id: str, key: str | None = None) -> bool:
        """Whether an answer that a key finds is to an image."""
        with self._lock:
            mine = (one.answer for one in self._answers.values() if one.is_for(key))
            return any(answer.image_id == image_id for answer in mine)

    def _found(self, query_id: str, key: str | None) -> _Remembered:
        one = self._answers.get(query_id)
        if one is None or not one.is_for(key):
            raise NotFound(
                f"query {query_id[:32]!r} is unknown or forgotten (the last {self._capacity} are "
                "kept in memory), or another reader's who has not shared it; send the image again"
            )
        self._answers.move_to_end(query_id)
        return one


class RecentErrors:
    """The last `MAX_ERRORS` requests that failed, and images that were refused. The log has all.

    For the event loop alone, not for threads.
    """

    def __init__(self) -> None:
        self._errors: deque[ErrorOut] = deque(maxlen=MAX_ERRORS)

    def keep(self, error: ErrorOut) -> None:
        """Remember an error; the oldest makes room."""
        self._errors.appendleft(error)

    def newest(self) -> list[ErrorOut]:
        """All that are remembered, the newest first."""
        return list(self._errors)
