"""What a checkpoint knows of patients it never saw: the figures of its model card.

Classification: AUC of each finding within each data set (chance 0.5). Retrieval: films of the
asked splits against the films of ``--index`` of the same data set, same patient excluded: the
share of the first five cases that have a finding in common with the query, and nDCG@10 with the
Jaccard overlap of findings as linear gain; beside each its value for a random order. Only queries
with a finding count.

    python benchmarks/checkpoint.py nih14 kermany --splits test box
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from trainer.metrics import Outputs, auc_by_finding, mean_auc
from xemplar.checkpoint import default_checkpoint, load
from xemplar.datasets import Film, open_dataset
from xemplar.encoder import Encoder, open_encoder
from xemplar.findings import NO_FINDING, positives, targets
from xemplar.preprocess import preprocess
from xemplar.radiograph import decode

BATCH, SHOWN, DEPTH = 16, 5, 10


def encode(
    films: Sequence[Film], encoder: Encoder, what: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(embeddings (N, C), logits (N, F)) of films."""
    spec = encoder.checkpoint.card.spec
    embeddings, logits = [], []
    steps = range(0, len(films), BATCH)
    for begin in track(steps, what, console=Console(stderr=True)):
        batch = films[begin : begin + BATCH]
        inputs = np.stack([preprocess(decode(f.path.read_bytes()), spec) for f in batch])
        features = encoder.encode(inputs)
        embeddings.append(features.embedding)
        logits.append(features.logits)
    return np.concatenate(embeddings), np.concatenate(logits)


def overlap(films: Sequence[Film], others: Sequence[Film]) -> npt.NDArray[np.float64]:
    """Jaccard overlap of findings, (N, M); 0 where either has none."""
    names = sorted({n for f in (*films, *others) for n in positives(f.labels)} - {NO_FINDING})
    own, other = (
        np.array([[n in positives(f.labels) for n in names] for f in part], float)
        for part in (films, others)
    )
    shared = own @ other.T
    union = own.sum(axis=1)[:, None] + other.sum(axis=1)[None] - shared
    return shared / np.maximum(union, 1)


def ranked(gain: npt.NDArray[np.float64], score: npt.NDArray[np.float64]) -> tuple[float, float]:
    """(share of the first five with a finding in common, nDCG@10); mean over the queries."""
    order = np.argsort(-score, axis=1, kind="stable")
    got = np.take_along_axis(gain, order, axis=1)
    discount = 1 / np.log2(np.arange(DEPTH) + 2)
    ideal = -np.sort(-gain, axis=1)[:, :DEPTH] @ discount
    counted = ideal > 0
    ndcg = (got[:, :DEPTH] @ discount)[counted] / ideal[counted]
    return float((got[:, :SHOWN] > 0).mean()), float(ndcg.mean())


def retrieval(
    films: Sequence[Film],
    embeddings: npt.NDArray[np.float32],
    index: Sequence[Film],
    indexed: npt.NDArray[np.float32],
) -> None:
    """Print the retrieval figures of one data set, and those of a random order."""
    asked = [n for n, film in enumerate(films) if set(positives(film.labels)) - {NO_FINDING}]
    queries = [films[n] for n in asked]
    gain = overlap(queries, index)
    score = embeddings[asked].astype(np.float64) @ indexed.T
    for row, query in enumerate(queries):
        score[row, [c.patient == query.patient for c in index]] = -1
    share, ndcg = ranked(gain, score)
    generator = np.random.default_rng(0)
    chance = np.mean([ranked(gain, generator.random(score.shape)) for _ in range(20)], axis=0)
    print(f"{len(queries)} queries with a finding among {len(index)} indexed films")
    print(f"  first {SHOWN} with a finding in common  {share:.3f}   chance {chance[0]:.3f}")
    print(f"  nDCG@{DEPTH}, gain = Jaccard overlap    {ndcg:.3f}   chance {chance[1]:.3f}")


def main() -> None:
    """Print AUC and retrieval figures of each data set."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, nargs="+", help="data sets")
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint())
    parser.add_argument("--splits", nargs="+", default=["test"])
    parser.add_argument("--index", default="train", help="split that is searched")
    arguments = parser.parse_args()
    encoder = open_encoder(load(arguments.checkpoint))
    findings = encoder.checkpoint.card.findings
    print(f"checkpoint {encoder.checkpoint.digest[:12]}, splits {' '.join(arguments.splits)}")
    for folder in arguments.data:
        dataset = open_dataset(folder)
        films = [f for f in dataset.films if f.frontal and f.split in arguments.splits]
        index = [f for f in dataset.films if f.frontal and f.split == arguments.index]
        embeddings, logits = encode(films, encoder, f"{dataset.name}: queries")
        indexed, _ = encode(index, encoder, f"{dataset.name}: index")
        target, known = (
            np.stack(part)
            for part in zip(*(targets(f.labels, findings) for f in films), strict=True)
        )
        sources = [film.source for film in films]
        aucs = auc_by_finding(Outputs(logits, target, known, sources, findings))
        print(f"\n{dataset.name}: {len(films)} films of {len({f.patient for f in films})} patients")
        print(f"mean AUC {mean_auc(aucs):.3f} over {len(aucs)} findings   chance 0.5")
        for finding, auc in aucs.items():
            place = findings.index(finding)
            print(
                f"  {finding:20} {auc:.3f}   {int(target[known[:, place] > 0, place].sum())} films"
            )
        retrieval(films, embeddings, index, indexed)


if __name__ == "__main__":
    main()
