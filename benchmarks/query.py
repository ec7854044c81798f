"""Latency of a query against the straightforward pipeline, in one run.

The straightforward pipeline is what one would write first: Pillow decodes and resizes, PyTorch
runs eagerly in float32, FAISS's flat index searches, pytorch-grad-cam explains the query and its
five neighbours one after the other, Pillow writes the overlays. The service answers the same
images over HTTP with ``include=overlays``: both yield six JPEG overlays of one finding.

    xemplar index images --store xemplar-store
    python -m benchmarks.query --store xemplar-store --images images

Needs `pip install 'xemplar[explain]' httpx2`. Times are taken in turns, image by image.
"""

import argparse
import io
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import httpx2
import numpy as np
import torch
from PIL import Image
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.image import show_cam_on_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from rich.console import Console
from rich.progress import track

from xemplar.archive.media import Media
from xemplar.archive.store import Store
from xemplar.catalog import open_catalog
from xemplar.data.datasets import open_dataset
from xemplar.model.checkpoint import default_checkpoint, load
from xemplar.model.densenet import EmbeddingHead
from xemplar.model.pytorch import DenseNetwork, load_weights

K = 5
PORT = 8765


class Straightforward:
    """The pipeline that one would write first."""

    def __init__(self, store: Store, checkpoint: Path) -> None:
        loaded = load(checkpoint)
        card = loaded.card
        self.size, self.mean, self.std = card.spec.size, card.spec.mean, card.spec.std
        network = DenseNetwork(card.architecture, len(card.findings), card.spec)
        load_weights(network, loaded.weights)
        self.network = network.dense.eval()
        self.head = EmbeddingHead.of(loaded.weights)
        self.cam = GradCAM(model=self.network, target_layers=[self.network.features[-1]])
        catalog = open_catalog(store.database_url)
        vectors = np.concatenate([batch.vectors for batch in catalog.vectors(loaded.digest)])
        ids = catalog.embedded_ids(loaded.digest).tolist()  # in the order of the vectors
        found = catalog.cases(ids)
        self.index = faiss.IndexFlatIP(vectors.shape[1])
        self.index.add(vectors)
        self.cases = [found[number] for number in ids]
        self.media = Media(store.media)

    def tensor(self, image: Image.Image) -> torch.Tensor:
        """Pillow picture -> normalised (1, 3, size, size)."""
        grey = image.convert("L").resize((self.size, self.size), Image.Resampling.BILINEAR)
        pixels = np.repeat(np.asarray(grey, np.float32)[..., None] / 255, 3, axis=2)
        normalised = (pixels - np.float32(self.mean)) / np.float32(self.std)
        return torch.from_numpy(normalised.transpose(2, 0, 1)[None].copy())

    def overlay(self, image: Image.Image, finding: int) -> bytes:
        """Grad-CAM of one image, laid over it, as JPEG."""
        heat = self.cam(self.tensor(image), [ClassifierOutputTarget(finding)])[0]
        radiograph = np.asarray(image.convert("RGB").resize((512, 512)), np.float32) / 255
        heat = np.asarray(Image.fromarray(heat).resize((512, 512)))
        file = io.BytesIO()
        Image.fromarray(show_cam_on_image(radiograph, heat, use_rgb=True)).save(
            file, "JPEG", quality=90
        )
        return file.getvalue()

    def answer(self, data: bytes) -> tuple[list[str], list[bytes]]:
        """(case ids in rank order, overlays)."""
        image = Image.open(io.BytesIO(data))
        with torch.no_grad():
            maps = torch.relu(self.network.features(self.tensor(image)))
            pooled = maps.mean(dim=(2, 3))
            finding = int(self.network.classifier(pooled)[0].argmax())
        centred = self.head.project(pooled.numpy() - self.head.mean.mean(axis=(1, 2)))
        embedding = (centred / np.linalg.norm(centred)).astype(np.float32)
        _, places = self.index.search(embedding, K)
        near = [self.cases[int(place)] for place in places[0]]
        images = [Image.open(io.BytesIO(self.media.display_bytes(c.image_sha256))) for c in near]
        overlays = [self.overlay(radiograph, finding) for radiograph in (image, *images)]
        return [case.case_id for case in near], overlays


