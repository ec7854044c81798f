"""Cascading randomisation of the weights: a sanity check of Grad-CAM.

Cascading randomisation (Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018): weights are
scrambled from the output to the input, stage after stage, and each time the map is held against the
one of the intact network. A map that stays explains the image, not the network.

Values are *permuted*, not drawn anew: within each tensor of convolutions and of the classifier, and
by one common permutation of channels within the four vectors of each batch norm, as its mean and
variance belong together. So all activations keep a plausible scale, and what is lost is what was
learnt, not the ability to respond at all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from xemplar.model.densenet import Weights
from xemplar.model.encoder import Encoder, open_encoder
from xemplar.model.explain import grad_cam

from ..encoding import encoded_batches
from .samples import ExplanationSample

Maps: TypeAlias = npt.NDArray[np.float32]
Explainer: TypeAlias = Callable[[Encoder, npt.NDArray[np.uint8]], Maps]
"""(encoder, inputs uint8 (N, s, s)) -> maps float32 (N, F, g, g)."""

STAGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("classifier", ("classifier",)),
    ("dense block 4", ("features.norm5", "features.denseblock4")),
    ("dense block 3", ("features.transition3", "features.denseblock3")),
    ("dense block 2", ("features.transition2", "features.denseblock2")),
    ("dense block 1", ("features.transition1", "features.denseblock1")),
    ("first layer", ("features.conv0", "features.norm0")),
)
"""From the output to the input: name, and the modules that are scrambled beside those before."""

DRAWS = 2
"""Scrambled networks for each stage. All images share one, so its luck does not average out."""

LIMIT = 0.5
"""Mean rank correlation that may remain when everything is scrambled; beyond it the gate closes.

Is that fair? A scrambled network still answers to edges, and its zero padding still marks the
margins, so some likeness is no fault of the explanation; and all images share the scrambled
networks, so even the mean over many images is not exact. An explanation that ignores the network
gives 1.0; at 0.5, a quarter of the variance of the ranks survives. The gate looks for the former,
not for small remainders, which the table shows with their interval.

Two correlations must pass. Grad-CAM as it is shown alone would be an easy test: weights lean to the
negative, most scrambled maps are 0 everywhere, and a map that is gone counts as 0 whatever it would
have shown. So the map is judged *before* it is rectified, too, where nothing is blank.
"""

FEWEST = 5
"""Fewest images on which the check may fail: the mean of fewer passes the limit by luck."""


@dataclass(frozen=True, eq=False)
class CascadingRandomisation:
    """Maps of n samples after each of S stages of randomisation.

    Attributes:
        samples: the n samples.
        correlation: float64 (S, n), Spearman's correlation of Grad-CAM with the intact network's,
            mean over `DRAWS`; a constant map counts as 0. NaN where the intact map is constant: it
            has no ranks that could be lost.
        signed: float64 (S, n), likewise, of Grad-CAM before it is rectified.
        gone: int64 (S,), constant Grad-CAMs, of those whose intact map is not, over all draws.
        between: float64 (n,), mean correlation of each intact map, before it is rectified, with
            those of the same finding on other patients' images; NaN where there are none.
        maps: float32 (S + 1, n, g, g), Grad-CAM, intact and after each stage of the first draw.
    """

    samples: tuple[ExplanationSample, ...]
    correlation: npt.NDArray[np.float64]
    signed: npt.NDArray[np.float64]
    gone: npt.NDArray[np.int64]
    between: npt.NDArray[np.float64]
    maps: Maps


def explain(encoder: Encoder, inputs: npt.NDArray[np.uint8]) -> Maps:
    """Grad-CAM of every finding before it is rectified, float32 (N, F, g, g).

    The difference of Grad-CAM for a finding and against it: x = relu(x) - relu(-x).
    """
    weights = encoder.checkpoint.weights["classifier.weight"]
    batches = encoded_batches(encoder, inputs)
    return np.concatenate([grad_cam(f.maps, weights) - grad_cam(f.maps, -weights) for f in batches])


def scrambled(weights: Weights, modules: Sequence[str], random: np.random.Generator) -> Weights:
    """The weights with those of the modules permuted, and all others as they are.

    Args:
        weights: by torchvision's names.
        modules: such as "features.denseblock4"; whatever lies below is permuted too.
        random: where the permutations come from.
    """
    answer = dict(weights)
    channels: dict[str, npt.NDArray[np.int64]] = {}
    for name in sorted(weights):
        if not name.startswith(tuple(f"{module}." for module in modules)):
            continue
        value, owner = weights[name], name.rpartition(".")[0]
        if f"{owner}.running_mean" in weights:
            order = channels.setdefault(owner, random.permutation(len(value)))
            answer[name] = value[order]
        else:
            answer[name] = random.permutation(value.ravel()).reshape(value.shape)
    return answer


def rank_correlation(one: Maps, other: Maps) -> float:
    """Spearman's correlation of two maps over their cells; NaN where one of them is constant."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(spearmanr(one.ravel(), other.ravel()).statistic)


