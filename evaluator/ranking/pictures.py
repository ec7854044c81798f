"""Plots of the ranking study: nearest cases, experts' lists, reliability, bars."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from xemplar.data.findings import positives

from ..data import EvaluationData, nearest
from ..drawing import CHANCE, OURS, figure, image, png, show
from ..section import Estimate, Picture, Table
from .experts import RatedList

QUERIES, SHOWN = 6, 3


def first_three(data: EvaluationData) -> Picture:
    """Some queries, drawn at random, with their three most similar cases."""
    queries, candidates = data.queries, data.candidates
    count = min(QUERIES, len(queries))
    drawn = np.random.default_rng(data.settings.seed).choice(len(queries), count, replace=False)
    sheet = figure(8, 2.3 * count)
    grid = sheet.subplots(count, SHOWN + 1, squeeze=False)
    spec = data.encoder.checkpoint.card.spec
    for axes, row in zip(grid, sorted(int(n) for n in drawn), strict=True):
        picture = image(queries.inputs[row], spec, queries.shapes[row])
        show(axes[0], picture, "query\n" + _named(positives(queries.records[row].labels)))
        found, cosines = nearest(queries, candidates, row, SHOWN)
        for rank, (one, index) in enumerate(zip(axes[1:], found, strict=False)):
            case = candidates.cases[index]
            picture = image(candidates.inputs[index], spec, (case.height, case.width))
            show(
                one, picture, f"{rank + 1}: similarity {cosines[rank]:.3f}\n{_named(case.findings)}"
            )
        for one in axes[1 + len(found) :]:
            one.set_axis_off()
    return Picture(
        "first-three",
        "Six queries and the three most similar cases of each",
        png(sheet),
        "Queries drawn at random, not chosen. Findings are those of the data set's labels.",
    )


def expert_list(one: RatedList, rows: Table, data: EvaluationData) -> Picture:
    """One query as in the poster's Table 1: its rated cases, similarity, and both ranks."""
    shown = [row for row in rows.rows if row[0] == one.query][:10]
    sheet = figure(1.7 * (len(shown) + 1), 2.6)
    grid = sheet.subplots(1, len(shown) + 1, squeeze=False)[0]
    show(grid[0], _image_of(one.query, data), "query")
    for axes, (_, case, similarity, rank, rating, by_experts) in zip(grid[1:], shown, strict=True):
        title = (
            f"similarity {similarity:.3f}\nrank {rank}\nrated {rating:.2g}\nby experts {by_experts}"
        )
        show(axes, _image_of(str(case), data), title)
    title = f"Query {one.query}: its rated cases, the most similar first"
    return Picture(f"experts-{one.query}", title, png(sheet))


def reliability_curve(curve: Table) -> Picture:
    """Said against so."""
    cosine, said, so, count = np.array(curve.rows, float).T
    sheet = figure(5.5, 4)
    axes = sheet.subplots()
    axes.plot(cosine, said, color=OURS, label="as said (fitted on other images)")
    axes.scatter(cosine, so, color="black", label="in fact")
    axes.axhline(np.average(so, weights=count), color=CHANCE, ls=":", label="all of them together")
    axes.set(xlabel="cosine similarity", ylabel="chance of a finding in common", ylim=(0, None))
    axes.legend(fontsize=8)
    return Picture(
        "reliability",
        "Chance of a finding in common, by cosine similarity",
        png(sheet),
        "Images with their most similar cases; each dot is a tenth of these pairs.",
    )


def bars(table: Table, metric: str) -> Picture:
    """One figure of all rankers, with intervals."""
    column, whole = list(table.columns).index(metric), table.rows[0][0]
    estimates = [(str(row[1]), row[column]) for row in table.rows if row[0] == whole]
    known = [(name, e) for name, e in estimates if isinstance(e, Estimate)]
    sheet = figure(6, 0.5 * len(known) + 1)
    axes = sheet.subplots()
    for row, (name, e) in enumerate(reversed(known)):
        axes.barh(row, e.value, color=OURS if name == known[0][0] else CHANCE)
        if e.low is not None and e.high is not None:
            axes.plot([e.low, e.high], [row, row], color="black", lw=1.5)
    axes.set_yticks(range(len(known)), [name for name, _ in reversed(known)])
    axes.set_xlabel(metric)
    return Picture(
        f"{table.name}-bars",
        f"{metric}, {table.title[0].lower()}{table.title[1:]}",
        png(sheet),
        "Lines are 95 % intervals over patients.",
    )


def _image_of(case_id: str, data: EvaluationData) -> npt.NDArray[np.uint8]:
    """The image of a case id, which `rated_lists` found among these three."""
    spec = data.encoder.checkpoint.card.spec
    for images in (data.queries, data.tuning):
        if case_id in images.case_ids:
            row = images.case_ids.index(case_id)
            return image(images.inputs[row], spec, images.shapes[row])
    cases = data.candidates.cases
    row = next(n for n, case in enumerate(cases) if case.case_id == case_id)
    return image(data.candidates.inputs[row], spec, (cases[row].height, cases[row].width))


def _named(findings: Sequence[str]) -> str:
    """At most two findings, so that a title stays short."""
    names = [name.replace("_", " ") for name in findings]
    return ", ".join(names[:2]) + (" ..." if len(names) > 2 else "") or "labels unknown"
