"""Packs an explained query into bytes and back, as safetensors with the rest as JSON.

Neither the cases found nor anything of a file, a header or a caller is packed.
"""

import json
from dataclasses import asdict

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from xemplar.errors import CorruptArtefact
from xemplar.model.checkpoint import Checkpoint
from xemplar.model.densenet import EmbeddingHead, Features
from xemplar.retrieval.result import ExplainedQuery, Pixels, Prediction

ABOUT = "about"
"""Name of the tensor with the JSON text, uint8 (bytes,)."""


def pack(query: ExplainedQuery, *, with_pixels: bool) -> bytes:
    """Pack a query, 0.3 MB with the shipped checkpoint, and up to 1.1 MB more with its pixels."""
    about = {
        "query_id": query.query_id,
        "image_id": query.image_id,
        "checkpoint": query.checkpoint,
        "predictions": [asdict(one) for one in query.predictions],
        "explained": query.explained,
        "warnings": query.warnings,
        "doubts": query.doubts,
        "size_mm": query.size_mm,
    }
    features = query.features
    arrays = {
        ABOUT: np.frombuffer(json.dumps(about).encode(), np.uint8),
        "embedding": features.embedding,
        "logits": features.logits,
        "maps": features.maps,
        "cams": query.cams,
    }
    if with_pixels and query.pixels is not None:
        arrays |= {"image": query.pixels.image, "inputs": query.pixels.inputs}
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def unpack(content: bytes, checkpoint: Checkpoint) -> ExplainedQuery:
    """Restore a query that `pack` packed.

    Args:
        content: from `pack`.
        checkpoint: the live one, whose embedding head the features get. A query of another one is
            refused where that matters (`Snapshot.check_gave`).

    Raises:
        CorruptArtefact: the content is damaged.
    """
    try:
        arrays = load(content)
        about = json.loads(arrays[ABOUT].tobytes())
        pixels = Pixels(arrays["image"], arrays["inputs"]) if "image" in arrays else None
        head = EmbeddingHead.of(checkpoint.weights)
        return ExplainedQuery(
            pixels=pixels,
            features=Features(arrays["embedding"], arrays["logits"], arrays["maps"], head),
            cams=arrays["cams"],
            **about
            | {
                "predictions": tuple(Prediction(**one) for one in about["predictions"]),
                "warnings": tuple(about["warnings"]),
                # older queries have neither
                "doubts": tuple(about.get("doubts", ())),
                "size_mm": tuple(size) if (size := about.get("size_mm")) else None,
            },
        )
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CorruptArtefact(
            "a remembered query is damaged in the catalog's database; send the image again"
        ) from error
