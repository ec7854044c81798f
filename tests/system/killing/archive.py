"""A client that remembers what was acknowledged, and knows what every answer must therefore be."""

from collections.abc import Sequence
from random import Random
from typing import Any

import httpx2
import numpy as np
import numpy.typing as npt

from tests.system.killing.outcome import Outcome
from xemplar.catalog import case_id_of
from xemplar.imaging import decode
from xemplar.imaging.preprocess import PreprocessSpec, preprocess
from xemplar.model.checkpoint import Checkpoint
from xemplar.model.encoder import Precision, open_encoder

K = 10
NEAR = 1e-5
"""Between two computations of one cosine, of which one encodes the films together."""

TIMEOUT = 60.0


class Truth:
    """Films, which of them are in the archive, and exact search over these.

    Attributes:
        films: files.
        names: their case ids.
        present: places of those that are in the archive.
    """

    def __init__(self, films: Sequence[bytes], present: int, spec: PreprocessSpec) -> None:
        """Take all films that will be used; the first ``present`` of them are indexed."""
        decoded = [decode(film) for film in films]
        self.films = films
        self.names = [case_id_of(film.sha256) for film in decoded]
        self.present = set(range(present))
        self._inputs = np.stack([preprocess(film, spec) for film in decoded])
        self._vectors: dict[str, npt.NDArray[np.float32]] = {}

    def learn(self, checkpoint: Checkpoint) -> None:
        """Embed all films with a checkpoint that will answer."""
        encoder = open_encoder(checkpoint, precision=Precision.FLOAT32, threads=1)
        parts = [encoder.encode(self._inputs[n : n + 32]) for n in range(0, len(self.films), 32)]
        self._vectors[checkpoint.digest] = np.concatenate([part.embedding for part in parts])

    def fault(self, film: int, answer: dict[str, Any]) -> str:
        """What is wrong with an answer to a film, against exact search; empty if it is right."""
        vectors = self._vectors[answer["checkpoint"]]
        exact = vectors.astype(np.float64) @ vectors[film]
        best = sorted((exact[place] for place in self.present), reverse=True)[:K]
        places = [self.names.index(near["case_id"]) for near in answer["neighbours"]]
        told = [near["similarity"] for near in answer["neighbours"]]
        if not set(places) <= self.present:
            return f"it names cases that are gone: {sorted(set(places) - self.present)}"
        if len(told) != len(best) or len(set(places)) != len(places):
            return f"it names {len(set(places))} cases, not {len(best)}"
        if not np.allclose(told, best, rtol=0, atol=NEAR):
            return f"its similarities are {told}, not {best}"
        if not np.allclose(told, exact[places], rtol=0, atol=NEAR):
            return f"its similarities are {told}, these cases' are {exact[places].tolist()}"
        return ""


class Archivist:
    """Puts films in and takes them out over HTTP, and looks at each answer. One thread's own.

    A request that the death of the service cuts off raises `httpx2.TransportError`; `settle` asks
    then what became of it.
    """

    def __init__(self, url: str, truth: Truth, outcome: Outcome) -> None:
        self._http = httpx2.Client(base_url=url, timeout=TIMEOUT)
        self._truth = truth
        self._outcome = outcome
        self._open: int | None = None
        self.doing = "reading"

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def put(self, film: int) -> None:
        """``POST /cases``."""
        self._open, self.doing = film, "POST /cases"
        form = {"image": self._truth.films[film]}
        got = self._http.post("/cases", data={"source": "checks"}, files=form)
        if self._outcome.check("puts acknowledged", got.is_success, _said(got)):
            self._truth.present.add(film)
        self._open, self.doing = None, "reading"

    def remove(self, film: int) -> None:
        """``DELETE /cases/{id}``."""
        self._open, self.doing = film, "DELETE /cases"
        got = self._http.delete(f"/cases/{self._truth.names[film]}")
        if self._outcome.check("removals acknowledged", got.is_success, _said(got)):
            self._truth.present.discard(film)
        self._open, self.doing = None, "reading"

    def change(self, film: int) -> None:
        """Put it in or take it out, whichever can be done, and look whether that is seen."""
        if film in self._truth.present:
            self.remove(film)
        else:
            self.put(film)
        self.look(film)

    def settle(self) -> None:
        """Find out whether the request that was cut off was carried out: by the whole or not."""
        film, self._open, self.doing = self._open, None, "reading"
        if film is None:
            return
        there = self._http.get(f"/cases/{self._truth.names[film]}").is_success
        (self._truth.present.add if there else self._truth.present.discard)(film)
        self._outcome.checked["requests cut off, then whole or not at all"] += 1
        self.look(film)

    def look(self, film: int) -> None:
        """A case that is there is got with its picture and found first; one that is gone is not."""
        name, there = self._truth.names[film], film in self._truth.present
        for address in (f"/cases/{name}", f"/cases/{name}/image"):
            got = self._http.get(address)
            wanted = httpx2.codes.OK if there else httpx2.codes.NOT_FOUND
            self._outcome.check(
                "cases got, or gone", got.status_code == wanted, f"not {wanted}: {_said(got)}"
            )
        answer = self._answer(film)
        if answer is not None:
            found = [near["case_id"] for near in answer["neighbours"]]
            right = found[:1] == [name] if there else name not in found
            where = "first" if there else "not"
            self._outcome.check(
                "own picture found first, or not", right, f"{name} must be {where} in {found}"
            )

    def ask(self, film: int) -> None:
        """``POST /query``, compared with exact search; while nobody else changes anything."""
        answer = self._answer(film)
        if answer is not None:
            fault = self._truth.fault(film, answer)
            self._outcome.check("answers equal to exact search", not fault, fault)

    def ask_some(self, random: Random, count: int) -> None:
        """`ask`, with films drawn from all, whether they are there or not."""
        for film in random.choices(range(len(self._truth.films)), k=count):
            self.ask(film)

    def _answer(self, film: int) -> dict[str, Any] | None:
        image = {"image": self._truth.films[film]}
        got = self._http.post("/query", params={"k": K}, files=image)
        if not self._outcome.check("queries answered", got.is_success, _said(got)):
            return None
        answer: dict[str, Any] = got.json()
        return answer


def _said(response: httpx2.Response) -> str:
    return f"{response.request.method} {response.request.url.path} {response.status_code} " + (
        "" if response.is_success else response.text[:300]
    )
