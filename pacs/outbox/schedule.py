"""Due items: each has a wait of its own after a failure, until it is told to be retried."""

from collections.abc import Callable, Sequence

from .backoff import Backoff
from .outbox import Item


class Schedule:
    """Waits of items, in memory.

    Attributes:
        was_told_to_retry: whether `due` just saw an item that an operator wants retried.
    """

    def __init__(self, ceiling: float, backoff: Callable[[float], Backoff] = Backoff) -> None:
        self._ceiling = ceiling
        self._backoff = backoff
        self._waits: dict[int, Backoff] = {}
        self._retries: dict[int, int] = {}
        self.was_told_to_retry = False

    def due(self, items: Sequence[Item]) -> list[Item]:
        """Return those whose wait is over, those that never failed first.

        Forgets those that are no longer there.
        """
        there = {item.id: item.retries for item in items}
        told = {one for one, retries in there.items() if retries > self._retries.get(one, retries)}
        self.was_told_to_retry = bool(told)
        self._retries = there
        self._waits = {
            one: wait for one, wait in self._waits.items() if one in there and one not in told
        }
        due = [item for item in items if not self._waiting(item)]
        return sorted(due, key=lambda item: item.id in self._waits)

    def failed(self, item: Item) -> None:
        """Let an item wait, longer each time."""
        self._waits.setdefault(item.id, self._backoff(self._ceiling)).failed()

    def done(self, item: Item) -> None:
        """Forget an item's failures."""
        self._waits.pop(item.id, None)

    def _waiting(self, item: Item) -> bool:
        return item.id in self._waits and self._waits[item.id].seconds > 0
