"""A query for each image of a folder, its own case excluded; contact sheets to look at.

Meant for images that are indexed in another form (the published 1024-pixel PNGs of images indexed
as 320-pixel JPEGs), which a column ``nih14_file`` of the folder's labels.csv names. Says too where
each image finds its own case when it is not excluded, and how often the first five cases have a
finding in common with the query, beside chance.

    python -m benchmarks.originals --store xemplar-store --images originals --out sheets
"""

import argparse
import csv
import statistics
from pathlib import Path

from rich.console import Console
from rich.progress import track
from xemplar_app.opening import open_retriever
from xemplar_app.settings import ServiceSettings
from xemplar_app.sheet import sheet

from xemplar.api import Search
from xemplar.archive.artefact import new_folder
from xemplar.catalog import Case
from xemplar.data.findings import NO_FINDING
from xemplar.retrieval.retriever import Retriever

K, DEEP = 5, 100


def shares(query: Case, other: Case) -> bool:
    """Compares the findings of two cases; true if one is in common."""
    return bool((set(query.findings) & set(other.findings)) - {NO_FINDING})


def indexed_cases(retriever: Retriever) -> list[Case]:
    """All cases of the live generation."""
    return list(retriever.catalog.cases(retriever.generation.ids.tolist()).values())


def main() -> None:
    """Ask, write a sheet per image, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="new folder for the sheets")
    arguments = parser.parse_args()
    retriever = open_retriever(ServiceSettings(store=arguments.store))
    cases = indexed_cases(retriever)
    by_file = {case.file: case for case in cases}
    rows = list(csv.DictReader((arguments.images / "labels.csv").read_text().splitlines()))
    own_ranks, shared, chances = [], [], []
    with new_folder(arguments.out) as out:
        for row in track(rows, "asking", console=Console(stderr=True)):
            own = by_file[row["nih14_file"]]
            data = (arguments.images / row["file"]).read_bytes()
            found = [n.case.id for n in retriever.ask(data, Search(k=DEEP)).neighbours]
            own_ranks.append(found.index(own.id) + 1 if own.id in found else DEEP + 1)
            answer = retriever.ask(data, Search(k=K, exclude=(own.case_id,)))
            assert len(answer.neighbours) == K
            assert own.id not in [n.case.id for n in answer.neighbours]
            (out / f"{Path(row['file']).stem}.jpg").write_bytes(
                sheet(retriever.live, retriever.media, answer)
            )
            if set(own.findings) - {NO_FINDING}:
                shared.append(statistics.mean(shares(own, n.case) for n in answer.neighbours))
                others = [case for case in cases if case.id != own.id]
                chances.append(statistics.mean(shares(own, case) for case in others))
    retriever.close()
    first = sum(rank == 1 for rank in own_ranks)
    print(f"{len(rows)} images asked among {len(cases)} cases, {K} neighbours each")
    print(f"own case found first by {first}, worst rank {max(own_ranks)} (of {DEEP})")
    print(f"{len(shared)} images with a finding: {statistics.mean(shared):.3f} of the first {K} "
          f"share one; chance {statistics.mean(chances):.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
