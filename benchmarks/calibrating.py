"""Ways of calibrating a checkpoint, compared by cross-validation over patients of `val`.

    python -m benchmarks.calibrating CHECKPOINT DATA...

Prints Brier score and log loss of labels in the folds left out, beside the raw sigmoid's and those
of a constant, then what a threshold calls there; nothing else of the data sets is looked at but the
labels of `train`. Five folds, drawn `REPEATS` times.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from xemplar_trainer import calibration
from xemplar_trainer.calibration import LabelCounts, calibrate
from xemplar_trainer.metrics import Outputs
from xemplar_trainer.recalibration import ValidationImages, validation_images

from xemplar.data.datasets import open_dataset
from xemplar.model.calibration import Calibration
from xemplar.model.checkpoint import load

FOLDS, REPEATS, RESAMPLES = 5, 10, 2000

Rows = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]
Way = Callable[[Outputs, LabelCounts], Callable[[Numbers], Numbers]]
"""Fits on outputs; the answer maps logits (N, F) to probabilities."""


def raw(_outputs: Outputs, _counts: LabelCounts) -> Callable[[Numbers], Numbers]:
    """Leaves the sigmoid as it was trained."""
    return expit


def constant(_outputs: Outputs, counts: LabelCounts) -> Callable[[Numbers], Numbers]:
    """Says the base rate of every image."""
    return lambda logits: np.tile(counts.positives / counts.known, (len(logits), 1))


def platt(outputs: Outputs, _counts: LabelCounts) -> Callable[[Numbers], Numbers]:
    """Fits a slope and an offset for each finding (Platt 1999): 28 numbers for 14 findings."""
    found = []
    for column in range(outputs.logits.shape[1]):
        truth, logits = outputs.of(column)
        positives, negatives = int(truth.sum()), int((~truth).sum())
        scale, offset = 1.0, 0.0
        if min(positives, negatives) >= calibration.FEWEST:
            soft = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))
            both = np.concatenate([logits, logits])[:, None].astype(np.float64)
            weights = np.concatenate([soft, 1 - soft])
            classes = np.repeat([1, 0], len(logits))
            fitted = LogisticRegression(C=np.inf).fit(both, classes, weights)
            if fitted.coef_[0, 0] > 0:
                scale, offset = fitted.coef_[0, 0], fitted.intercept_[0]
        found.append((scale, offset))
    scales, offsets = np.array(found).T
    return lambda logits: expit(logits * scales + offsets)


def shrunk(penalty: float) -> Way:
    """Fits one slope, one offset, and deviations of it by finding that are held near 0."""

    def fit(outputs: Outputs, _counts: LabelCounts) -> Callable[[Numbers], Numbers]:
        logits, known = outputs.logits.astype(np.float64), outputs.known
        present, findings = outputs.target * known, logits.shape[1]

        def loss(at: Numbers) -> tuple[float, Numbers]:
            odds = at[0] * logits + at[1] + at[2:]
            residual = (expit(odds) - present) * known
            value = ((np.logaddexp(0, odds) - present * odds) * known).sum()
            slope = [(residual * logits).sum(), residual.sum()]
            return (
                float(value + penalty * (at[2:] @ at[2:]) / 2),
                np.concatenate([slope, residual.sum(axis=0) + penalty * at[2:]]),
            )

        start = np.concatenate([[1.0], np.zeros(findings + 1)])
        at = minimize(loss, start, jac=True, method="L-BFGS-B").x
        return lambda logits: expit(at[0] * logits + at[1] + at[2:])

    return fit


def ours(outputs: Outputs, counts: LabelCounts) -> Callable[[Numbers], Numbers]:
    """Fits one slope; the offsets make mean probabilities base rates (`trainer.calibration`)."""
    return applied(calibrate(outputs, counts)[0])


def ours_on_validation_alone(outputs: Outputs, counts: LabelCounts) -> Callable[[Numbers], Numbers]:
    """Does the same with base rates of the validation images, half an image of each kind added."""
    positives, known = (outputs.target * outputs.known).sum(axis=0), outputs.known.sum(axis=0)
    # doubled to stay whole; only their quotient counts
    alone = replace(
        counts,
        positives=(2 * positives + 1).astype(np.int64),
        known=(2 * known + 2).astype(np.int64),
    )
    return applied(calibrate(outputs, alone)[0])


def applied(fitted: tuple[Calibration, ...]) -> Callable[[Numbers], Numbers]:
    """Maps logits to the probabilities of a calibration."""
    scales, offsets = np.array([(one.scale, one.offset) for one in fitted]).T
    return lambda logits: expit(logits * scales + offsets)


WAYS: dict[str, Way] = {
    "raw sigmoid": raw,
    "base rate alone": constant,
    "Platt for each finding": platt,
    "one slope, offsets shrunk (8)": shrunk(8),
    "one slope, offsets shrunk (32)": shrunk(32),
    "one slope, base rates of val": ours_on_validation_alone,
    "one slope, base rates of train and val": ours,
}


def folds(images: ValidationImages, repeat: int) -> Iterator[tuple[Rows, Outputs, LabelCounts]]:
    """Yields the rows left out, the outputs of the others, and the counts without the former."""
    names = [image.patient or f"image {n}" for n, image in enumerate(images.images)]
    patients, who = np.unique(names, return_inverse=True)
    fold = (np.random.default_rng(repeat).permutation(len(patients)) % FOLDS)[who]
    outputs, counts = images.outputs, images.counts
    for number in range(FOLDS):
        out = fold == number
        left = replace(
            outputs,
            logits=outputs.logits[~out],
            target=outputs.target[~out],
            known=outputs.known[~out],
            sources=[s for s, o in zip(outputs.sources, out, strict=True) if not o],
        )
        known = outputs.known[out] > 0
        present = (outputs.target[out] > 0) & known
        yield (
            out,
            left,
            replace(
                counts,
                positives=counts.positives - present.sum(axis=0),
                known=counts.known - known.sum(axis=0),
            ),
        )


def compare(images: ValidationImages) -> None:
    """Prints the scores of each way."""
    outputs = images.outputs
    known, present = outputs.known > 0, outputs.target > 0
    names = [image.patient or f"image {n}" for n, image in enumerate(images.images)]
    patients, who = np.unique(names, return_inverse=True)
    even = np.full(len(patients), 1 / len(patients))
    times = np.random.default_rng(0).multinomial(len(patients), even, RESAMPLES)[:, who]
    losses: dict[str, list[Numbers]] = {}
    for name, way in WAYS.items():
        found = []
        for repeat in range(REPEATS):
            said = np.empty(outputs.logits.shape)
            for out, left, counts in folds(images, repeat):
                said[out] = way(left, counts)(outputs.logits[out].astype(np.float64))
            likelihood = np.maximum(np.where(present, said, 1 - said), 1e-12)
            found.append(
                np.stack([(said - present) ** 2 * known, -np.log(likelihood) * known]).sum(axis=2)
            )
        mean = np.mean(found, axis=0)  # (2, N), sums over findings
        losses[name] = [mean[0], mean[1]]
    labels = known.sum(axis=1)
    print(f"{len(who)} images of {len(patients)} patients of {images.counts.source}")
    for name, pair in losses.items():
        cells = []
        for loss, base in zip(pair, losses["raw sigmoid"], strict=True):
            differences = 1000 * (times @ (loss - base)) / (times @ labels)
            low, high = np.quantile(differences, (0.025, 0.975))
            cells.append(
                f"{loss.sum() / labels.sum():.4f} (against raw, thousandths: "
                f"{1000 * (loss - base).sum() / labels.sum():+.2f}, {low:+.2f} to {high:+.2f})"
            )
        print(f"{name:40} Brier {cells[0]}  log loss {cells[1]}")


def calls(images: ValidationImages) -> None:
    """Prints what the chosen threshold calls on images that it was not chosen on."""
    outputs = images.outputs
    present = (outputs.target > 0) & (outputs.known > 0)
    healthy = ~present.any(axis=1)
    rows, chosen = [], []
    for repeat in range(REPEATS):
        called, explained = np.zeros(present.shape, bool), np.zeros(len(present), np.int64)
        for out, left, counts in folds(images, repeat):
            fitted = calibrate(left, counts)[0]
            said = applied(fitted)(outputs.logits[out].astype(np.float64))
            limits = [np.inf if one.threshold is None else one.threshold for one in fitted]
            called[out] = said >= limits
            rates = np.array([one.base_rate or np.inf for one in fitted])
            explained[out] = np.where(np.isinf(limits), -1, said / rates).argmax(axis=1)
            chosen += [one.threshold for one in fitted if one.threshold is not None][:1]
        right = present[np.arange(len(present)), explained]
        drawn = called[np.arange(len(present)), explained]
        rows.append(
            [
                called.sum(axis=1).mean(),
                present[called].mean() if called.any() else np.nan,
                called[present].mean(),
                called[healthy].any(axis=1).mean(),
                right[~healthy].mean(),
                present[~healthy].mean(axis=0)[explained[~healthy]].mean(),
                drawn[~healthy].mean(),
                drawn[healthy].mean(),
                np.bincount(explained).max() / len(explained),
            ]
        )
    told = (
        "calls an image",
        "share true",
        "share found",
        "healthy with a call",
        "explained is labelled (ill)",
        "the same at random",
        "explained is called (ill)",
        "explained is called (healthy)",
        "most frequent explained finding",
    )
    thresholds, times = np.unique(chosen, return_counts=True)
    print(f"labelled an image {present.sum(axis=1).mean():.2f}; thresholds chosen:")
    print(", ".join(f"{t:.2f} {n} times" for t, n in zip(thresholds, times, strict=True)))
    for name, value in zip(told, np.mean(rows, axis=0), strict=True):
        print(f"{name:40} {value:.3f}")


def main() -> None:
    """Reads the arguments, runs the network, and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path, nargs="+")
    given = parser.parse_args()
    datasets = [open_dataset(folder) for folder in given.data]
    images = validation_images(load(given.checkpoint), datasets)
    compare(images)
    calls(images)


if __name__ == "__main__":
    main()
