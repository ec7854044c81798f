"""Ablation of the recipe `guided`: what each part adds, at equal time on the same device.

    python -m benchmarks.ablation nih14 nih14-more phantoms --patients nih nih phantoms \
        --soft-labels soft-labels.csv --seconds 15

Each variant lacks one part and trains from random weights for the same seconds (on a CPU: seconds
of all cores together, so that other work does not count), with the learning rate and the losses'
weights going by time. A fifth of the training patients is left out and measured on together with
the images of `val`: mean AUC of the findings; nearest five that share a finding over chance, among
images with one, never of the same patient; share of positive evidence in radiologists' boxes over
their share of the area. Intervals are of a bootstrap over patients. At 128 pixels and some seconds
the figures are low; what counts is how they differ.
"""

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score
from torch.optim import AdamW
from xemplar_trainer.box_supervision import BoxSupervision, box_supervision_of
from xemplar_trainer.crossfit import fold_of
from xemplar_trainer.data import TrainingImages, frontal_images
from xemplar_trainer.distributed import Distributed
from xemplar_trainer.epoch import Device, train_epoch
from xemplar_trainer.initialisation import prevalence, set_bias_to_prevalence
from xemplar_trainer.label_weights import label_weights, weights_as_drawn
from xemplar_trainer.losses import evidence_maps
from xemplar_trainer.mixup import mixer
from xemplar_trainer.recipes import recipe
from xemplar_trainer.resident import ResidentImages, batches_of, resident_images
from xemplar_trainer.sampling import EpochSampler
from xemplar_trainer.settings import TrainingSettings
from xemplar_trainer.soft_labels import Probabilities, read_soft_labels
from xemplar_trainer.student import Student, moving_average
from xemplar_trainer.teacher import open_teacher

from xemplar.data.boxes import box_file, read_boxes, rows_of
from xemplar.data.datasets import TRAIN, VAL, DatasetImage, open_dataset
from xemplar.data.splits import patient_key
from xemplar.model.densenet import Architecture
from xemplar.model.pytorch import DenseNetwork

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "whole recipe": {},
    "without distillation": {"teacher": ""},
    "without soft labels": {"soft_labels": "", "soft_label_weight": 0.0},
    "without mixup": {"mixup": 0.0},
    "without boxes": {"box_weight": 0.0},
    "without neighbours (PKT)": {"pkt_weight": 0.0},
    "without moving average": {"ema_decay": 0.0},
    "without erased margins": {"erasing_chance": 0.0},
}
PHASES = 100
"""Parts of the time, for losses whose weights go by epochs."""
NEAREST, RESAMPLES = 5, 200
TINY = Architecture(growth=4, blocks=(1, 1, 1, 1), stem=8)

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Data:
    """What all variants share, read once."""

    records: Sequence[DatasetImage]
    boxes: BoxSupervision
    soft_labels: Probabilities
    held_out: Sequence[DatasetImage]
    boxes_of_held_out: BoxSupervision
    resident: ResidentImages
    device: Device


def trained(
    settings: TrainingSettings, architecture: Architecture, data: Data, seconds: float
) -> tuple[DenseNetwork, int]:
    """Trains for some seconds, and returns the network and how many images it took."""
    torch.manual_seed(settings.seed)
    network, records = (
        DenseNetwork(architecture, len(settings.findings), settings.spec),
        data.records,
    )
    weights = weights_as_drawn(records, settings)
    set_bias_to_prevalence(
        network.classifier, records, settings.findings, settings.uncertain, weights
    )
    share = prevalence(records, settings.findings, settings.uncertain, weights)[0]
    teacher = open_teacher(settings.teacher, data.device.name) if settings.teacher else None
    student = Student(network, teacher, torch.from_numpy(share)).to(data.device.name)
    student.to(memory_format=torch.channels_last)
    average = moving_average(network, settings.ema_decay) if settings.ema_decay else None
    images = TrainingImages(
        records,
        settings,
        augmented=True,
        boxes=data.boxes if settings.box_weight else None,
        soft_labels=data.soft_labels if settings.soft_labels else None,
        label_weights=label_weights(records, settings),
    )
    sampler = EpochSampler(records, settings, Distributed())
    loader = batches_of(images, sampler, data.resident, drop_last=True)
    rate = settings.learning_rate
    optimizer = AdamW(student.parameters(), lr=rate, weight_decay=settings.weight_decay)
    clock = time.process_time if data.device.name == "cpu" else time.perf_counter
    steps, began = 0, clock()

    def spent() -> float:
        return min(1.0, (clock() - began) / seconds)

    def on_step() -> None:
        nonlocal steps
        steps += 1
        if average is not None:
            average.update_parameters(network)
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 + math.cos(math.pi * spent())) / 2

    while spent() < 1:
        sampler.epoch += 1
        phase = 1 + int(spent() * (PHASES - 1))
        mix = mixer(settings, sampler.epoch, rank=0)
        losses = settings.loss_weights_at(phase)
        train_epoch(student, loader, optimizer, data.device, losses, mix, on_step)
        if data.device.name != "cpu":
            torch.cuda.synchronize()
    kept = network if average is None else average.module
    return kept.eval(), steps * settings.batch_size  # type: ignore[return-value]


