"""Ranking by image, by words and by both, on synthetic reports and queries.

Each case of a store gets a report that is written from its labels (`xemplar.phantom.report`): one
finding in ten is left out, words are misspelt, and the wording varies. Queries are images of the
store's data set, of patients that are not in the store, with a text of their findings:

    findings            all findings of the image, worded otherwise than in the reports
    one finding         one of them
    findings, denials   all of them, and a denial of one that it has not
    vague               a device and bones, which say nothing of the findings
    misspelt            one finding with a typing error

The gain of a case is the share of the findings of either that both have; figures are mean nDCG@10,
with the difference of both to the better of image and words, and its 95 % interval over patients.
Reports that say the same of what was asked share a rank: the words alone get the mean over all
orders of such cases (McSherry and Najork, ECIR 2008). With one order of equal cases, that of their
ids, they would get what that order of this store happens to give ("by id").
The reports are put into the store that is named: use a copy.

    xemplar index nih14 --split train --store fusing-store
    python -m benchmarks.fusing --store fusing-store --images nih14 --split val
"""

import argparse
import os
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from xemplar.cli.environment import limit_threads

limit_threads(os.environ)  # as the command does

import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import track  # noqa: E402
from rich.table import Table  # noqa: E402
from xemplar_evaluator.bootstrap import estimate  # noqa: E402

from xemplar.api.search import Search  # noqa: E402
from xemplar.archive.store import Store  # noqa: E402
from xemplar.catalog import Catalog, migrate  # noqa: E402
from xemplar.data.datasets import DatasetImage, open_dataset  # noqa: E402
from xemplar.data.findings import NO_FINDING, positives  # noqa: E402
from xemplar.model.checkpoint import default_checkpoint  # noqa: E402
from xemplar.phantom.report import ABSENT, PRESENT, phantom_report  # noqa: E402
from xemplar.reports.report import ReceivedReport  # noqa: E402
from xemplar.retrieval.retriever import Retriever  # noqa: E402
from xemplar.retrieval.words import WordRanking  # noqa: E402

K = 10
LEFT_OUT = 0.1
TYPOS = 0.02
WAYS = ("image", "words", "both", "words by id")


def findings_of(labels: Mapping[str, int]) -> frozenset[str]:
    """Return the findings that are present."""
    return frozenset(positives(labels)) - {NO_FINDING}


def write_reports(catalog: Catalog, ids: Sequence[int], seed: int) -> None:
    """Put a synthetic report beside each case."""
    draw = random.Random(seed)  # noqa: S311 -- synthetic reports
    reports = {}
    for case in catalog.cases(ids).values():
        said = [one for one in sorted(findings_of(case.labels)) if draw.random() >= LEFT_OUT]
        made = phantom_report(said, seed + case.id, typos=TYPOS)
        reports[case.image_sha256] = ReceivedReport(made.findings, made.impression).scrubbed()
    catalog.reports.put(reports)


def worded(draw: random.Random, finding: str) -> str:
    """Name a finding as somebody who searches might."""
    return draw.choice([ABSENT[finding], draw.choice(PRESENT[finding])]).format(
        side=draw.choice(["left", "right"]), size="1.5"
    )


def misspelt(text: str) -> str:
    """Swap two letters in the longest word of a text."""
    word = max(text.split(), key=len)
    if len(word) < 5:
        return text
    at = len(word) // 2
    return text.replace(word, word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :])


def all_findings(draw: random.Random, has: Sequence[str]) -> str:
    """Name all findings."""
    return ", ".join(worded(draw, finding) for finding in has)


KINDS: Mapping[str, Callable[[random.Random, Sequence[str]], str]] = {
    "findings": all_findings,
    "one finding": lambda draw, has: worded(draw, draw.choice(has)),
    "findings, denials": lambda draw, has: (
        f"{all_findings(draw, has)}. No {ABSENT[draw.choice([f for f in ABSENT if f not in has])]}"
    ),
    "vague": lambda draw, _: draw.choice(["central venous catheter", "bones", "thoracic spine"]),
    "misspelt": lambda draw, has: misspelt(worded(draw, draw.choice(has))),
}


def gains(wanted: frozenset[str], all_labels: Sequence[frozenset[str]]) -> np.ndarray:
    """Return the gain of each case: the share of the findings of either that both have."""
    return np.array([len(wanted & has) / len(wanted | has) for has in all_labels])


def ndcg(ranked: Sequence[float], everything: np.ndarray) -> float:
    """Compute nDCG at K against the best possible ranking."""
    discounts = 1 / np.log2(np.arange(K) + 2)
    best = np.sort(everything)[::-1][:K] @ discounts
    return float(np.array(ranked[:K]) @ discounts[: len(ranked[:K])] / best)


def tied_ndcg(groups: Iterable[Sequence[float]], everything: np.ndarray) -> float:
    """Compute the mean nDCG at K over all orders within groups of equal rank.

    Args:
        groups: gains of the cases of each rank, the best rank first.
        everything: gains of all cases.
    """
    expected: list[float] = []
    for group in groups:
        expected += [float(np.mean(group))] * min(len(group), K - len(expected))
        if len(expected) == K:
            break
    return ndcg(expected, everything)


def measure(
    retriever: Retriever, images: Sequence[DatasetImage], seed: int
) -> dict[str, list[tuple[str | None, tuple[float, ...]]]]:
    """Rank for each image and kind of text in three ways."""
    catalog, ids = retriever.catalog, retriever.generation.ids
    labels = {number: findings_of(case.labels) for number, case in catalog.cases(ids).items()}
    rows: dict[str, list[tuple[str | None, tuple[float, ...]]]] = {kind: [] for kind in KINDS}
    draw = random.Random(seed)  # noqa: S311 -- synthetic queries
    for image in track(images, "images"):
        has = findings_of(image.labels)
        data = image.path.read_bytes()
        gain = dict(zip(labels, gains(has, list(labels.values())), strict=True))
        everything = np.array(list(gain.values()))
        alone = retriever.ask(data, Search(k=K))
        by_image = ndcg([gain[near.case.id] for near in alone.neighbours], everything)
        for kind, text_of in KINDS.items():
            text = text_of(draw, sorted(has))
            ranking = WordRanking.of(catalog, text, len(ids))
            ranked = [[gain[int(case)] for case in group] for group in ranking.groups()]
            both = retriever.again(alone, Search(k=K, text=text))
            shown = [gain[near.case.id] for near in both.neighbours]
            figures = (
                by_image,
                tied_ndcg(ranked, everything),
                ndcg(shown, everything),
                ndcg([one for group in ranked for one in group], everything),
            )
            rows[kind].append((image.patient, figures))
    return rows


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--limit", type=int, default=None, help="images")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    store = Store(options.store)
    migrate(store.database_url, store)
    with closing(Retriever.open(default_checkpoint(), store)) as retriever:
        write_reports(retriever.catalog, retriever.generation.ids.tolist(), options.seed)
        every = open_dataset(options.images).images
        images = [one for one in every if one.split == options.split and findings_of(one.labels)]
        rows = measure(retriever, images[: options.limit], options.seed + 1)
    table = Table(
        "text", *WAYS, "both - better of image and words", title=f"{len(rows['vague'])} images"
    )
    for kind, found in rows.items():
        values = np.array([figures for _, figures in found])
        means = values.mean(axis=0)
        better = int(np.argmax(means[:2]))
        patients = [patient for patient, _ in found]
        difference = estimate(values[:, 2] - values[:, better], patients)
        table.add_row(kind, *(f"{mean:.3f}" for mean in means), str(difference))
    Console().print(table)


if __name__ == "__main__":
    main()
