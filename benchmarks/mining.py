"""Labels that the rules read from reports, compared with the labels that the reports were made of.

Synthetic reports (`xemplar.phantom.report`) name findings in varied wording and deny four others
each. For every finding: the share of its mentions that were read as meant (sensitivity), and the
share of the labels read that were meant (precision), for presence and for absence. Typing errors:
two letters swapped in a share of the words of eight letters or more, which the scrubber mostly
corrects; and a letter left out of a share of the words of four letters or more, which it often
removes instead.

    python -m benchmarks.mining
    python -m benchmarks.mining --swapped 0.1
    python -m benchmarks.mining --missing 0.05
"""

import argparse
import random
from collections import Counter

from rich.console import Console
from rich.table import Table

from xemplar.phantom.report import ABSENT, PRESENT, phantom_report
from xemplar.reports.mentions import mined_labels
from xemplar.reports.report import ReceivedReport

MOST_PRESENT = 4
SHORTEST = 4
"""Letters of a word that may lose one."""

STATES = {1: "present", 0: "absent"}

Counts = Counter[tuple[str, int, str]]
"""(finding, label, "meant" | "read" | "both") -> number."""


def meant_labels(present: list[str], text: str) -> dict[str, int]:
    """Return what a report was made to say; it denies findings by the names in `ABSENT`."""
    denied = [one for one in ABSENT if one not in present and ABSENT[one] in text.lower()]
    return dict.fromkeys(present, 1) | dict.fromkeys(denied, 0)


def with_missing_letters(draw: random.Random, text: str, share: float) -> str:
    """Leave an inner letter out of a share of the words."""
    words = text.split(" ")
    for place, word in enumerate(words):
        if len(word) >= SHORTEST and word.isalpha() and draw.random() < share:
            at = draw.randint(1, len(word) - 2)
            words[place] = word[:at] + word[at + 1 :]
    return " ".join(words)


def count(reports: int, seed: int, swapped: float, missing: float) -> Counts:
    """Write reports, scrub them as an import does, and count labels meant and read."""
    draw, counts = random.Random(seed), Counts()  # noqa: S311 -- synthetic reports
    for number in range(reports):
        present = draw.sample(list(PRESENT), number % (MOST_PRESENT + 1))
        correct = phantom_report(present, seed + number, typos=0)
        made = phantom_report(present, seed + number, typos=swapped)
        meant = meant_labels(present, correct.findings)
        texts = (with_missing_letters(draw, one, missing) for one in vars(made).values())
        stored = ReceivedReport(*texts).scrubbed()
        read = mined_labels(stored.findings, stored.impression)
        for finding, label in meant.items():
            counts[finding, label, "meant"] += 1
            counts[finding, label, "both"] += read.get(finding) == label
        for finding, label in read.items():
            counts[finding, label, "read"] += 1
    return counts


def share(counts: Counts, finding: str, label: int, of: str) -> str:
    """Write the share of the labels meant, or read, that were both."""
    both, all_of = counts[finding, label, "both"], counts[finding, label, of]
    return f"{both / all_of:.1%} of {all_of:,}" if all_of else "-"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--reports", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--swapped", type=float, default=0, help="share of the long words")
    parser.add_argument("--missing", type=float, default=0, help="share of the words")
    options = parser.parse_args()
    counts = count(options.reports, options.seed, options.swapped, options.missing)
    names = [f"{what} {of}" for what in STATES.values() for of in ("sensitivity", "precision")]
    table = Table("finding", *names, title=str(vars(options)))
    for finding in PRESENT:
        cells = [share(counts, finding, label, of) for label in STATES for of in ("meant", "read")]
        table.add_row(finding, *cells)
    total = Counts()
    for (_, label, of), number in counts.items():
        total["all", label, of] += number
    table.add_row(
        "all", *(share(total, "all", label, of) for label in STATES for of in ("meant", "read"))
    )
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
