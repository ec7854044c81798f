"""Faithfulness study, from evaluation data to a section of the report."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice, pairwise
from typing import Any

from xemplar.errors import ConfigurationError

from ..data import EvaluationData
from ..section import Picture, Section
from .samples import ExplanationSample, drawn_samples

SHARES = (0, 50, 60, 100)
"""Percentages at which Quantus, randomisation and masking begin, and all ends."""


def faithfulness(data: EvaluationData, on_progress: Callable[[int], None] | None = None) -> Section:
    """Measures whether Grad-CAM and similarity evidence are faithful to the network.

    Args:
        data: images, cases, encoder and settings.
        on_progress: called with the percentage that is done, ascending from 0 to 100.

    Returns:
        Tables, pictures and text; ``failures`` has a sentence where Grad-CAM outlives the network.

    Raises:
        ConfigurationError: a library of this study is not installed.
        InvalidArgument: flipping_steps does not divide the pixels of the input.
    """
    try:  # imported here, as Quantus and torch take seconds, and are in no base install
        from . import narrative, pictures, tables
        from .cascading_randomisation import cascading_randomisation, failures
        from .masking import masking
        from .quantus_metrics import measure
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the faithfulness study needs {error.name}; install it with "
            "`pip install 'xemplar[evaluate]'`"
        ) from error
    report = on_progress or (lambda _: None)
    report(SHARES[0])
    steps = [_within(report, *ends) for ends in pairwise(SHARES)]
    encoder, queries, settings = data.encoder, data.queries, data.settings

    def samples() -> Iterator[ExplanationSample]:
        card = encoder.checkpoint.card
        return drawn_samples(queries, card.findings, card.spec, settings.seed)

    measured = measure(encoder.checkpoint, queries.inputs, samples(), settings, steps[0])
    randomised = cascading_randomisation(
        encoder,
        queries.inputs,
        tuple(islice(samples(), settings.randomisation_samples)),
        queries.patients,
        settings.seed,
        steps[1],
    )
    masked = masking(data, steps[2])
    shown: list[Picture] = []
    if randomised.samples:
        shown += [
            pictures.stages_picture(randomised, data),
            pictures.strip_picture(randomised, data),
        ]
    if masked.rows:
        shown.append(pictures.masking_picture(masked))
    report(SHARES[-1])
    return Section(
        name="faithfulness",
        title="Faithfulness: do the explanations say what the network does?",
        summary=narrative.summary(measured, randomised, masked, data),
        text=[
            narrative.quantus_text(measured, data),
            narrative.randomisation_text(randomised, data),
            narrative.masking_text(masked, data),
            narrative.LIMITS,
        ],
        tables=[
            tables.quantus_table(measured, data),
            tables.randomisation_table(randomised, data),
            tables.masking_table(masked, data),
            tables.images_table(measured, randomised, masked, data),
        ],
        pictures=shown,
        settings=_settings(data),
        failures=failures(randomised),
    )


def _within(report: Callable[[int], None], begin: int, end: int) -> Callable[[float], None]:
    """Reports the share of a part, in [0, 1], as a percentage of the whole."""
    return lambda share: report(begin + int((end - begin) * share))


def _settings(data: EvaluationData) -> Mapping[str, Any]:
    """Lists the settings that a figure of this study depends on."""
    from importlib.metadata import version

    from . import cascading_randomisation, masking, perturbation, quantus_metrics

    settings = data.settings
    return {
        "quantus": version("quantus"),
        "quantus_samples": settings.quantus_samples,
        "quantus_model_output": "sigmoid of the logit, not calibrated",
        "quantus_input": "grey values in [0, 1]",
        "quantus_normalise": "each map by its own maximum",
        "quantus_abs": "Complexity only",
        "lipschitz_samples": settings.lipschitz_samples,
        "lipschitz_noise": quantus_metrics.NOISE,
        "lipschitz_distance": "Euclidean, of maps and of images",
        "flipping_steps": settings.flipping_steps,
        "flipping_baseline": quantus_metrics.BASELINE,
        "flipping_area": "trapezoids over the points after each step, divided by their width",
        "randomisation_samples": settings.randomisation_samples,
        "randomisation_draws": cascading_randomisation.DRAWS,
        "randomisation_limit": cascading_randomisation.LIMIT,
        "randomisation_fewest_images": cascading_randomisation.FEWEST,
        "masking_pairs": settings.masking_pairs,
        "masking_steps": masking.STEPS,
        "masking_random_orders": masking.RANDOM_ORDERS,
        "masking_blur_in_cells": masking.BLUR,
        "xaitk": version("xaitk-saliency"),
        "perturbations": settings.perturbations,
        "perturbation_masks": f"RISEGrid, as many cells as the network's, p1 = {perturbation.KEPT}",
        "resamples": settings.resamples,
        "seed": settings.seed,
    }
