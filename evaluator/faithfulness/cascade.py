"""Is the map gone when the network's weights are? A sanity check of the explanation.

Cascading randomisation (Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018): weights are
scrambled from the output to the input, stage after stage, and each time the map is held against the
one of the intact network. A map that stays explains the film, not the network.

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

from evaluator.faithfulness.units import Unit
from xemplar.checkpoint import Checkpoint
from xemplar.encoder import Encoder, open_encoder
from xemplar.explain import grad_cam
from xemplar.network import Weights

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
"""Scrambled networks for each stage. All films share one, so its luck does not average out."""

LIMIT = 0.5
"""Mean rank correlation that may remain when everything is scrambled; beyond it the gate closes.

Is that fair? A scrambled network still answers to edges, and its zero padding still marks the
margins, so some likeness is no fault of the explanation; and all films share two scrambled
networks, so even the mean over many films is not exact. A correlation is squared to become a share:
at 0.5, a quarter of the variance of the ranks survives. An explanation that ignores the network
gives 1.0. The gate looks for that, not for small remainders, which the table shows with their
interval beside what maps of different films have in common anyhow.
"""

FEWEST = 5
"""Films from which on the gate may close: the mean of fewer passes the limit by luck."""

BATCH = 16


@dataclass(frozen=True, eq=False)
class Cascade:
    """Maps of n units while the network forgets; n counts units whose intact map is not constant.

    Attributes:
        units: the n units.
        constant: how many others were left out: a constant map has no ranks that could be lost.
        correlation: float64 (S, n), Spearman's correlation with the intact map after each stage,
            mean over `DRAWS`; a constant map counts as 0.
        gone: int64 (S,), how many of the n * `DRAWS` maps were constant.
        between: float64 (n,), of each intact map with the intact maps of the same finding on other
            patients' films, mean; NaN where there are none.
        maps: float32 (S + 1, n, g, g), intact and after each stage of the first draw.
    """

    units: tuple[Unit, ...]
    constant: int
    correlation: npt.NDArray[np.float64]
    gone: npt.NDArray[np.int64]
    between: npt.NDArray[np.float64]
    maps: Maps


def explain(encoder: Encoder, inputs: npt.NDArray[np.uint8]) -> Maps:
    """Grad-CAM of every finding, float32 (N, F, g, g)."""
    classifier = encoder.checkpoint.weights["classifier.weight"]
    return np.concatenate(
        [
            grad_cam(encoder.encode(inputs[start : start + BATCH]), classifier)
            for start in range(0, len(inputs), BATCH)
        ]
    )


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
    """Spearman's correlation of two maps over their places; NaN where one of them is constant."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(spearmanr(one.ravel(), other.ravel()).statistic)


def cascade(
    encoder: Encoder,
    inputs: npt.NDArray[np.uint8],
    units: Sequence[Unit],
    patients: Sequence[str | None],
    seed: int,
    on_progress: Callable[[float], None],
    explainer: Explainer = explain,
) -> Cascade:
    """Scramble the network stage by stage, and compare the maps.

    Args:
        encoder: of the intact network.
        inputs: uint8 (N, s, s), all films; units name their rows.
        units: films and findings.
        patients: whose film each of the N is.
        seed: of the permutations.
        on_progress: called with the share that is done, in [0, 1].
        explainer: what is judged.
    """
    everything = inputs[[unit.row for unit in units]]
    intact = explainer(encoder, everything) if units else np.empty((0, 0, 0, 0), np.float32)
    kept = [n for n, unit in enumerate(units) if np.ptp(intact[n, unit.finding]) > 0]
    shown, findings = tuple(units[n] for n in kept), [units[n].finding for n in kept]
    films, places = everything[kept], np.arange(len(shown))
    first = [intact[kept, findings]]
    correlation = np.full((DRAWS, len(STAGES), len(shown)), np.nan)
    for draw in range(DRAWS if shown else 0):
        random = np.random.default_rng([seed, draw])
        checkpoint = encoder.checkpoint
        for stage, (_, modules) in enumerate(STAGES):
            checkpoint = _forgetful(checkpoint, modules, random)
            maps = explainer(open_encoder(checkpoint), films)[places, findings]
            pairs = zip(first[0], maps, strict=True)
            correlation[draw, stage] = [rank_correlation(one, other) for one, other in pairs]
            if draw == 0:
                first.append(maps)
            on_progress((draw * len(STAGES) + stage + 1) / (DRAWS * len(STAGES)))
    return Cascade(
        units=shown,
        constant=len(units) - len(shown),
        correlation=np.nan_to_num(correlation).mean(axis=0),
        gone=np.isnan(correlation).sum(axis=(0, 2)),
        between=_between(intact[kept], findings, [patients[unit.row] for unit in shown]),
        maps=np.stack(first),
    )


def failures(found: Cascade) -> tuple[str, ...]:
    """Why the explanation must not be released, in words; empty where nothing speaks against it."""
    remaining = found.correlation[-1]
    if len(remaining) < FEWEST or remaining.mean() <= LIMIT:
        return ()
    return (
        f"Grad-CAM hardly depends on the network: with all weights scrambled, the maps of "
        f"{len(remaining)} films still have a mean rank correlation of {remaining.mean():.2f} with "
        f"the real ones; at most {LIMIT} is allowed.",
    )


def _forgetful(
    checkpoint: Checkpoint, modules: Sequence[str], random: np.random.Generator
) -> Checkpoint:
    """The checkpoint with scrambled modules; it was never a file, so it has no digest."""
    weights = scrambled(checkpoint.weights, modules, random)
    return replace(checkpoint, weights=weights, digest="")


def _between(
    maps: Maps, findings: Sequence[int], patients: Sequence[str | None]
) -> npt.NDArray[np.float64]:
    """`Cascade.between` of maps float32 (n, F, g, g)."""
    answer = np.full(len(maps), np.nan)
    for n, (finding, patient) in enumerate(zip(findings, patients, strict=True)):
        others = [
            m for m in range(len(maps)) if m != n and (patient is None or patients[m] != patient)
        ]
        if others:
            found = [rank_correlation(maps[n, finding], maps[m, finding]) for m in others]
            answer[n] = np.nan_to_num(found).mean()
    return answer
