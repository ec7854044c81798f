"""The report of a reader study."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from xemplar.errors import DatasetError
from xemplar.operations.reader_studies import StudyReading
from xemplar.operations.study_plan import StudyPlan

from ..section import Cell, Estimate, Section, Table
from .agreement import agreement
from .areas import Areas, areas
from .pictures import by_arm
from .readings import Readings
from .significance import Generalises, arm_interval, compare
from .trust import brier, influence, told_apart

SCOPES: tuple[Generalises, ...] = ("readers and films", "films", "readers")

RESAMPLES = 1000


def readings_of(plan: StudyPlan, given: Sequence[StudyReading]) -> Readings:
    """Arrange readings as arrays.

    Raises:
        DatasetError: nobody has read anything.
    """
    if not given:
        raise DatasetError("nobody has read a film of this study yet")
    arm_of = {arm.name: number for number, arm in enumerate(plan.arms)}
    film_of = {film.case_id: number for number, film in enumerate(plan.films)}
    readers = tuple(plan.sessions)
    shape = (len(plan.arms), len(readers), len(plan.films))
    confidence, trust, seconds = (np.full(shape, np.nan) for _ in range(3))
    order = {reader: plan.readings_of(reader) for reader in readers}
    for one in given:
        _, film, arm = order[one.reader][one.number]
        place = arm_of[arm.name], readers.index(one.reader), film_of[film.case_id]
        confidence[place], seconds[place] = one.said.confidence, one.said.seconds
        if one.said.trust is not None:
            trust[place] = one.said.trust
    return Readings(
        [arm.name for arm in plan.arms],
        readers,
        list(film_of),
        np.array([film.present for film in plan.films], np.bool_),
        confidence,
        trust,
        seconds,
    )


def reader_study(plan: StudyPlan, given: Sequence[StudyReading], seed: int = 0) -> Section:
    """Analyse a study.

    Args:
        plan: as it was locked.
        given: the readings.
        seed: of the bootstrap.

    Raises:
        DatasetError: too few films were read by all readers in all arms.
    """
    every = readings_of(plan, given)
    readings = every.among(every.complete)
    if not len(readings.films):
        raise DatasetError(_progress(plan, every))
    measured = areas(readings.truth, readings.confidence)
    tables = [
        _auc(readings, measured),
        _comparisons(plan, readings, measured),
        _influence(plan, readings, seed),
        _each_arm(readings, seed),
    ]
    return Section(
        name="readers",
        title=plan.title,
        summary=_summary(plan, readings, measured),
        text=list(_text(plan, every, readings, seed)),
        tables=tables,
        pictures=[by_arm(readings, measured)],
        settings=_settings(plan, seed),
    )


def _progress(plan: StudyPlan, every: Readings) -> str:
    said = int(np.isfinite(every.confidence).sum())
    return (
        f"{said:,} of {every.confidence.size:,} readings of {plan.title!r} are given, and no film "
        "has been read by all readers in all arms; wait until more sessions are over"
    )


def _summary(plan: StudyPlan, readings: Readings, measured: Areas) -> str:
    sentences = []
    for number, arm in enumerate(readings.arms[1:], start=1):
        found = compare(measured, 0, number)
        sentences.append(
            f"{arm} against {readings.arms[0]}: the readers' mean AUC changes by "
            f"{found.effect:+.3f} ({found.low:+.3f} to {found.high:+.3f}, p = {found.p:.3f})"
        )
    return (
        f"{len(readings.readers)} readers, {len(readings.films)} films, {plan.finding}. "
        + "; ".join(sentences)
        + "."
    )


def _text(plan: StudyPlan, every: Readings, readings: Readings, seed: int) -> Iterator[str]:
    yield (
        f"Question: {plan.question} Each reader read each film once in each arm, in sessions with "
        f"{plan.washout_days:g} days between them; arms were mixed within sessions, and readers "
        "were not told which one a film was in."
    )
    missing = len(every.films) - len(readings.films)
    if missing:
        yield (
            f"{missing} of {len(every.films)} films were not read by all readers in all arms, and "
            "are left out of everything here."
        )
    yield (
        "Differences of AUC are tested for new readers and new films alike (Obuchowski & Rockette "
        "with Hillis' degrees of freedom, jackknife covariances). Three arms or more make several "
        "comparisons: no p is corrected for that."
    )
    kinds = [arm.cases for arm in plan.arms]
    if "similar" in kinds and "wrong" in kinds:
        told = told_apart(readings, kinds.index("similar"), kinds.index("wrong"), RESAMPLES, seed)
        if told is not None:
            yield (
                f"The readers' trust told similar cases from wrong ones with an AUC of {told} "
                "(0.5 by chance): above it, trust went where it was due."
            )


def _auc(readings: Readings, measured: Areas) -> Table:
    rows: list[list[Cell]] = []
    for arm, name in enumerate(readings.arms):
        mean, low, high = arm_interval(measured, arm)
        films = len(readings.films)
        row: list[Cell] = [name, Estimate(mean, low, high, films)]
        rows.append([*row, *(float(value) for value in measured.auc[arm])])
    return Table(
        "readers-auc",
        "AUC by arm and reader",
        ("arm", "mean", *readings.readers),
        rows,
        "Interval of the mean: for new readers and new films. 0.5 by chance.",
    )


def _comparisons(plan: StudyPlan, readings: Readings, measured: Areas) -> Table:
    kinds = [arm.cases for arm in plan.arms]
    pairs = [(0, arm) for arm in range(1, len(kinds))]
    if "similar" in kinds and "wrong" in kinds:
        pairs.append((kinds.index("similar"), kinds.index("wrong")))
    rows: list[list[Cell]] = []
    for first, second in dict.fromkeys(pairs):
        for scope in SCOPES:
            found = compare(measured, first, second, scope)
            effect = Estimate(found.effect, found.low, found.high, len(readings.films))
            df = None if np.isinf(found.df) else found.df
            names = f"{readings.arms[second]} - {readings.arms[first]}"
            rows.append([names, scope, effect, found.p, df])
    return Table(
        "readers-differences",
        "Differences of the mean AUC",
        ("arms", "for new", "difference", "p", "degrees of freedom"),
        rows,
        "The first row of each pair is the study's answer. The others take these readers, or these "
        "films, as they are, and say nothing about others.",
    )


def _influence(plan: StudyPlan, readings: Readings, seed: int) -> Table:
    rows: list[list[Cell]] = []
    for arm, about in enumerate(plan.arms[1:], start=1):
        found = influence(readings, 0, arm, RESAMPLES, seed)
        rows.append([about.name, about.cases, found.misled, found.helped, found.towards_truth])
    return Table(
        "readers-influence",
        f"What cases change, compared with {readings.arms[0]}",
        ("arm", "cases", "misled", "helped", "confidence towards the truth"),
        rows,
        "Misled: of the right answers, the share that is wrong with the cases; helped: of the "
        "wrong ones, the share that is right. Both are above 0 even where cases do nothing, as "
        "readers do not repeat themselves: compare the arms with each other. Intervals over films; "
        "the readers are taken as they are.",
    )


def _each_arm(readings: Readings, seed: int) -> Table:
    rows: list[list[Cell]] = []
    for arm, name in enumerate(readings.arms):
        rows.append(
            [
                name,
                agreement(readings.present[arm], RESAMPLES, seed),
                brier(readings, arm, RESAMPLES, seed),
                float(np.median(readings.seconds[arm])),
            ]
        )
    share = float(readings.truth.mean())
    return Table(
        "readers-arms",
        "Agreement, calibration and time",
        ("arm", "kappa", "Brier score", "seconds a film"),
        rows,
        "Kappa: mean over pairs of readers, 0 by chance. Brier score: mean squared error of the "
        f"confidence, {share * (1 - share):.3f} for who always says {share:.0%}. Seconds: median "
        "over films and readers of the time on the screen.",
    )


def _settings(plan: StudyPlan, seed: int) -> dict[str, Any]:
    return {
        "study": plan.study_id,
        "plan": plan.digest,
        "generation": plan.generation,
        "checkpoint": plan.checkpoint,
        "seed": seed,
        "resamples": RESAMPLES,
        "protocol": plan.protocol,
    }
