"""The picture of a reader study."""

import numpy as np

from ..drawing import CHANCE, OURS, figure, png
from ..section import Picture
from .areas import Areas
from .readings import Readings
from .significance import arm_interval


def by_arm(readings: Readings, measured: Areas) -> Picture:
    """Draw each reader's AUC as a line over the arms, and the mean with its interval."""
    sheet = figure(1.6 + 1.6 * len(readings.arms), 3.4)
    axes = sheet.subplots()
    places = np.arange(len(readings.arms))
    for reader in range(len(readings.readers)):
        axes.plot(places, measured.auc[:, reader], color=CHANCE, linewidth=0.8, marker="o", ms=3)
    means, lows, highs = np.array([arm_interval(measured, int(arm)) for arm in places]).T
    axes.errorbar(
        places + 0.08,
        means,
        yerr=[means - lows, highs - means],
        color=OURS,
        fmt="D",
        capsize=4,
        linewidth=1.6,
    )
    axes.axhline(0.5, color=CHANCE, linestyle=":", linewidth=1)
    axes.set_xticks(places, readings.arms)
    axes.set_xlim(-0.4, len(places) - 0.6)
    axes.set_ylabel("AUC")
    return Picture(
        "readers-auc",
        "AUC by arm: each reader's, and their mean with its interval",
        png(sheet),
        "Grey: one line a reader. Blue diamonds: mean, with the 95 % interval for new readers and "
        "films. Dotted: chance.",
    )