def served(client: httpx2.Client, data: bytes, floors: list[float]) -> tuple[list[str], list[str]]:
    """The service's (case ids in rank order, overlays as data URIs); adds to ``floors``."""
    response = client.post("/query?include=overlays", files={"image": data})
    answer = response.raise_for_status().json()
    near, stages = answer["neighbours"], answer["timings_ms"]
    floors.append(stages["decode"] + stages["encode"])
    return [n["case_id"] for n in near], [answer["overlay"], *(n["overlay"] for n in near)]


def timed(task: Callable[[], tuple[list[str], list[bytes] | list[str]]]) -> tuple[float, list[str]]:
    """(milliseconds, case ids)."""
    began = time.perf_counter()
    cases, overlays = task()
    assert len(overlays) == K + 1
    return (time.perf_counter() - began) * 1000, cases


def main() -> None:
    """Time both on every image, and print medians and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="data set or folder to ask with")
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint())
    parser.add_argument("--limit", type=int, default=40)
    arguments = parser.parse_args()
    images = [f.path.read_bytes() for f in open_dataset(arguments.images).images[: arguments.limit]]
    command = ["serve", "--store", arguments.store, "--checkpoint", arguments.checkpoint]
    service = subprocess.Popen(
        [sys.executable, "-m", "xemplar", *map(str, command), "--port", str(PORT)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        figures = compare(Straightforward(Store(arguments.store), arguments.checkpoint), images)
    finally:
        service.terminate()
        service.wait(30)
    report(*figures)


def compare(
    straightforward: Straightforward, images: list[bytes]
) -> tuple[list[float], list[float], list[float], list[float]]:
    """Compare both on each image, after one warm-up each.

    Returns:
        Per image: milliseconds of the service; of decoding and network alone in the same request;
        of the straightforward pipeline; share of common cases.
    """
    ours, floors, theirs, shared = list[float](), list[float](), list[float](), list[float]()
    with httpx2.Client(base_url=f"http://127.0.0.1:{PORT}", timeout=60) as client:
        while True:
            try:
                client.get("/readyz").raise_for_status()
                break
            except httpx2.HTTPError:  # not there yet, or not ready
                time.sleep(0.2)
        served(client, images[0], [])
        straightforward.answer(images[0])
        for data in track(images, "asking both", console=Console(stderr=True)):
            own, cases = timed(lambda data=data: served(client, data, floors))
            other, other_cases = timed(lambda data=data: straightforward.answer(data))
            ours.append(own)
            theirs.append(other)
            shared.append(len(set(cases) & set(other_cases)) / K)
    return ours, floors, theirs, shared


def report(
    ours: list[float], floors: list[float], theirs: list[float], shared: list[float]
) -> None:
    """Print the figures."""
    ratios = [their / own for own, their in zip(ours, theirs, strict=True)]
    above = [own / floor for own, floor in zip(ours, floors, strict=True)]
    print(f"machine                 {platform.processor() or platform.machine()}, "
          f"{torch.get_num_threads()} threads; torch {torch.__version__}")  # fmt: skip
    print(f"images                   {len(ours)}; {K} neighbours, {K + 1} overlays each")
    sides = {"service": ours, "its decoding and network": floors, "straightforward": theirs}
    for name, times in sides.items():
        worst = np.percentile(times, 95)
        print(f"{name:25} median {statistics.median(times):7.1f} ms   p95 {worst:7.1f} ms")
    print(f"ratio, image by image     median {statistics.median(ratios):.1f}   "
          f"min {min(ratios):.1f}   max {max(ratios):.1f}")  # fmt: skip
    print(f"over decoding and network median {statistics.median(above):.2f}")
    print(f"same neighbours         {statistics.mean(shared):.0%} of the first {K}")


if __name__ == "__main__":
    main()
