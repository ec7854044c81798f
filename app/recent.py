"""What is kept in memory, and forgotten when the service stops.

The latest queries, so that their pictures can be drawn on demand: an uploaded film is never
written to disk, and is forgotten when others have taken its place. And the latest errors.
"""

from collections import OrderedDict, deque
from threading import Lock

from xemplar.answer import Answer
from xemplar.errors import NotFound
from xemplar.schemas import ErrorOut

MAX_ERRORS = 200


class RecentAnswers:
    """The last so many answers by query id. Safe to share between threads."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._lock = Lock()

    def keep(self, answer: Answer) -> None:
        """Remember an answer; the one that was not asked for longest makes room.

        Of a film that was asked about again, the first answer stays: a browser keeps its pictures.
        """
        with self._lock:
            self._answers.setdefault(answer.query_id, answer)
            self._answers.move_to_end(answer.query_id)
            while len(self._answers) > self._capacity:
                self._answers.popitem(last=False)

    def newest(self) -> Answer | None:
        """The answer that was given or asked for last."""
        with self._lock:
            return next(reversed(self._answers.values()), None)

    def find(self, query_id: str) -> Answer:
        """An answer by its id.

        Raises:
            NotFound: never given, or forgotten.
        """
        with self._lock:
            if query_id not in self._answers:
                raise NotFound(
                    f"query {query_id[:32]!r} is unknown or forgotten (the last {self._capacity} "
                    "are kept in memory); send the film again"
                )
            self._answers.move_to_end(query_id)
            return self._answers[query_id]


class RecentErrors:
    """The last `MAX_ERRORS` requests that failed, and films that were refused. The log has all.

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
