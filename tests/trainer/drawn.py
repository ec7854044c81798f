"""A drawn data set whose labels can be seen, and a recipe that learns them within seconds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from xemplar_trainer.settings import Augmentation, TrainingSettings

from tests.images import drawn_image, encoded
from xemplar.data.datasets import Dataset, open_dataset
from xemplar.model.densenet import Architecture

TINY = Architecture(growth=4, blocks=(1, 1, 1, 1), stem=8)
FINDINGS = ("Mass", "Effusion")

RECIPE = TrainingSettings(
    findings=FINDINGS,
    size=64,
    initial="none",
    epochs=3,
    batch_size=8,
    learning_rate=1e-2,
    precision="float32",
    device="cpu",
    workers=0,
    threads=1,
    augmentation=replace(Augmentation(), crop=0.9, elastic_chance=0.1),
)


def drawn_set(folder: Path, *, train: int = 48, val: int = 24) -> Dataset:
    """Images with a white block in the middle (Mass), a white floor (Effusion), both or none."""
    (folder / "images").mkdir(parents=True)
    rows = ["file,patient_id,view,findings,split"]
    for number in range(train + val):
        pixels = (drawn_image(number, 64, 64) // 3).copy()
        present = [f for bit, f in enumerate(FINDINGS) if number >> bit & 1]
        if "Mass" in present:
            pixels[20:40, 20:44] = 250
        if "Effusion" in present:
            pixels[52:] = 250
        name = f"images/{number}.png"
        (folder / name).write_bytes(encoded(np.ascontiguousarray(pixels)))
        split = "train" if number < train else "val"
        rows.append(f"{name},P{number},PA,{'|'.join(present) or 'No Finding'},{split}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return open_dataset(folder, "drawn")
