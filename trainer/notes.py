"""Notes on a training that its log tells at the start."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from xemplar.data.datasets import DatasetImage

from .data import held_out_too
from .label_weights import told
from .settings import TrainingSettings
from .student import average_told


def notes(
    splits: Mapping[str, Sequence[DatasetImage]],
    settings: TrainingSettings,
    described: Mapping[str, Any],
    steps: int,
) -> Iterator[str]:
    """Yields a sentence for each thing that a reader of the results should know.

    Args:
        splits: split -> images.
        settings: of the training.
        described: entries of the checkpoint's card.
        steps: of the optimizer in all epochs.
    """
    for split, patients in held_out_too(splits).items():
        yield (
            f"{patients:,} patients of train or val are in {split} too: figures on it will not be "
            "of patients that were never seen"
        )
    yield from told(described["contradicted"], settings.contradicted_weight)
    if average := average_told(settings.ema_decay, steps):
        yield average
