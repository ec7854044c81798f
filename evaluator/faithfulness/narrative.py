"""Narrative of the figures, for a radiologist; every conclusion is computed."""

import numpy as np

from ..data import EvaluationData
from ..section import Estimate
from .cascading_randomisation import FEWEST, LIMIT, CascadingRandomisation, failures
from .masking import EVIDENCE, PERTURBATION, RANDOM, MaskingCurves
from .quantus_metrics import BEFORE, FLIPPING, MASS, QuantusScores
from .tables import mask_shares, mean_over_patients

NOTHING = (
    "No image of these splits has a box or a label of the checkpoint's findings, so Grad-CAM was "
    "not judged."
)

LIMITS = (
    "None of this says that a finding is right, or that a map helps a reader. Noise, blackening, "
    "blur and scrambling make images and networks that do not occur, and a network may answer to "
    "their strangeness. A map can be true to a network that is wrong: then it shows faithfully "
    "what the network looked at by mistake."
)


def verdict(advantage: Estimate | None) -> str:
    """Puts an advantage, greater than 0 if better, into words."""
    if advantage is None:
        return "could not be measured"
    if advantage.low is None or advantage.high is None:
        return "cannot be judged on so few patients"
    if advantage.low > 0:
        return "is better"
    return "is worse" if advantage.high < 0 else "cannot be told apart"


def summary(
    measured: QuantusScores,
    randomised: CascadingRandomisation,
    masked: MaskingCurves,
    data: EvaluationData,
) -> str:
    """Gives the three answers in a sentence each, as far as they were measured."""
    sentences = []
    if randomised.samples:
        gone = "Grad-CAM stays" if failures(randomised) else "Grad-CAM goes"
        sentences.append(f"When the network is made to forget what it learnt, {gone}.")
    if measured.samples:
        rows = [sample.row for sample in measured.samples]
        fall = mean_over_patients(
            measured.random[FLIPPING] - measured.grad_cam[FLIPPING], rows, data
        )
        sentences.append(
            "By how soon the probability falls when the coloured areas are blackened, Grad-CAM "
            f"{verdict(fall)} (against a random map)."
        )
    if masked.rows:
        sentences.append(
            "By how the similarity falls when the areas of its evidence are blurred, this evidence "
            f"{verdict(_advantage(masked, RANDOM, data))} (against a random order)."
        )
    return " ".join(sentences)


def quantus_text(found: QuantusScores, data: EvaluationData) -> str:
    """Explains the four metrics, and compares Grad-CAM with chance."""
    if not found.samples:
        return NOTHING if not found.blank else f"Grad-CAM is blank on all {found.blank} images."
    rows = [sample.row for sample in found.samples]
    cam, random = found.grad_cam, found.random
    falls, inside = (
        verdict(mean_over_patients(advantage, rows, data))
        for advantage in (
            random[FLIPPING] - cam[FLIPPING],
            cam[MASS] - mask_shares(found.samples),
        )
    )
    return (
        "Grad-CAM colours the areas that speak for a finding. Quantus asks four questions of it. "
        "How far does the map move when faint noise is laid over the image? The figure has no "
        "chance to be compared with: a map that does not look at the image never moves. Does the "
        "probability fall sooner when the coloured areas are blackened first than in the order of "
        f"a random map? Grad-CAM {falls}; the probabilities begin at "
        f"{float(cam[BEFORE].mean()):.2f} on average, and where they begin low they have no way "
        "to fall. Is there more colour in the "
        f"radiologists' boxes than their area alone would give? Grad-CAM {inside}. And is the "
        "colour on a few spots or all over the image? Complexity says that, without saying which "
        "is right: a diffuse disease has a diffuse map."
    )


def randomisation_text(found: CascadingRandomisation, data: EvaluationData) -> str:
    """Explains the randomisation of weights, and what was left of the maps."""
    if not found.samples:
        return "There is no map that scrambling the network could change."
    rows = [sample.row for sample in found.samples]
    left = float(found.signed[-1].mean())
    between = mean_over_patients(found.between, rows, data)
    free = "" if between is None else f" Maps of different patients have {between.value:.2f}."
    judged = (
        f"With fewer than {FEWEST} images no limit is set."
        if len(rows) < FEWEST
        else f"That is {'beyond' if failures(found) else 'within'} the limit of {LIMIT}."
    )
    return (
        "A map can look convincing and yet only trace the edges of the image. So the network is "
        "made to forget, from its last layer to its first, and the maps are drawn again. If they "
        "stayed as they were, they would not be about the network. After all of it a rank "
        f"correlation of {left:.2f} with the real maps, before they are rectified, is left "
        f"(1: the same; 0: nothing in common).{free} {judged}"
    )


def masking_text(found: MaskingCurves, data: EvaluationData) -> str:
    """Explains deletion and insertion, and compares evidence with chance and XAITK."""
    if not found.rows:
        return "No query has an indexed case of another patient, so similarity was not judged."
    chance, other = (verdict(_advantage(found, order, data)) for order in (RANDOM, PERTURBATION))
    times = np.mean(found.seconds[PERTURBATION]) / np.mean(found.seconds[EVIDENCE])
    return (
        "Similarity evidence says which areas of an image make up its likeness to a case. If that "
        "is so, the likeness must go when those areas are blurred, and come back with them. By "
        f"insertion minus deletion, evidence {chance} (against a random order) and {other} "
        f"(against XAITK, which takes {times:.0f} times as long for a map)."
    )


def _advantage(found: MaskingCurves, order: str, data: EvaluationData) -> Estimate | None:
    """Insertion minus deletion of similarity evidence, less that of another order."""
    deletion, insertion = found.areas(found.deletion), found.areas(found.insertion)
    own, other = (insertion[one] - deletion[one] for one in (EVIDENCE, order))
    return mean_over_patients(own - other, found.rows, data)
