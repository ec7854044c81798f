"""Speed of the whole trainer against that of its network alone, on the device at hand.

    python -m benchmarks.training
    python -m benchmarks.training --tiny

The network alone takes steps (forward, backward, AdamW) on one batch that stays on the device. The
trainer is `xemplar_trainer.run.train` on files: its epochs, timed by itself, with augmentation,
mixup, moving average, losses and validation; decoding, once at the start, is told apart. The first
epoch at each size warms up and does not count. Images are phantoms, of which each is linked under
many names. Both sides run at 128 and 224 pixels, the network before and after the trainer. A few
minutes at most; `--tiny` is a network and images for a processor, to see that it works.
"""

import argparse
import csv
import io
import os
import platform
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from rich.console import Console
from torch.optim import AdamW
from xemplar_trainer.distributed import Distributed
from xemplar_trainer.epoch import Device
from xemplar_trainer.losses import masked_bce
from xemplar_trainer.recipes import recipe
from xemplar_trainer.run import train
from xemplar_trainer.settings import TrainingSettings

from xemplar.data.datasets import Dataset, DatasetImage
from xemplar.model.densenet import Architecture
from xemplar.model.pytorch import DenseNetwork
from xemplar.phantom import FINDINGS, phantom, write_phantoms

TINY = Architecture(growth=4, blocks=(1, 1, 1, 1), stem=8)


def images_of(folder: Path, people: int, images: int) -> Dataset:
    """Writes phantoms, each under many names; 64 of them validate."""
    write_phantoms(folder / "people", people)
    shown = [{one.finding for one in phantom(n, size=64).findings} for n in range(people)]
    records = []
    for number in range(images + 64):
        person = number % people
        path = folder / f"{number}.png"
        os.link(folder / "people" / "images" / f"phantom-{person:06d}.png", path)
        labels = {finding: int(finding in shown[person]) for finding in FINDINGS}
        split = "train" if number < images else "val"
        records.append(
            DatasetImage(
                path, "phantoms", patient=str(number), labels=labels, view="PA", split=split
            )
        )
    return Dataset("phantoms", folder, tuple(records), tuple(FINDINGS), "")


def network_alone(
    settings: TrainingSettings, architecture: Architecture, size: int, seconds: float
) -> float:
    """Measures images/s of steps on one batch that stays on the device."""
    device = Device.choose(settings, Distributed())
    network = DenseNetwork(architecture, len(settings.findings), settings.spec)
    network.to(device.name).to(memory_format=torch.channels_last).train()
    optimizer = AdamW(network.parameters(), lr=settings.learning_rate)
    images = torch.rand(settings.batch_size, size, size, device=device.name)
    target = torch.randint(2, (len(images), len(settings.findings)), device=device.name).float()
    known = torch.ones_like(target)

    def steps(least: float) -> float:
        """Takes steps for some seconds, and returns images/s."""
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < least or count < 2:
            for _ in range(5):
                with device.autocast():
                    logits = network(images)
                optimizer.zero_grad(set_to_none=True)
                masked_bce(logits.float(), target, known).backward()
                optimizer.step()
            if device.name != "cpu":
                torch.cuda.synchronize()
            count += 5
        return count * len(images) / (time.perf_counter() - began)

    steps(seconds / 2)  # to warm up
    return steps(seconds)


def trainer(
    settings: TrainingSettings, architecture: Architecture, data: Dataset, out: Path
) -> list[float]:
    """Trains, and returns the seconds of each epoch."""
    text = io.StringIO()
    began = time.perf_counter()
    train(settings, [data], out, architecture=architecture, console=Console(file=text))
    spent = time.perf_counter() - began
    print(next((line for line in text.getvalue().splitlines() if "decoded" in line), "from files"))
    with (out / "epochs.csv").open(newline="") as file:
        epochs = [float(row["seconds"]) for row in csv.DictReader(file)]
    print(f"all of the training {spent:.1f} s, of which its epochs {sum(epochs):.1f} s")
    return epochs


def main() -> None:
    """Measure both, and print images/s and their ratio at each size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="a tiny network, few images")
    parser.add_argument("--images", type=int, default=8192, help="training images of an epoch")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=3, help="at each size, one to warm up")
    parser.add_argument("--seconds", type=float, default=4, help="of the network alone")
    parser.add_argument("--resident", default="yes", choices=["yes", "no"])
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    chosen = parser.parse_args()
    architecture = TINY if chosen.tiny else Architecture()
    images, batch = (128, 16) if chosen.tiny else (chosen.images, chosen.batch_size)
    settings = recipe(
        "guided", findings=tuple(FINDINGS), teacher="", crossfit=0, soft_label_weight=0.0,
        box_weight=0.0, warmup_epochs=0, projection=0, images_per_epoch=0, batch_size=batch,
        small_epochs=chosen.epochs, epochs=2 * chosen.epochs, resident=chosen.resident,
        workers=chosen.workers,
    )  # fmt: skip
    device = Device.choose(settings, Distributed())
    name = platform.machine() if device.name == "cpu" else torch.cuda.get_device_name(device.name)
    print(f"{name}; {device}; batches of {batch}; {chosen.workers} workers")
    sizes = (settings.small_size, settings.size)
    alone = {size: [network_alone(settings, architecture, size, chosen.seconds)] for size in sizes}
    with TemporaryDirectory(prefix="xemplar-training-") as folder:
        data = images_of(Path(folder), 16 if chosen.tiny else 64, images)
        epochs = trainer(settings, architecture, data, Path(folder) / "out")
    for number, size in enumerate(sizes):
        alone[size].append(network_alone(settings, architecture, size, chosen.seconds))
        counted = epochs[number * chosen.epochs + 1 : (number + 1) * chosen.epochs]
        whole, usual = images / statistics.median(counted), statistics.mean(alone[size])
        before, after = alone[size]
        print(
            f"{size} pixels: trainer {whole:,.0f} images/s, network alone {usual:,.0f} "
            f"({before:,.0f} before, {after:,.0f} after); ratio {whole / usual:.2f}"
        )


if __name__ == "__main__":
    main()