@torch.inference_mode()
def measured(
    network: DenseNetwork, settings: TrainingSettings, data: Data
) -> dict[str, tuple[float, float, float]]:
    """Measures a network on the images that were left out: figure -> (value, 2.5 %, 97.5 %)."""
    images = TrainingImages(data.held_out, settings, boxes=data.boxes_of_held_out)
    keys = [(settings.epochs, index) for index in range(len(data.held_out))]
    logits, pooled, target, concentration = [], [], [], list[Floats]()
    for batch in batches_of(images, keys, data.resident):
        with data.device.autocast():
            maps = network.levels(batch.image.to(data.device.name))[-1].float()
        features = maps.mean(dim=(2, 3))
        evidence = evidence_maps(network.classifier.weight, maps).clamp(min=0)
        inside = (evidence * batch.location).sum(dim=(2, 3)) / evidence.sum(dim=(2, 3))
        over = inside / batch.location.mean(dim=(2, 3))
        # a blank map is as good as chance
        over = torch.where(over.isfinite(), over, 1.0)
        boxed = batch.location_weight == 1
        concentration.append(torch.where(boxed, over, torch.nan).cpu().numpy())
        logits.append(network.classifier(features).cpu().numpy())
        pooled.append(features.cpu().numpy())
        target.append(batch.target.cpu().numpy() > 0.5)
    shown, scores, near = np.concatenate(target), np.concatenate(logits), np.concatenate(pooled)
    patients = np.unique([str(patient_key(r)) for r in data.held_out], return_inverse=True)[1]
    first = np.array([r.source == data.held_out[0].source for r in data.held_out])
    hits = neighbours(near, shown, np.where(first, patients, -1))
    maps_of = np.concatenate(concentration)

    def figures(rows: npt.NDArray[np.int64]) -> tuple[float, float, float]:
        found, wanted = scores[rows[first[rows]]], shown[rows[first[rows]]]
        usable = [k for k in range(wanted.shape[1]) if 2 <= wanted[:, k].sum() <= len(wanted) - 2]
        auc = float(np.mean([roc_auc_score(wanted[:, k], found[:, k]) for k in usable]))
        near = hits[rows[first[rows]]]
        return (
            auc,
            float(np.nanmean(near[:, 0]) / np.nanmean(near[:, 1])),
            float(np.nanmean(maps_of[rows])),
        )

    generator, groups = (
        np.random.default_rng(0),
        [np.flatnonzero(patients == p) for p in range(patients.max() + 1)],
    )
    drawn = np.array(
        [
            figures(
                np.concatenate(
                    [groups[p] for p in generator.integers(len(groups), size=len(groups))]
                )
            )
            for _ in range(RESAMPLES)
        ]
    )
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    names = ("mean AUC", "nearest five over chance", "evidence in boxes over area")
    point = figures(np.arange(len(shown)))
    return {n: (point[k], low[k], high[k]) for k, n in enumerate(names)}


