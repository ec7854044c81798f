"""Perturbation baseline of similarity evidence: XAITK, which treats the network as a black box.

Its similarity scoring (after Dong et al., Explainability for Content-Based Image Retrieval, CVPR
Workshops 2019) hides parts of an image, one forward pass for each mask, and colours what makes the
image less similar when it is hidden. The masks are RISE's (Petsiuk et al., BMVC 2018).
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from xemplar.errors import ConfigurationError

Inputs: TypeAlias = npt.NDArray[np.uint8]
Vectors: TypeAlias = npt.NDArray[np.float32]
Embed: TypeAlias = Callable[[Inputs], Vectors]
"""Inputs (N, s, s) -> unit vectors (N, C)."""

Heat: TypeAlias = npt.NDArray[np.floating]
Perturbation: TypeAlias = Callable[[Embed, Inputs, Inputs, Vectors], Heat]
"""(embed, image (s, s), the same blurred, the neighbour's vector (C,)) -> heatmap (s, s)."""

KEPT = 0.5
"""Chance of a mask's cell to leave the image as it is (RISE's p1)."""


def xaitk(size: int, cells: int, masks: int, seed: int) -> Perturbation:
    """XAITK's similarity scoring by cosine, with RISE's masks over the network's cells.

    What XAITK calls the *reference* image is the image that is masked and that the map is of: our
    query. The masks are the same for all images, and made once.

    Args:
        size: side of the image in pixels.
        cells: of a mask, along a side.
        masks: how many; one forward pass each.
        seed: of the masks.

    Raises:
        ConfigurationError: XAITK is not installed.
    """
    try:
        from xaitk_saliency.impls.gen_descriptor_sim_sal.similarity_scoring import SimilarityScoring
        from xaitk_saliency.impls.perturb_image.rise import RISEGrid
        from xaitk_saliency.utils.masking import occlude_image_batch
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"comparing with XAITK needs {error.name}; install it with "
            "`pip install 'xemplar[evaluate]'`"
        ) from error
    # no threads: with them, which mask gets which of the seeded shifts is left to chance
    drawn = RISEGrid(masks, cells, KEPT, seed, threads=0).perturb(np.zeros((size, size), np.uint8))
    scoring = SimilarityScoring("cosine")

    def generate(embed: Embed, image: Inputs, without: Inputs, neighbour: Vectors) -> Heat:
        hidden = embed(occlude_image_batch(image, drawn, fill=without))
        heat: Heat = scoring.generate(embed(image[None])[0], neighbour[None], hidden, drawn)[0]
        return heat

    return generate
