"""Planted identity in reports that a store takes in: ``python -m tests.system.planted_reports``.

Reports with fifty kinds of identity come in as users bring them, a third each: by
``xemplar index --reports``, ``POST /cases`` and ``PATCH /cases``. Then every planted value is
looked for: word by word in the stored reports, and, where a value is too long to occur by chance,
in the bytes of the database's files, answers, logs, an export and a backup.
"""

import argparse
import csv
import hashlib
import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory

from fastapi.testclient import TestClient
from rich.console import Console
from typer.testing import CliRunner
from xemplar_app.main import create_app
from xemplar_app.opening import open_retriever
from xemplar_app.settings import ServiceSettings
from xemplar_indexer.backup import back_up

from tests.images import encoded
from tests.system.common import SIDE, save_tiny_checkpoint
from tests.xemplar.reports.identities import KINDS, Planted, found, plant
from xemplar.__main__ import command_line
from xemplar.archive.store import Store
from xemplar.catalog import open_catalog
from xemplar.phantom.radiograph import phantom
from xemplar.phantom.report import PRESENT, phantom_report
from xemplar.reports.scrub import scrub
from xemplar.reports.vocabulary import is_known

WAYS = ("index", "POST", "PATCH")
SHORTEST_WORD, SHORTEST_NUMBER = 6, 8
"""Characters from which on a value does not occur by chance in ids, digests, times and messages."""


@dataclass(frozen=True)
class PlantedReport:
    """A report with an identity, and its image.

    Attributes:
        number: of the image.
        image: its file.
        way: by which it comes in, of `WAYS`.
        planted: the text with its identity.
        plain: the text without, scrubbed.
    """

    number: int
    image: bytes
    way: str
    planted: Planted
    plain: str


@dataclass
class Search:
    """What was planted, and where some of it was found.

    Attributes:
        reports: number of reports that are stored.
        values: number of planted words and numbers.
        long: number of those looked for in bytes.
        places: name of what was looked through -> its bytes.
        found: (kind of identity, place) of each value that was found.
    """

    reports: int = 0
    values: int = 0
    long: int = 0
    places: dict[str, int] = field(default_factory=dict)
    found: list[tuple[str, str]] = field(default_factory=list)


def planted_reports(count: int, seed: int = 0) -> list[PlantedReport]:
    """Write reports, each with one kind of identity in turn."""
    draw, kinds, made = random.Random(seed), list(KINDS), []
    for number in range(count):
        present = draw.sample(list(PRESENT), number % 4)
        text = phantom_report(present, seed + number, typos=0).findings
        planted = plant(text, kinds[number % len(kinds)], draw)
        image = encoded(phantom(seed + number, size=SIDE).pixels)
        made.append(PlantedReport(number, image, WAYS[number % 3], planted, scrub(text).text))
    return made


def search_for_planted(reports: Sequence[PlantedReport], folder: Path, checkpoint: Path) -> Search:
    """Take reports in, and look for what was planted.

    Args:
        reports: some of each way.
        folder: empty.
        checkpoint: of a small network.
    """
    store, told = Store(folder / "store"), dict[str, bytes]()
    with _logs() as lines:
        by_index = [one for one in reports if one.way == "index"]
        told["index"] = _index(by_index, folder / "set", store, checkpoint)
        told["answers"] = _serve([one for one in reports if one not in by_index], store, checkpoint)
        told["export"] = _exported(store, checkpoint, folder / "exported")
    told["logs"] = "\n".join(lines).encode()
    with (folder / "backup.tar").open("wb") as out:
        back_up(store, store.database_url, out)
    told["backup"] = (folder / "backup.tar").read_bytes()
    told["database"] = b"".join(file.read_bytes() for file in store.root.glob("catalog.sqlite*"))
    search = Search(places={name: len(content) for name, content in told.items()})
    _look_into_reports(reports, store, search)
    _look_into_bytes(reports, told, search)
    return search


def _index(reports: Sequence[PlantedReport], data: Path, store: Store, checkpoint: Path) -> bytes:
    data.mkdir()
    with (data / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "findings", "findings_text"])
        for one in reports:
            (data / f"{one.number}.png").write_bytes(one.image)
            writer.writerow([f"{one.number}.png", "", one.planted.text])
    return _run("index", data, "--reports", "--store", store.root, "--checkpoint", checkpoint)


