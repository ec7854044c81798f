"""Numbers of an answer that contradict one another, counted over films.

    python -m benchmarks.contradictions --images nih14

A film contradicts itself if a finding in bold (`Prediction.standing` is "called") has a lower lift
or probability than one in grey ("usual"), or if one is listed before another of higher lift. It
also counts what is explained at first, and bold findings that are unlikely. ``--checkpoint`` names
another network.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from pathlib import Path

import numpy as np
from rich.progress import track

from xemplar.data.datasets import open_dataset
from xemplar.imaging import decode
from xemplar.imaging.preprocess import preprocess
from xemplar.model.checkpoint import Checkpoint, default_checkpoint, load
from xemplar.model.encoder import open_encoder
from xemplar.retrieval.query import predictions
from xemplar.retrieval.result import Prediction

FILMS, SEED, UNLIKELY = 60, 0, 0.1


def read_as(checkpoint: Checkpoint, films: Sequence[Path]) -> Iterator[tuple[Prediction, ...]]:
    """The predictions for each film."""
    encoder = open_encoder(checkpoint)
    for path in track(films, description="films"):
        inputs = preprocess(decode(path.read_bytes()), checkpoint.card.spec)
        logits = encoder.encode(inputs[None]).logits[0]
        yield predictions(checkpoint, checkpoint.probabilities(logits))


def contradictions(found: Sequence[Prediction]) -> set[str]:
    """Contradictions in the predictions of one image."""
    bold = [one for one in found if one.standing == "called"]
    grey = [one for one in found if one.standing == "usual"]
    pairs = list(product(bold, grey))
    listed = [one for one in found if one.threshold is not None]
    wrong = {
        "a bold finding with a lower lift than a grey one": any(
            b.lift is not None and g.lift is not None and b.lift < g.lift for b, g in pairs
        ),
        "a bold finding with a lower probability than a grey one": any(
            b.probability < g.probability for b, g in pairs
        ),
        "a finding listed before one with a higher lift": any(
            a.lift is not None and b.lift is not None and a.lift < b.lift
            for a, b in pairwise(listed)
        ),
    }
    return {what for what, is_so in wrong.items() if is_so}


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=Path, required=True, help="data set")
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint())
    parser.add_argument("--films", type=int, default=FILMS)
    arguments = parser.parse_args()
    images = open_dataset(arguments.images).images
    drawn = np.random.default_rng(SEED).choice(len(images), arguments.films, replace=False)
    checkpoint = load(arguments.checkpoint)
    films = list(read_as(checkpoint, [images[number].path for number in drawn]))
    wrong = Counter(what for film in films for what in contradictions(film))
    bold = [one for film in films for one in film if one.standing == "called"]
    explained = Counter(film[0].finding for film in films)
    (most, count), *_ = explained.most_common(1)
    print(f"{len(films)} films of {arguments.images.name}, {checkpoint.digest[:12]}")
    for what in sorted(wrong) or ["any contradiction"]:
        print(f"  {wrong[what]:4} films have {what}")
    unlikely = sum(one.probability < UNLIKELY for one in bold)
    print(f"  {unlikely:4} of {len(bold)} bold findings are below {UNLIKELY:.0%}")
    print(f"  {sum(not film[0].called for film in films):4} films explain a finding not called")
    print(f"  {count:4} films explain {most}, the most frequent")


if __name__ == "__main__":
    main()
