"""A reference model of the service, and a client that checks every answer against it."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import numpy as np
import numpy.typing as npt

from tests.system.common import phantom_store, phantoms, save_tiny_checkpoint
from tests.system.killing.outcome import KillOutcome
from xemplar.archive.store import Store
from xemplar.catalog import case_id_of
from xemplar.imaging import decode
from xemplar.imaging.preprocess import PreprocessSpec, preprocess
from xemplar.model.checkpoint import Checkpoint, load
from xemplar.model.encoder import Precision, open_encoder

K = 10
NEAR = 1e-5
"""Tolerance between a cosine from a batch and one from a single image."""

TIMEOUT = 60.0


class ReferenceModel:
    """All test images, those present in the archive, and exact search over them.

    Attributes:
        images: files.
        names: their case ids.
        present: positions of the images in the archive.
    """

    def __init__(self, images: Sequence[bytes], present: int, spec: PreprocessSpec) -> None:
        """Decode all images; the first ``present`` of them are indexed."""
        decoded = [decode(radiograph) for radiograph in images]
        self.images = images
        self.names = [case_id_of(radiograph.sha256) for radiograph in decoded]
        self.present = set(range(present))
        self._inputs = np.stack([preprocess(radiograph, spec) for radiograph in decoded])
        self._vectors: dict[str, npt.NDArray[np.float32]] = {}

    def add_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Embed all images with a checkpoint that the service will use."""
        encoder = open_encoder(checkpoint, precision=Precision.FLOAT32, threads=1)
        parts = [encoder.encode(self._inputs[n : n + 32]) for n in range(0, len(self.images), 32)]
        self._vectors[checkpoint.digest] = np.concatenate([part.embedding for part in parts])

    def fault(self, radiograph: int, answer: dict[str, Any]) -> str:
        """Compare an answer with exact search; return the fault, or ""."""
        vectors = self._vectors[answer["checkpoint"]]
        exact = vectors.astype(np.float64) @ vectors[radiograph]
        best = sorted((exact[position] for position in self.present), reverse=True)[:K]
        positions = [self.names.index(near["case_id"]) for near in answer["neighbours"]]
        told = [near["similarity"] for near in answer["neighbours"]]
        if not set(positions) <= self.present:
            return f"it names cases that are gone: {sorted(set(positions) - self.present)}"
        if len(told) != len(best) or len(set(positions)) != len(positions):
            return f"it names {len(set(positions))} cases, not {len(best)}"
        if not np.allclose(told, best, rtol=0, atol=NEAR):
            return f"its similarities are {told}, not {best}"
        if not np.allclose(told, exact[positions], rtol=0, atol=NEAR):
            return f"its similarities are {told}, these cases' are {exact[positions].tolist()}"
        return ""


def phantom_model(folder: Path, images: int) -> tuple[Store, Path, ReferenceModel]:
    """Index phantoms with a tiny network, and model the service that will answer from them.

    Args:
        folder: empty working folder.
        images: number indexed; the model knows half as many others, to upload and delete.

    Returns:
        The store, its checkpoint's file, and the model.
    """
    checkpoint = save_tiny_checkpoint(folder / "checkpoint.safetensors")
    store, indexed = phantom_store(folder, checkpoint, images)
    loaded = load(checkpoint)
    model = ReferenceModel([*indexed, *phantoms(10_000, images // 2)], images, loaded.card.spec)
    model.add_checkpoint(loaded)
    return store, checkpoint, model


class ReferenceClient:
    """Uploads and deletes images over HTTP and checks each answer. Not shared between threads.

    A request interrupted by a kill raises `httpx2.TransportError`; `settle` then finds out whether
    it was carried out.
    """

    def __init__(self, url: str, model: ReferenceModel, outcome: KillOutcome) -> None:
        self._http = httpx2.Client(base_url=url, timeout=TIMEOUT)
        self._model = model
        self._outcome = outcome
        self._open: int | None = None
        self.doing = "reading"

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def put(self, radiograph: int) -> None:
        """Upload an image (``POST /cases``)."""
        self._open, self.doing = radiograph, "POST /cases"
        form = {"image": self._model.images[radiograph]}
        got = self._http.post("/cases", data={"source": "checks"}, files=form)
        if self._outcome.check("puts acknowledged", got.is_success, _said(got)):
            self._model.present.add(radiograph)
        self._open, self.doing = None, "reading"

    def remove(self, radiograph: int) -> None:
        """Delete an image's case (``DELETE /cases/{id}``)."""
        self._open, self.doing = radiograph, "DELETE /cases"
        got = self._http.delete(f"/cases/{self._model.names[radiograph]}")
        if self._outcome.check("removals acknowledged", got.is_success, _said(got)):
            self._model.present.discard(radiograph)
        self._open, self.doing = None, "reading"

    def change(self, radiograph: int) -> None:
        """Upload or delete an image, depending on its state, and check the effect."""
        if radiograph in self._model.present:
            self.remove(radiograph)
        else:
            self.put(radiograph)
        self.look(radiograph)

    def settle(self) -> None:
        """Find out whether the interrupted request was carried out, and update the model."""
        radiograph, self._open, self.doing = self._open, None, "reading"
        if radiograph is None:
            return
        there = self._http.get(f"/cases/{self._model.names[radiograph]}").is_success
        (self._model.present.add if there else self._model.present.discard)(radiograph)
        self._outcome.checked["interrupted requests, settled"] += 1
        self.look(radiograph)

    def look(self, radiograph: int) -> None:
        """Check that a present case is served and found first, and an absent one is not."""
        name, there = self._model.names[radiograph], radiograph in self._model.present
        for address in (f"/cases/{name}", f"/cases/{name}/image"):
            got = self._http.get(address)
            wanted = httpx2.codes.OK if there else httpx2.codes.NOT_FOUND
            self._outcome.check(
                "cases got, or gone", got.status_code == wanted, f"not {wanted}: {_said(got)}"
            )
        answer = self._answer(radiograph)
        if answer is not None:
            found = [near["case_id"] for near in answer["neighbours"]]
            right = found[:1] == [name] if there else name not in found
            where = "first" if there else "not"
            self._outcome.check(
                "own picture found first, or not", right, f"{name} must be {where} in {found}"
            )

    def ask(self, radiograph: int) -> None:
        """Query, and compare with exact search; requires that no other client changes cases."""
        answer = self._answer(radiograph)
        if answer is not None:
            fault = self._model.fault(radiograph, answer)
            self._outcome.check("answers equal to exact search", not fault, fault)

    def ask_some(self, random: Random, count: int) -> None:
        """Call `ask` with random images, present or not."""
        for radiograph in random.choices(range(len(self._model.images)), k=count):
            self.ask(radiograph)

    def _answer(self, radiograph: int) -> dict[str, Any] | None:
        image = {"image": self._model.images[radiograph]}
        got = self._http.post("/query", params={"k": K}, files=image)
        if not self._outcome.check("queries answered", got.is_success, _said(got)):
            return None
        answer: dict[str, Any] = got.json()
        return answer


def _said(response: httpx2.Response) -> str:
    return f"{response.request.method} {response.request.url.path} {response.status_code} " + (
        "" if response.is_success else response.text[:300]
    )
