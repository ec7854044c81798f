"""Pictures of the probability study."""

import numpy as np

from ..drawing import CHANCE, OURS, figure, png
from ..section import Estimate, Picture, Table


def reliability_curve(curve: Table) -> Picture:
    """Draws said against so (DeGroot & Fienberg, The Statistician 1983)."""
    sheet = figure(5, 4.6)
    axes = sheet.subplots()
    ends = [0.0]
    rows = [(x, y) for x, y, _ in curve.rows if isinstance(x, float) and isinstance(y, Estimate)]
    for said, so in rows:
        axes.plot(said, so.value, "o", color=OURS)
        if so.low is not None and so.high is not None:
            axes.plot([said, said], [so.low, so.high], color=OURS, lw=1.2)
            ends.append(so.high)
        ends += [said, so.value]
    end = float(np.ceil(max(ends) * 20) / 20)
    axes.plot([0, end], [0, end], ":", color=CHANCE, label="as said")
    axes.set(xlabel="probability as said", ylabel="share in fact", aspect="equal")
    axes.legend(fontsize=8)
    return Picture(
        "probability-reliability",
        "Reliability: probability as said, and share of labels present in fact",
        png(sheet),
        "Labels of all findings, in bins of equally many; bars are 95 % intervals over patients.",
    )
