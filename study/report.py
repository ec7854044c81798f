"""The report of a study: data, steps, results, a methods paragraph and BibTeX."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from xemplar import __version__
from xemplar.archive.artefact import write_file
from xemplar.model.checkpoint import Checkpoint

from .choices import Choices
from .inspection import Inspection
from .overview import Part, overview
from .page import page, section
from .references import BIBTEX, references_of
from .steps import Place

PARTS = ("Views and people", "Patients and splits", "Findings (present / absent)", "Duplicates")
"""Parts of the inspection that the report repeats."""


@dataclass(frozen=True)
class Study:
    """Parts of a report.

    Attributes:
        choices: of the study.
        seen: inspection of the data.
        checkpoint: network that was indexed with.
        record: digest and steps.
        evaluations: data set -> content of its ``report.json``.
        cautions: what a reader should know.
    """

    choices: Choices
    seen: Inspection
    checkpoint: Checkpoint
    record: Mapping[str, Any]
    evaluations: Mapping[str, Mapping[str, Any]]
    cautions: Sequence[str]


def write_report(study: Study, place: Place) -> None:
    """Write ``report.html``, ``methods.md`` and ``references.bib``."""
    said = methods(study)
    entries = references_of(study.seen)
    write_file(place.root / "methods.md", f"{said}\n".encode())
    bibtex = "\n\n".join(BIBTEX[name] for name in entries)
    write_file(place.root / "references.bib", f"{bibtex}\n".encode())
    body = _results(study, place) + _data(study) + _steps(study)
    body += f"<section><h2>Methods</h2>\n<p>{escape(said)}</p></section>\n"
    body += f"<section><h2>References</h2>\n<pre>{escape(bibtex)}</pre></section>\n"
    notice = (
        f"Research use, not for diagnosis. Study {study.record['digest']}; xemplar {__version__}. "
        "study.toml holds every choice."
    )
    names = ", ".join(study.choices.data.sources)
    write_file(place.root / "report.html", page(f"Study of {names}", notice, body).encode())


def evaluations_of(place: Place, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Read the evaluations' figures, by data set."""
    return {
        name: json.loads((place.evaluation(name) / "report.json").read_text()) for name in names
    }


def _results(study: Study, place: Place) -> str:
    written = ""
    for name, evaluation in study.evaluations.items():
        link = (place.evaluation(name) / "report.html").relative_to(place.root).as_posix()
        items = "".join(
            f"<li><b>{escape(each['title'])}</b>. {escape(each['summary'])}</li>\n"
            for each in evaluation["sections"]
            if each["summary"]
        )
        asked = evaluation["about"]["queries"]
        cases = evaluation["about"]["index"]["cases"]
        written += (
            f"<section><h2>Results on {escape(name)}</h2>\n<p>{asked['images']:,} queries of "
            f"{asked['patients']:,} patients, {cases:,} cases to be found. "
            f'<a href="{escape(link, quote=True)}">All tables, intervals and chance</a>.</p>\n'
            f"<ul>{items}</ul></section>\n"
        )
        written += "".join(
            section(Part("Not to be released", (failure,), alarming=True))
            for failure in evaluation["failures"]
        )
    if study.cautions:
        written += section(Part("To be known", tuple(f"{one}." for one in study.cautions)))
    return written


def _data(study: Study) -> str:
    parts = [part for part in overview(study.seen) if part.title in PARTS]
    link = '<p><a href="inspection.html">The inspection, with a contact sheet</a>.</p>\n'
    return "".join(map(section, parts)) + link


def _steps(study: Study) -> str:
    rows = tuple(
        (name, f"{step['seconds']:,.0f} s", " ".join(step["command"]))
        for name, step in study.record["steps"].items()
    )
    return section(Part("Steps", (), ("step", "time", "command"), rows))


def methods(study: Study) -> str:
    """Write a methods paragraph from what was done; a draft, to be read and completed."""
    chosen, card = study.choices, study.checkpoint.card
    splits = study.seen.splits()
    told = "; ".join(f"{name}: {i:,} images of {p:,} patients" for name, (i, p) in splits.items())
    named = all(image.split for image in study.seen.images)
    rule = (
        "as the data sets name them"
        if named
        else f"by a hash of the patient's identifier (seed {study.seen.rule.seed}, "
        f"{study.seen.rule.val:.0%} for validation, {study.seen.rule.test:.0%} for testing) where "
        "the data sets name none"
    )
    size = card.spec.size
    source = (
        f"trained on the images of train with the recipe {chosen.train.recipe!r} of xemplar, the "
        "epoch being chosen by the mean AUC on val"
        if chosen.train.run
        else "taken as it is"
    )
    sentences = [
        f"We used {len(study.seen.images):,} chest radiographs of "
        f"{', '.join(chosen.data.sources)}. Patients were split {rule} ({told}).",
        f"Images were reduced to {size} x {size} pixels and encoded by a convolutional neural "
        f"network (DenseNet [huang2017]; checkpoint {study.checkpoint.digest[:12]}, {source}) with "
        f"{len(card.findings)} findings as outputs.",
        "Similar cases were the indexed images of other patients of the same data set with the "
        f"highest cosine similarity of embeddings, among {', '.join(chosen.index.splits)}.",
        *(_measured(name, one, study) for name, one in study.evaluations.items()),
        "Figures are given with their value by chance and 95 % intervals from a bootstrap over "
        "patients; Grad-CAM [selvaraju2017] explains findings.",
        f"All steps were run with xemplar {__version__} [xemplar]; the digest of data, network and "
        f"choices is {study.record['digest'][:12]}.",
    ]
    return " ".join(sentences)


def _measured(name: str, evaluation: Mapping[str, Any], study: Study) -> str:
    asked, cases = evaluation["about"]["queries"], evaluation["about"]["index"]["cases"]
    return (
        f"On {name}, {asked['images']:,} images of {asked['patients']:,} patients of "
        f"{', '.join(study.choices.evaluate.splits)} were the queries and {cases:,} indexed images "
        "the cases; a case counted as relevant if it shares a finding with the query."
    )