def _exported(store: Store, checkpoint: Path, out: Path) -> bytes:
    said = _run(
        "export", "--store", store.root, "--checkpoint", checkpoint, "--out", out, "--format", "csv"
    )
    return said + b"".join(file.read_bytes() for file in out.iterdir())


def _run(*arguments: object) -> bytes:
    result = CliRunner().invoke(command_line(), [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output.encode()


def _serve(reports: Sequence[PlantedReport], store: Store, checkpoint: Path) -> bytes:
    """Send reports to a service; return all that it answers."""
    settings = ServiceSettings(
        store=store.root, checkpoint=checkpoint, reports=True, requests_per_second=0
    )
    said = []
    app = create_app(settings, open_retriever(settings))
    with TestClient(app, base_url="http://localhost") as client:
        for one in reports:
            late = one.way == "PATCH"
            form = {"source": "ward"} | ({} if late else {"findings_text": one.planted.text})
            added = client.post("/cases", data=form, files={"image": one.image})
            if added.status_code == HTTPStatus.UNPROCESSABLE_ENTITY:  # a phantom unlike the others
                said.append(added.content)
                continue
            assert added.status_code in {200, 201}, added.text
            address = added.headers["location"]
            if late:
                changed = client.patch(address, json={"findings_text": one.planted.text})
                assert changed.status_code == 200, changed.text
                said.append(changed.content)
            said += [added.content, client.get(address).content]
        refused = client.post("/query", params={"text": reports[0].planted.secrets[0]})
        said.append(refused.content)
        for where in ("/audit?limit=1000", "/errors", "/metrics", "/cases?limit=1000"):
            said.append(client.get(where).content)
    return b"\n".join(said)


def _look_into_reports(reports: Sequence[PlantedReport], store: Store, search: Search) -> None:
    """Look for every word and number in the report that it was planted in."""
    with open_catalog(store.database_url) as catalog:
        for one in reports:
            case = catalog.find_image(hashlib.sha256(one.image).hexdigest())
            if case is None:
                continue
            kept = catalog.reports.of([case.id])[case.id].report.findings
            search.reports += 1
            search.values += len(one.planted.secrets)
            search.found += [
                (one.planted.kind, "report")
                for secret in one.planted.secrets
                if found(secret, kept) > found(secret, one.plain)
            ]


def _look_into_bytes(
    reports: Sequence[PlantedReport], told: dict[str, bytes], search: Search
) -> None:
    """Look for each value that does not occur by chance in everything that was written."""
    rare = {
        secret: one.planted.kind
        for one in reports
        for secret in one.planted.secrets
        if len(secret) >= (SHORTEST_NUMBER if secret.isdigit() else SHORTEST_WORD)
        and not is_known(secret)
    }
    search.long = len(rare)
    for place, content in told.items():
        lower = content.lower()
        search.found += [(kind, place) for secret, kind in rare.items() if secret.encode() in lower]


@contextmanager
def _logs() -> Iterator[list[str]]:
    """Collect what is logged meanwhile, at every level."""
    lines: list[str] = []

    class Collecting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.getMessage()} {vars(record)}")

    root, handler = logging.getLogger(), Collecting()
    before = root.level
    root.setLevel(0)
    root.addHandler(handler)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


def main() -> None:
    """Take reports in, look for what was planted, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=1000, help="reports")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        checkpoint = save_tiny_checkpoint(Path(folder) / "tiny.safetensors")
        (Path(folder) / "run").mkdir()
        reports = planted_reports(options.count, options.seed)
        search = search_for_planted(reports, Path(folder) / "run", checkpoint)
    console = Console(highlight=False)
    console.print(
        f"{search.reports:,} reports stored; {search.values:,} planted words and numbers looked "
        f"for in them, {search.long:,} different long ones in all else"
    )
    for place, size in search.places.items():
        console.print(f"{place}: {size:,} bytes")
    console.print(f"found: {len(search.found)} {search.found[:20]}")


if __name__ == "__main__":
    main()