def neighbours(
    features: Floats, shown: npt.NDArray[np.bool_], patients: npt.NDArray[np.int64]
) -> Floats:
    """Shares of the nearest five, and of all, that share a finding with an image, (N, 2).

    NaN for images without a finding. Images of patient -1 are nobody's neighbours.
    """
    unit = features - features.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    other = (patients[:, None] != patients) & (patients >= 0)
    cosine = np.where(other, unit @ unit.T, -np.inf)
    shares = (shown.astype(float) @ shown.T) > 0
    order = np.argsort(-cosine, axis=1)[:, :NEAREST]
    near = np.take_along_axis(shares, order, axis=1).mean(axis=1)
    chance = (shares & other).sum(axis=1) / other.sum(axis=1)
    ill = shown.any(axis=1)
    return np.where(ill[:, None], np.stack([near, chance], axis=1), np.nan)


def main() -> None:
    """Trains and measures all variants, and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--patients", nargs="*", help="identity domain of each data set")
    parser.add_argument("--soft-labels", required=True)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--out", type=Path, help="JSON file of all figures, written as they come")
    parser.add_argument("--most", type=int, help="most images of each data set")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tiny", action="store_true", help="a tiny network, to see that it works")
    given = parser.parse_args()
    domains = given.patients or [None] * len(given.data)
    sets = [
        open_dataset(folder, folder.name, patients=domain)
        for folder, domain in zip(given.data, domains, strict=True)
    ]
    settings = recipe(
        "guided", size=128, small_epochs=0, epochs=PHASES, warmup_epochs=35,
        images_per_epoch=4 * given.batch_size, batch_size=given.batch_size, crossfit=0,
        soft_labels=given.soft_labels, projection=0, ema_decay=0.99, workers=given.workers,
        resident="yes", gamma=0.2, noise=0.02,
    )  # fmt: skip
    splits = frontal_images(sets, settings)
    ours = [r for r in splits[TRAIN] if fold_of(r, 0) or r.source == sets[-1].name != sets[0].name]
    held = [r for r in splits[TRAIN] if not fold_of(r, 0)]
    left_out = [r for r in (*held, *splits[VAL]) if r.source == sets[0].name]
    others = [r for r in held if r.source == sets[1].name]
    drawn = box_file(sets[1].root)
    if drawn is not None:
        rows = {row for row in rows_of(read_boxes(drawn), others) if row is not None}
        left_out += [others[row] for row in sorted(rows)]
    if given.most:
        ours = [r for d in sets for r in [r for r in ours if r.source == d.name][: given.most]]
    device = Device.choose(settings, Distributed())
    console = Console(width=150)
    resident = resident_images(ours + left_out, settings, device.name, Distributed(), console)
    assert resident is not None
    data = Data(
        ours,
        box_supervision_of(sets, ours, settings.findings),
        read_soft_labels(Path(given.soft_labels), ours, settings.findings, settings, console),
        left_out,
        box_supervision_of(sets, left_out, settings.findings),
        resident,
        device,
    )
    patients = len({patient_key(r) for r in left_out})
    console.print(
        f"{len(ours):,} training images; {len(left_out):,} images of {patients:,} patients to "
        f"measure on; {device}; {given.seconds:g} s each at {settings.size} pixels"
    )
    found: dict[str, Any] = {}
    # the first variant warms the device up, and trains once more afterwards
    architecture = TINY if given.tiny else Architecture()
    trained(settings, architecture, data, given.seconds / 4)
    for name, changed in VARIANTS.items():
        changes = dict(changed)
        augmentation = settings.augmentation
        if "erasing_chance" in changes:
            augmentation = replace(augmentation, erasing_chance=changes.pop("erasing_chance"))
        variant = replace(settings, augmentation=augmentation, **changes)
        network, images = trained(variant, architecture, data, given.seconds)
        found[name] = {"images": images, **measured(network, variant, data)}
        console.print(name, found[name])
        if given.out:
            given.out.write_text(json.dumps(found, indent=2))
    table = Table("variant", "images", *[n for n in found["whole recipe"] if n != "images"])
    for name, figures in found.items():
        cells = [
            f"{v[0]:.3f} ({v[1]:.3f} to {v[2]:.3f})" for k, v in figures.items() if k != "images"
        ]
        table.add_row(name, f"{figures['images']:,}", *cells)
    console.print(table)


if __name__ == "__main__":
    main()
