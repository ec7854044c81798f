"""The conformance statement says what the program does."""

import re
from pathlib import Path

import pytest
from pydicom.uid import UID
from xemplar_pacs import conformance
from xemplar_pacs.listen import receiver
from xemplar_pacs.outbox.delivery import BATCH
from xemplar_pacs.results import secondary_capture, structured_report
from xemplar_pacs.settings import NodeSettings

STATEMENT = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text()


def table(heading: str) -> list[list[str]]:
    """Rows of the first table below a line that begins so, without its head."""
    after = STATEMENT[STATEMENT.index(heading) :]
    (rows, *_) = re.findall(r"(?:^\|.*\n)+", after, re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows.splitlines()[2:]]


def test_lists_the_classes_and_their_roles() -> None:
    listed = {uid: (scu, scp) for _, uid, scu, scp in table("| SOP class | UID | SCU | SCP |")}
    received = dict.fromkeys((conformance.VERIFICATION, *conformance.RECEIVED), ("no", "yes"))
    assert listed == received | dict.fromkeys(conformance.OF_RESULTS, ("yes", "no"))


def test_lists_the_transfer_syntaxes_in_the_order_of_preference() -> None:
    assert [uid for _, uid in table("| transfer syntax | UID |")] == list(conformance.ENCODINGS)


def test_lists_what_is_sent() -> None:
    rows = table("| SOP class | transfer syntax |")
    sent = {name: re.findall(r"\(([0-9.]+)\)", syntaxes) for name, syntaxes in rows}
    assert sent == {
        UID(sop_class).name: list(syntaxes)
        for sop_class, syntaxes in conformance.OF_RESULTS.items()
    }


def test_lists_every_status() -> None:
    listed = {int(status.removesuffix("H"), 16) for status, *_ in table("| status | name | when |")}
    assert listed == {receiver.SUCCESS, *receiver.COMMENTS}


@pytest.mark.parametrize("name", ["pdu_bytes", "associations", "stall_seconds", "title", "tries"])
def test_states_defaults(name: str) -> None:
    default = NodeSettings.model_fields[name].default
    shown = default if isinstance(default, str) else f"{default:,.0f}"
    line = next(line for line in STATEMENT.splitlines() if f"`XEMPLAR_PACS_{name.upper()}`" in line)
    assert re.search(rf"\b{shown}\b", line)


def test_states_how_results_are_sent() -> None:
    assert f"at most {BATCH}" in STATEMENT
    for module in (secondary_capture, structured_report):
        assert f"series {module.SERIES}" in STATEMENT
