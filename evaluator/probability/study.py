"""Probability study, from evaluation data to a section of the report."""

from collections.abc import Callable, Iterator

import numpy as np

from xemplar.errors import DatasetError
from xemplar.model.checkpoint import Card

from ..data import EvaluationData
from ..section import Section
from .pictures import reliability_curve
from .scores import CALIBRATED, CONSTANT, RAW, THOUSANDTHS, Judged
from .tables import (
    calls_table,
    differences_table,
    findings_table,
    never_called,
    reliability_table,
    scores_table,
)

EVERY = "all"
"""Name of all splits together."""


def probability(
    data: EvaluationData, on_progress: Callable[[int], None] = lambda _: None
) -> Section:
    """Measures calibrated probabilities and calls against labels, the raw sigmoid and a constant.

    Args:
        data: evaluated images.
        on_progress: called with the number of tables done, of 3.

    Raises:
        DatasetError: no finding of the checkpoint is known in any evaluated image.
    """
    judged, card = Judged.of(data), data.encoder.checkpoint.card
    if not judged.known.any():
        raise DatasetError(
            "no finding of the checkpoint is known in any evaluated image, so no probability can "
            "be judged; evaluate labelled images"
        )
    parts = dict(_parts(data, judged))
    scores = scores_table(parts)
    on_progress(1)
    differences = differences_table(parts)
    on_progress(2)
    calls, curve = calls_table(parts), reliability_table(judged)
    on_progress(3)
    failures = [
        f"the calibrated probability is worse than the {row[1]} by its {row[2]}: by {row[3]} "
        "thousandths"
        for row in differences.rows
        if row[0] == EVERY and row[4] == "worse"
    ]
    return Section(
        name="probability",
        title="Probabilities: do they mean what they say?",
        summary=_summary(judged, failures),
        text=_text(data, judged, card),
        tables=(scores, differences, calls, findings_table(judged, card), curve),
        pictures=(reliability_curve(curve),),
        settings={"population": card.population.source if card.population else None},
        failures=failures,
    )


def _parts(data: EvaluationData, judged: Judged) -> Iterator[tuple[str, Judged]]:
    """Yields all images, and those of each split where there are several."""
    yield EVERY, judged
    rule = data.encoder.checkpoint.card.split
    splits = np.array([rule.of(image) for image in data.queries.records])
    names = sorted(set(splits.tolist()))
    for name in names if len(names) > 1 else ():
        part = judged.among(splits == name)
        if part.known.any():
            yield name, part


def _summary(judged: Judged, failures: list[str]) -> str:
    brier = {n: judged.mean(judged.brier(s), judged.known) for n, s in judged.said.items()}
    scores = ", ".join(
        f"{name} {found.value / THOUSANDTHS:.4f}" for name, found in brier.items() if found
    )
    true = judged.mean(judged.present.astype(float), judged.calls & judged.known)
    called = "nothing is called" if true is None else f"{true.value:.0%} of the calls are true"
    verdict = "FAILS: " + "; ".join(failures) if failures else "It is not worse than either."
    return (
        f"Brier score (0 is best): {scores}. {verdict} {judged.calls.sum(axis=1).mean():.2f} "
        f"findings are called an image, where {judged.present.sum(axis=1).mean():.2f} are "
        f"labelled; {called}."
    )


def _text(data: EvaluationData, judged: Judged, card: Card) -> tuple[str, ...]:
    on = card.population
    ill = f"{judged.ill.mean():.0%}"
    if on is None:
        population = (
            "The checkpoint does not say on which images it was calibrated, and has no base rates, "
            f"so there is no lift and no comparison with a constant. {ill} of the evaluated images "
            "show a finding."
        )
    else:
        population = (
            f"It was calibrated on {on.images:,} validation images of {on.source}; its base rates "
            f"are those of {on.labelled:,} labelled images, {on.ill:.0%} of which show a finding. "
            f"Of the evaluated images {ill} do: where that differs, every probability is off in "
            "the same direction."
        )
    unsaid = never_called(judged, card)
    never = f"Never called here: {', '.join(unsaid)}." if unsaid else "Each finding is called."
    return (
        f"{len(judged.patients)} images, {int(judged.known.sum()):,} known labels. {population} "
        f"{data.trained}",
        f"A probability is to be believed if of the labels that get it, that share is present. "
        f"{CALIBRATED.capitalize()} is what the service shows; {RAW} is the network's output as "
        f"trained; {CONSTANT} says the same of every image, and needs no network. A release fails "
        "if the calibrated one is worse than either by an interval that leaves out 0. "
        "Labels were mined from reports where the data set's were, so some calls that count as "
        "false are true.",
        f"A finding is called from its threshold on, and shown in bold. {never}",
    )
