"""The latest answers and errors, kept in memory until the service stops.

Answers are kept to render their images on demand: an uploaded radiograph is never written to disk,
and is dropped when newer ones need the room.
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
    """An answer and the key that sent its query; None on a service without keys."""

    answer: Answer
    key: str | None
    shared: bool = False

    def is_for(self, key: str | None) -> bool:
        return self.shared or self.key == key


class RecentAnswers:
    """The latest answers, up to ``capacity``, by query id. Safe to share between threads.

    Each belongs to the API key that sent the query, and is hidden from others unless shared.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._answers: OrderedDict[str, _Remembered] = OrderedDict()
        self._lock = Lock()

    def keep(self, answer: Answer, key: str | None = None) -> None:
        """Keep an answer; if there is no room, drop one of the key that holds the most.

        The least recently used one of that key is dropped, so that a key's queries never displace
        those of a key that holds fewer. When a query is repeated with other options its first
        answer is kept, as browsers cache the images of that one.
        """
        with self._lock:
            self._answers.setdefault(answer.query_id, _Remembered(answer, key))
            self._answers.move_to_end(answer.query_id)
            while len(self._answers) > self._capacity:
                held = Counter(one.key for one in self._answers.values())
                most = max(held.values())
                del self._answers[next(i for i, o in self._answers.items() if held[o.key] == most)]

    def newest(self, key: str | None = None) -> Answer | None:
        """Return the most recently used answer of a key, if any."""
        with self._lock:
            mine = (one.answer for one in reversed(self._answers.values()) if one.key == key)
            return next(mine, None)

    def find(self, query_id: str, key: str | None = None) -> Answer:
        """Find an answer.

        Args:
            query_id: of the answer.
            key: id of the caller's API key.

        Raises:
            NotFound: there is none, it was dropped, or it is another key's and not shared.
        """
        with self._lock:
            return self._found(query_id, key).answer

    def share(self, query_id: str, key: str | None = None) -> None:
        """Make an answer visible to all keys.

        Raises:
            NotFound: see `find`.
        """
        with self._lock:
            self._found(query_id, key).shared = True

    def has_image(self, image_id: str, key: str | None = None) -> bool:
        """Return True if an answer that a key can find belongs to the image."""
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
    """The last `MAX_ERRORS` failed requests and rejected images; the log has all of them.

    Use it from the event loop only; it is not thread-safe.
    """

    def __init__(self) -> None:
        self._errors: deque[ErrorOut] = deque(maxlen=MAX_ERRORS)

    def keep(self, error: ErrorOut) -> None:
        """Keep an error; the oldest is dropped if there is no room."""
        self._errors.appendleft(error)

    def newest(self) -> list[ErrorOut]:
        """Return the errors in memory, the newest first."""
        return list(self._errors)