def cascading_randomisation(
    encoder: Encoder,
    inputs: npt.NDArray[np.uint8],
    samples: Sequence[ExplanationSample],
    patients: Sequence[str | None],
    seed: int,
    on_progress: Callable[[float], None],
    explainer: Explainer = explain,
) -> CascadingRandomisation:
    """Randomises the network stage by stage, and compares the maps.

    Args:
        encoder: of the intact network.
        inputs: uint8 (N, s, s), all images; samples name their rows.
        samples: images and findings.
        patients: whose image each of the N is.
        seed: of the permutations.
        on_progress: called with the share that is done, in [0, 1].
        explainer: what is judged; it gives maps that are not rectified yet.
    """
    if not samples:
        none = np.empty((len(STAGES), 0))
        maps = np.empty((len(STAGES) + 1, 0, 1, 1), np.float32)
        return CascadingRandomisation(
            (), none, none, np.zeros(len(STAGES), np.int64), np.empty(0), maps
        )
    images = inputs[[sample.row for sample in samples]]
    rows, findings = np.arange(len(samples)), [sample.finding for sample in samples]
    every = explainer(encoder, images)
    real = every[rows, findings]
    first, found = [real], np.empty((2, DRAWS, len(STAGES), len(samples)))
    for draw in range(DRAWS):
        random, checkpoint = np.random.default_rng([seed, draw]), encoder.checkpoint
        for stage, (_, modules) in enumerate(STAGES):
            # it was never a file, so it has no digest
            weights = scrambled(checkpoint.weights, modules, random)
            checkpoint = replace(checkpoint, weights=weights, digest="")
            maps = explainer(open_encoder(checkpoint), images)[rows, findings]
            found[0, draw, stage] = _correlations(np.maximum(real, 0), np.maximum(maps, 0))
            found[1, draw, stage] = _correlations(real, maps)
            first += [maps] if draw == 0 else []
            on_progress((draw * len(STAGES) + stage + 1) / (DRAWS * len(STAGES)))
    shown = np.ptp(np.maximum(real, 0), axis=(1, 2)) > 0
    mean = np.nan_to_num(found).mean(axis=1)
    return CascadingRandomisation(
        samples=tuple(samples),
        correlation=np.where(shown, mean[0], np.nan),
        signed=mean[1],
        gone=np.isnan(found[0][..., shown]).sum(axis=(0, 2)),
        between=between(every, findings, [patients[sample.row] for sample in samples]),
        maps=np.maximum(first, 0),
    )


def failures(found: CascadingRandomisation) -> tuple[str, ...]:
    """States why the explanation must not be released; empty where nothing speaks against it."""
    judged = {"": found.correlation[-1], " before they are rectified": found.signed[-1]}
    defined = {how: values[np.isfinite(values)] for how, values in judged.items()}
    return tuple(
        f"Grad-CAM hardly depends on the network: with all weights scrambled, the maps of "
        f"{len(values)} images{how} still have a mean rank correlation of {values.mean():.2f} with "
        f"the real ones; at most {LIMIT} is allowed."
        for how, values in defined.items()
        if len(values) >= FEWEST and values.mean() > LIMIT
    )


def _correlations(real: Maps, maps: Maps) -> list[float]:
    return [rank_correlation(one, other) for one, other in zip(real, maps, strict=True)]


def between(
    maps: Maps, findings: Sequence[int], patients: Sequence[str | None]
) -> npt.NDArray[np.float64]:
    """Mean correlation of each map with those of the same finding on other patients' images.

    Args:
        maps: float32 (n, F, g, g).
        findings: index of the finding of each of the n images.
        patients: whose image each is.

    Returns:
        float64 (n,); a constant map counts as 0; NaN where there is no other patient.
    """
    answer = np.full(len(maps), np.nan)
    for n, (finding, patient) in enumerate(zip(findings, patients, strict=True)):
        others = [
            m for m in range(len(maps)) if m != n and (patient is None or patients[m] != patient)
        ]
        if others:
            found = [rank_correlation(maps[n, finding], maps[m, finding]) for m in others]
            answer[n] = np.nan_to_num(found).mean()
    return answer
