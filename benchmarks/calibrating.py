"""Ways of calibrating a checkpoint, compared by cross-validation over patients of `val`.

    python -m benchmarks.calibrating CHECKPOINT DATA...

Prints Brier score and log loss of labels in the folds left out, beside the raw sigmoid's and those
of a constant, then what the threshold calls there, beside what the checkpoint as it is calls. Of
the data sets' other images only the labels of `train` are looked at. Five folds, `REPEATS` times.
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
from xemplar.model.checkpoint import Checkpoint, load

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


def calls(checkpoint: Checkpoint, images: ValidationImages) -> None:
    """Prints what is called: by the checkpoint as it is, and by thresholds of the other folds."""
    outputs = images.outputs
    own = checkpoint.probabilities(outputs.logits)
    first = np.array([checkpoint.order(one)[0] for one in own])
    as_it_is = counted(outputs, own >= checkpoint.thresholds, first)
    rows, chosen = [], []
    for repeat in range(REPEATS):
        called, first = np.zeros(own.shape, bool), np.zeros(len(own), np.int64)
        for out, left, counts in folds(images, repeat):
            card = replace(checkpoint.card, calibration=calibrate(left, counts)[0])
            fitted = replace(checkpoint, card=card)
            said = fitted.probabilities(outputs.logits[out])
            called[out] = said >= fitted.thresholds
            first[out] = [fitted.order(one)[0] for one in said]
            chosen.append(fitted.thresholds.min())
        rows.append(counted(outputs, called, first))
    thresholds, times = np.unique(chosen, return_counts=True)
    print("\nthresholds:", *(f"{t:.2f} {n} x" for t, n in zip(thresholds, times, strict=True)))
    print(f"{'':40} left out  checkpoint as it is")
    for name, now in as_it_is.items():
        print(f"{name:40} {np.mean([row[name] for row in rows]):8.3f}  {now:.3f}")


def counted(outputs: Outputs, called: Rows, first: npt.NDArray[np.int64]) -> dict[str, float]:
    """Counts calls (N, F) and what is explained by default (N,) against the labels."""
    present = (outputs.target > 0) & (outputs.known > 0)
    ill, each = present.any(axis=1), np.arange(len(present))
    return {
        "labelled an image": float(present.sum(axis=1).mean()),
        "called an image": float(called.sum(axis=1).mean()),
        "share of calls true": float(present[called].mean()) if called.any() else np.nan,
        "share found": float(called[present].mean()),
        "healthy images with a call": float(called[~ill].any(axis=1).mean()),
        "explained is labelled, ill images": float(present[each, first][ill].mean()),
        "the same at random": float(present[ill].mean(axis=0)[first[ill]].mean()),
        "explained is called, ill images": float(called[each, first][ill].mean()),
        "explained is called, healthy images": float(called[each, first][~ill].mean()),
        "most frequent explained finding": float(np.bincount(first).max() / len(first)),
    }


def main() -> None:
    """Reads the arguments, runs the network, and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path, nargs="+")
    given = parser.parse_args()
    datasets = [open_dataset(folder) for folder in given.data]
    checkpoint = load(given.checkpoint)
    images = validation_images(checkpoint, datasets)
    compare(images)
    calls(checkpoint, images)


if __name__ == "__main__":
    main()
