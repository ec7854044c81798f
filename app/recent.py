"""The latest queries, kept in memory so that their pictures can be drawn on demand.

An uploaded film is never written to disk: it is forgotten when others have taken its place, or
when the service stops.
"""

from collections import OrderedDict
from threading import Lock

from xemplar.answer import Answer
from xemplar.errors import NotFound


class RecentAnswers:
    """The last so many answers by query id. Safe to share between threads."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._lock = Lock()

    def keep(self, answer: Answer) -> None:
        """Remember an answer; the one that was not asked for longest makes room."""
        with self._lock:
            self._answers[answer.query_id] = answer
            while len(self._answers) > self._capacity:
                self._answers.popitem(last=False)

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
