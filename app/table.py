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
    yield _predictions(answer)
    if answer["warnings"]:
        yield _notes("Warnings", answer["warnings"])
    if answer["archived_as"]:
        yield _notes("In the archive", [f"This image is archived as case {answer['archived_as']}."])
    yield _cases(f"Similar past cases, of {answer['matched']} that match", answer["neighbours"])
    if answer["counter_examples"]:
        title = f"Similar, without {plain(answer['explained_finding'].replace('_', ' '))}"
        yield _cases(title, answer["counter_examples"])


def _predictions(answer: Mapping[str, Any]) -> Table:
    table = Table(title="The image", box=box.SIMPLE_HEAD)
    for column in ("finding", "probability", "map drawn"):
        table.add_column(column)
    for number, prediction in enumerate(answer["predictions"]):
        explained = prediction["finding"] == answer["explained_finding"]
        if number < SHOWN or explained:
            table.add_row(
                plain(prediction["finding"].replace("_", " "))
                + (" (explained)" if explained else ""),
                f"{prediction['probability']:.3f}",
                "yes" if prediction["present"] else "no: below its threshold",
                style="bold" if explained else "",
            )
    return table


def _notes(title: str, notes: Sequence[str]) -> Table:
    table = Table(title=title, box=None, show_header=False, style="bold yellow")
    for note in notes:
        table.add_row(plain(note))
    return table


def _cases(title: str, cases: Sequence[Mapping[str, Any]]) -> Table:
    # no padding: on a terminal of 80 columns a finding's name must not be cut
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 0), pad_edge=False)
    table.add_column("", justify="right")
    for column in ("case", "similarity"):
        table.add_column(column, no_wrap=True)
    calibrated = any(near["chance"] is not None for near in cases)
    if calibrated:
        table.add_column("chance", justify="right", no_wrap=True)
        table.caption = "chance: of a shared finding, as measured for that similarity"
    for column in ("findings", "patient", "view", "source"):
        table.add_column(column)
    for near in cases:
        table.add_row(
            str(near["rank"]),
            near["case_id"],
            f"{near['similarity']:.4f}",
            *([f"{near['chance']:.0%}"] if calibrated else []),
            plain(", ".join(near["findings"]).replace("_", " ")) or "unknown",
            " ".join(str(v) for v in (near["sex"], near["age"]) if v is not None) or "-",
            plain(near["view"] or "-"),
            plain(near["source"]),
        )
    return table
