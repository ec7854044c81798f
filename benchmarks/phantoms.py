"""A checkpoint on phantoms, of which everything is known: does the first answer persuade?

    python -m benchmarks.phantoms [--checkpoint FILE] [--indexed 200] [--queries 100]

Among queries that show a finding: how often the finding with the highest lift is one of the
phantom's, how often one of the five nearest cases shares a finding, and how often the map's highest
point is in the box of that finding; each with a 95 % interval and its chance. Phantoms are drawn
from seeds that no training used (see the model card).
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xemplar.imaging import decode
from xemplar.imaging.preprocess import preprocess
from xemplar.model.checkpoint import Checkpoint, default_checkpoint, load
from xemplar.model.densenet import STRIDE, Features
from xemplar.model.encoder import BATCH, Precision, open_encoder
from xemplar.model.explain import grad_cam
from xemplar.phantom import FINDINGS, Phantom, phantom

FIRST_SEED, SIDE, NEAREST, RESAMPLES = 500_000, 256, 5, 2000


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint())
    parser.add_argument("--indexed", type=int, default=200)
    parser.add_argument("--queries", type=int, default=100)
    given = parser.parse_args()
    checkpoint = load(given.checkpoint)
    drawn = [phantom(FIRST_SEED + n, size=SIDE) for n in range(given.indexed + given.queries)]
    features = encoded(checkpoint, drawn)
    truth = np.array([[f in shown(one) for f in FINDINGS] for one in drawn])
    queries = [n for n in range(given.indexed, len(drawn)) if truth[n].any()]
    print(
        f"checkpoint {checkpoint.digest[:12]}; {len(queries)} queries with a finding, "
        f"{given.indexed} indexed phantoms; 95 % intervals over queries"
    )
    tell("finding with the highest lift is shown", *lift(checkpoint, features, truth, queries))
    tell(
        f"first {NEAREST} that share a finding",
        *neighbours(features, truth, queries, given.indexed),
    )
    tell("highest point of its map in its box", *pointing(checkpoint, features, drawn, queries))


def shown(one: Phantom) -> set[str]:
    """Name the findings of a phantom."""
    return {placed.finding for placed in one.findings}


def encoded(checkpoint: Checkpoint, drawn: list[Phantom]) -> list[Features]:
    """Encode phantoms as the service does, but for the file."""
    import cv2

    encoder, found = open_encoder(checkpoint, precision=Precision.FLOAT32), []
    for begin in range(0, len(drawn), BATCH):
        files = [cv2.imencode(".png", one.pixels)[1].tobytes() for one in drawn[begin:][:BATCH]]
        inputs = np.stack([preprocess(decode(file), checkpoint.card.spec) for file in files])
        batch = encoder.encode(inputs)
        found += [batch.one(n) for n in range(len(files))]
    return found


def lift(
    checkpoint: Checkpoint, features: list[Features], truth: npt.NDArray[np.bool_], rows: list[int]
) -> tuple[npt.NDArray[np.float64], float]:
    """Judge the finding that is explained by default; chance is the usual one of these phantoms."""
    right = []
    for row in rows:
        first = checkpoint.order(checkpoint.probabilities(features[row].logits[0]))[0]
        name = checkpoint.card.findings[first]
        right.append(name in FINDINGS and truth[row, FINDINGS.index(name)])
    return np.array(right, np.float64), float(truth[rows].mean())


def neighbours(
    features: list[Features], truth: npt.NDArray[np.bool_], rows: list[int], indexed: int
) -> tuple[npt.NDArray[np.float64], float]:
    """Count neighbours that share a finding; chance is the share among all indexed phantoms."""
    embeddings = np.concatenate([one.embedding for one in features])
    similarity = embeddings[rows] @ embeddings[:indexed].T
    shares = (truth[rows].astype(int) @ truth[:indexed].T.astype(int)) > 0
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :NEAREST]
    found = np.take_along_axis(shares, nearest, axis=1)
    return found.mean(axis=1), float(shares.mean())


def pointing(
    checkpoint: Checkpoint, features: list[Features], drawn: list[Phantom], rows: list[int]
) -> tuple[npt.NDArray[np.float64], float]:
    """Find the highest cell of each finding's map; chance is its box's share of the image."""
    hits, areas = [], []
    for row in rows:
        here, area = [], []
        cams = grad_cam(features[row].maps, checkpoint.weights["classifier.weight"])[0]
        for placed in drawn[row].findings:
            cam = cams[checkpoint.card.findings.index(placed.finding)]
            y, x = np.unravel_index(cam.argmax(), cam.shape)
            scale = STRIDE * SIDE / checkpoint.card.spec.size
            left, top, width, height = placed.box
            inside_x = left <= (x + 0.5) * scale <= left + width
            here.append(inside_x and top <= (y + 0.5) * scale <= top + height)
            area.append(width * height / SIDE**2)
        hits.append(np.mean(here))
        areas.append(np.mean(area))
    return np.array(hits, np.float64), float(np.mean(areas))


def tell(what: str, values: npt.NDArray[np.float64], chance: float) -> None:
    """Print a mean with its interval and chance."""
    generator = np.random.default_rng(0)
    means = values[generator.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    print(f"{what}: {values.mean():.2f} ({low:.2f} to {high:.2f}); by chance {chance:.2f}")


if __name__ == "__main__":
    main()
