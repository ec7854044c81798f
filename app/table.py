"""Tables that show an answer in a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from xemplar.cli.terminal import plain

SHOWN = 5
"""Number of predictions listed; the explained finding is added if it is not among them."""


def answer_tables(answer: Mapping[str, Any]) -> Iterator[Table]:
    """Yield the predictions and ranked cases of an answer (the JSON of ``POST /query``)."""
    if "query_id" not in answer:
        yield from _by_words(answer)
        return
    yield _predictions(answer)
    if answer.get("images"):
        yield _notes(
            "The question",
            [f"Ranked by {len(answer['images'])} images; all else is of the first."],
        )
    if answer["warnings"]:
        yield _notes("Warnings", answer["warnings"])
    if answer["archived_as"]:
        yield _notes("In the archive", [f"This image is archived as case {answer['archived_as']}."])
    measured_on = answer["chance_measured_on"]
    title = f"Similar past cases, of {answer['matched']} that match"
    yield _cases(title, answer["neighbours"], measured_on)
    if answer.get("priors"):
        yield _priors(answer["priors"])
    if answer.get("prevalence"):
        yield _prevalence(answer["prevalence"])
    if answer["counter_examples"]:
        title = f"Similar, without {plain(answer['explained_finding'].replace('_', ' '))}"
        yield _cases(title, answer["counter_examples"], measured_on)


def _by_words(answer: Mapping[str, Any]) -> Iterator[Table]:
    """Yield the tables of an answer to words alone."""
    words = answer["words"]
    if words["unknown"]:
        yield _notes("In no report", words["unknown"])
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0), pad_edge=False)
    table.title = f"Cases by words, of {words['cases']} with any of them"
    for column in ("rank", "case", "findings", "patient", "view", "source"):
        table.add_column(column)
    for near in answer["neighbours"]:
        table.add_row(
            str(near["ranks"]["by_words"]),
            near["case_id"],
            plain(", ".join(near["findings"]).replace("_", " ")) or "unknown",
            " ".join(str(v) for v in (near["sex"], near["age"]) if v is not None) or "-",
            plain(near["view"] or "-"),
            plain(near["source"]),
        )
    yield table
    if answer.get("prevalence"):
        yield _prevalence(answer["prevalence"])


def _predictions(answer: Mapping[str, Any]) -> Table:
    table = Table(title="The image", box=box.SIMPLE_HEAD)
    for column in ("finding", "probability", "times usual", "called"):
        table.add_column(column)
    for number, prediction in enumerate(answer["predictions"]):
        explained = prediction["finding"] == answer["explained_finding"]
        if number < SHOWN or explained:
            table.add_row(
                plain(prediction["finding"].replace("_", " "))
                + (" (explained)" if explained else ""),
                f"{prediction['probability']:.3f}",
                "-" if prediction["lift"] is None else f"{prediction['lift']:.1f}",
                _called(prediction),
                style="bold" if explained else "",
            )
    return table


def _priors(priors: Sequence[Mapping[str, Any]]) -> Table:
    """Show earlier images of the patient, the earliest first."""
    table = Table(title="Earlier images, the earliest first", box=box.SIMPLE_HEAD)
    for column in ("prior", "similarity", "findings called"):
        table.add_column(column)
    for number, prior in enumerate(priors, start=1):
        if "detail" in prior:
            table.add_row(str(number), "-", plain(prior["detail"]))
            continue
        called = [one["finding"].replace("_", " ") for one in prior["predictions"] if one["called"]]
        table.add_row(str(number), f"{prior['similarity']:.3f}", plain(", ".join(called) or "none"))
    return table


def _prevalence(found: Mapping[str, Any]) -> Table:
    """Show what the cases turned out to be, and their findings, beside the archive."""
    table = Table(
        title=f"What these {found['cases']} turned out to be; counts, and no diagnosis",
        box=box.SIMPLE_HEAD,
    )
    for column in ("", "of these", "95 % interval", "of all that match"):
        table.add_column(column)
    for share in (*found["outcomes"], *found["findings"]):
        everywhere = share["archive_count"] / max(share["archive_known"], 1)
        table.add_row(
            plain(share["name"].replace("_", " ")),
            f"{share['count']} of {share['known']}",
            f"{share['low']:.0%} to {share['high']:.0%}",
            f"{everywhere:.1%} of {share['archive_known']:,}",
        )
    if not found["outcomes"]:
        table.caption = "No outcome of these cases is verified; findings are those of reports."
    return table


def _called(prediction: Mapping[str, Any]) -> str:
    if prediction["called"] is None:
        return "never: too few validation images show it"
    return "yes" if prediction["called"] else f"no: below {prediction['threshold']:.2f}, no map"


def _notes(title: str, notes: Sequence[str]) -> Table:
    table = Table(title=title, box=None, show_header=False, style="bold yellow")
    for note in notes:
        table.add_row(plain(note))
    return table


def _outcomes(outcomes: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{one['diagnosis']} ({one['proof']})" for one in outcomes)


def _score(steering: Mapping[str, Any]) -> str:
    """Write a score, with the part of each image of a question of several."""
    parts = " ".join(f"{part:+.2f}" for part in steering.get("images", ()))
    return f"{steering['score']:.4f}" + (f" ({parts})" if parts else "")


def _cases(
    title: str, cases: Sequence[Mapping[str, Any]], measured_on: Mapping[str, Any] | None
) -> Table:
    # no padding: on a terminal of 80 columns a finding's name must not be cut
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 0), pad_edge=False)
    table.add_column("", justify="right")
    steered = any("steering" in near for near in cases)
    for column in ("case", *(["score"] if steered else []), "similarity"):
        table.add_column(column, no_wrap=True)
    if measured_on is not None:
        table.add_column("chance", justify="right", no_wrap=True)
        ill = measured_on["ill"]
        table.caption = (
            "chance: of a shared finding, as measured for that similarity on "
            f"{measured_on['images']:,} images of {plain(measured_on['source'])}"
            + ("" if ill is None else f", {ill:.0%} of which show a finding")
        )
    proven = any(near["outcomes"] for near in cases)
    for column in ("findings", *(["proven"] if proven else []), "patient", "view", "source"):
        table.add_column(column)
    for near in cases:
        table.add_row(
            str(near["rank"]),
            near["case_id"],
            *([_score(near["steering"])] if steered else []),
            f"{near['similarity']:.4f}",
            *([f"{near['chance']:.0%}"] if measured_on is not None else []),
            plain(", ".join(near["findings"]).replace("_", " ")) or "unknown",
            *([_outcomes(near["outcomes"])] if proven else []),
            " ".join(str(v) for v in (near["sex"], near["age"]) if v is not None) or "-",
            plain(near["view"] or "-"),
            plain(near["source"]),
        )
    return table
