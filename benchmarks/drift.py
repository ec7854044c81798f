"""False alarms and detection of `xemplar watch`, on films of two hospitals.

Half of one data set's patients are the reference. Windows of so many films are drawn from its other
half (no drift), from another data set (another hospital), and of one view alone (no drift within a
view). For each: the share that alarms, and the AUC by which the distance of means tells drifted
windows from others. Views are compared apart, and once more together, as without stratification.

    xemplar index nih14 kermany --store archive
    python -m benchmarks.drift --store archive --reference nih14 --other kermany
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score
from xemplar_evaluator.readers.power import SimulatedShare
from xemplar_indexer.watch.arrivals import images_of
from xemplar_indexer.watch.drift import ALARM, Images, distance_of_means

from xemplar.archive.media import Media
from xemplar.archive.store import Store
from xemplar.catalog import open_catalog
from xemplar.index import current, open_generation
from xemplar.model.checkpoint import default_checkpoint, load


def read(store: Store, sources: list[str]) -> tuple[list[Images], list[np.ndarray]]:
    """Read each source's images, and their patients' numbers."""
    checkpoint = load(default_checkpoint())
    media = Media(store.media)
    with open_catalog(store.database_url) as catalog:
        generation = open_generation(store, checkpoint, current(store), catalog)
        cases = list(catalog.cases(generation.ids).values())
        images, patients = [], []
        for source in sources:
            some = [case for case in cases if case.source == source]
            vectors = [generation.vector(case.id) for case in some]
            images.append(images_of(some, vectors, media, checkpoint.card.spec))
            names = [case.patient or case.case_id for case in some]
            patients.append(np.unique(names, return_inverse=True)[1])
    return images, patients


def one_each(images: Images, patients: np.ndarray, draw: np.random.Generator) -> Images:
    """One image of each patient in each view, drawn."""
    order = draw.permutation(len(images))
    keys = np.array([f"{patients[n]} {images.views[n]}" for n in order])
    return images.among(order[np.unique(keys, return_index=True)[1]])


def windows(images: Images, size: int, count: int, draw: np.random.Generator) -> list[Images]:
    """Draw windows."""
    return [images.among(draw.choice(len(images), size, replace=False)) for _ in range(count)]


def judged(
    reference: Images, some: list[Images], draw: np.random.Generator
) -> tuple[list[float], SimulatedShare]:
    """Distances of windows in units of the threshold, and the share that alarms."""
    size = len(some[0])
    _, others = distance_of_means(reference, some[0], draw, 999)
    threshold = float(np.quantile(others, 1 - ALARM))
    mean = reference.vectors.astype(np.float64).mean(axis=0)
    found = [
        float(np.linalg.norm(one.vectors.astype(np.float64).mean(axis=0) - mean)) / threshold
        for one in some
    ]
    assert all(len(one) == size for one in some)
    return found, SimulatedShare.of(sum(one > 1 for one in found), len(found))


def main() -> None:
    """Draw, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--reference", required=True, help="data set of the reference")
    parser.add_argument("--other", required=True, help="data set of another hospital")
    parser.add_argument("--films", type=int, nargs="+", default=[10, 20, 50])
    parser.add_argument("--windows", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    began, draw = time.process_time(), np.random.default_rng(arguments.seed)
    (own, other), (patients, other_patients) = read(
        Store(arguments.store), [arguments.reference, arguments.other]
    )
    print(f"read in {time.process_time() - began:.0f} s of a processor")
    half = draw.random(patients.max() + 1) < 0.5
    reference = one_each(own.among(half[patients]), patients[half[patients]], draw)
    same = one_each(own.among(~half[patients]), patients[~half[patients]], draw)
    elsewhere = one_each(other, other_patients, draw)
    print(
        f"reference: {len(reference):,} films of {arguments.reference}; windows: {len(same):,} "
        f"others of it, {len(elsewhere):,} of {arguments.other}; {arguments.windows} of each kind"
    )

    def view(name: str) -> Callable[[Images], Images]:
        return lambda images: images.among(images.views == name)

    for size in arguments.films:
        for name, part in (("AP", view("AP")), ("PA", view("PA")), ("all views", lambda one: one)):
            before, now = part(reference), part(same)
            unchanged = windows(now, size, arguments.windows, draw)
            quiet, false_alarms = judged(before, unchanged, draw)
            line = f"{size:3} films, {name:9}: false alarms {false_alarms}"
            drifted = part(elsewhere)
            if len(drifted) >= size:
                far, found = judged(before, windows(drifted, size, arguments.windows, draw), draw)
                area = roc_auc_score([0] * len(quiet) + [1] * len(far), quiet + far)
                line += f"; {arguments.other}: found {found}, AUC {area:.3f}"
            if name == "all views":
                for only in ("PA", "AP"):
                    some = windows(view(only)(same), size, arguments.windows, draw)
                    line += f"; {only} alone alarms {judged(before, some, draw)[1]}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
