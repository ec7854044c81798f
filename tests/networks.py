"""Networks that are compiled once, however many tests open them."""

from collections.abc import Callable
from hashlib import sha256

from xemplar.model.checkpoint import Checkpoint
from xemplar.model.encoder import OpenVinoBackend, Precision

MOST_BYTES = 1_000_000
"""Of weights that are kept: those of tiny networks."""

Open = Callable[[Checkpoint, Precision, int, int], OpenVinoBackend]


def compiled_once() -> Open:
    """`OpenVinoBackend`, of which there is one for equal weights and settings.

    To compile a tiny network takes as long as three queries. Weights are compared, not digests:
    tests replace them.
    """
    kept: dict[tuple[str, Precision, int, int], OpenVinoBackend] = {}

    def opened(
        checkpoint: Checkpoint, precision: Precision, threads: int, streams: int = 1
    ) -> OpenVinoBackend:
        if sum(array.nbytes for array in checkpoint.weights.values()) > MOST_BYTES:
            return OpenVinoBackend(checkpoint, precision, threads, streams)
        content = sha256(repr((checkpoint.card.architecture, checkpoint.card.spec)).encode())
        for name, array in sorted(checkpoint.weights.items()):
            content.update(name.encode() + array.tobytes())
        key = (content.hexdigest(), precision, threads, streams)
        if key not in kept:
            kept[key] = OpenVinoBackend(checkpoint, precision, threads, streams)
        return kept[key]

    return opened
