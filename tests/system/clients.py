"""Clients that ask a running service all kinds of questions, change its cases, and judge answers.

Each of them sends the next request when the last one is answered. What became of a request
is a `Sample`; whether that may be a 503, each check decides for itself.

A client deletes only cases that it put in itself, and nobody else names them. So right answers are
known at any time, whatever the others do: an indexed image finds itself, a deleted case is in no
answer to a request that was sent after the deletion was acknowledged.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from threading import Event
from typing import Any

import cv2
import httpx2
import numpy as np

from tests.system.recorder import Recorder, Sample
from xemplar.imaging import decode
from xemplar.imaging.overlay import shrink

TIMEOUT = 60.0
"""After which a client gives up on an answer: far more than any check allows."""

BATCH = 8
NEVER_BUSY = {"XEMPLAR_IMAGES_AT_ONCE": "256", "XEMPLAR_BATCHES_AT_ONCE": "32"}
"""Limits of a service that these clients never reach."""

KEPT = 4
"""Cases that a client has put in and not deleted yet, before it deletes the oldest."""

SIDE = 256
"""Longer side of an uploaded image, in pixels."""


@contextmanager
def clients_asking(
    url: str, recorder: Recorder, clients: int, pause: float = 0.0
) -> Iterator[None]:
    """So many clients ask meanwhile, each with a pause of so many seconds between two requests."""
    stop = Event()
    with ThreadPoolExecutor(clients) as threads:
        working = [
            threads.submit(Client(url, recorder, stop, seed, pause).run) for seed in range(clients)
        ]
        try:
            yield
        finally:
            stop.set()
        for one in working:
            one.result()


class Client:
    """One client: asks until ``stop`` is set."""

    def __init__(
        self, url: str, recorder: Recorder, stop: Event, seed: int, pause: float = 0.0
    ) -> None:
        """Prepare it.

        Args:
            url: of the service.
            recorder: where it writes what it sees.
            stop: ends it, after the request that is under way.
            seed: of its choices and of the images that it uploads; another one for each client.
            pause: seconds between two requests.
        """
        self._http = httpx2.Client(base_url=url, timeout=TIMEOUT)
        self._recorder = recorder
        self._stop_asked = stop
        self._random = random.Random(seed)
        self._stable = sorted(recorder.images)
        self._pause = pause
        self._mine: list[str] = []
        self._uploading: bytes | None = None
        self._deleting: str | None = None

    def run(self) -> None:
        """Ask one question after the other."""
        kinds: dict[Callable[[], None], int] = {
            self._query: 6,
            self._filtered: 4,
            self._overlays: 2,
            self._similar: 4,
            self._batch: 1,
            self._page: 2,
            self._change: 5,
        }
        with self._http:
            while not self._stop_asked.is_set():
                (ask,) = self._random.choices(list(kinds), list(kinds.values()))
                ask()
                self._stop_asked.wait(self._pause)

    # ---- kinds of requests ------------------------------------------------------------------

    def _query(self) -> None:
        own, image = self._image()
        asked_at, answer = self._ask("query", image)
        if answer:
            self._judge(answer, asked_at, finds=own)

    def _filtered(self) -> None:
        _, image = self._image()
        sex, oldest = self._random.choice("FM"), self._random.randrange(40, 100)
        wanted = {"sex": sex, "age_max": oldest, "k": 10, "counter_examples": 3}
        asked_at, answer = self._ask("query, filtered", image, **wanted)
        if answer:
            self._judge(answer, asked_at)
            for near in answer["neighbours"] + answer["counter_examples"]:
                if near["sex"] != sex or near["age"] > oldest:
                    self._recorder.wrong.append(f"case {near['case_id']} does not meet {wanted}")

    def _overlays(self) -> None:
        own, image = self._image()
        asked_at, answer = self._ask("query, overlays", image, include="overlays")
        if answer:
            self._judge(answer, asked_at, finds=own)

    def _similar(self) -> None:
        own = self._random.choice(self._stable)
        asked_at, response = self._send("similar", "GET", f"/cases/{own}/similar")
        if response:
            answer = response.json()
            self._judge(answer, asked_at)
            if own in [near["case_id"] for near in answer["neighbours"]]:
                self._recorder.wrong.append(f"case {own} is said to be similar to itself")

    def _batch(self) -> None:
        chosen = self._random.sample(self._stable, min(BATCH, len(self._stable)))
        files = [("image", self._recorder.images[one]) for one in chosen]
        asked_at, response = self._send(f"batch of {BATCH}", "POST", "/query/batch", files=files)
        if response:
            answers = response.json()
            for own, answer in zip(chosen, answers, strict=True):
                self._judge(answer, asked_at, finds=own)
            if len({answer["generation"] for answer in answers}) != 1:
                self._recorder.wrong.append("a batch was answered by more than one generation")

    def _page(self) -> None:
        asked_at, response = self._send("list of cases", "GET", "/cases", params={"limit": 50})
        if response:
            self._recorder.answered(
                [case["case_id"] for case in response.json()["cases"]], asked_at
            )

    def _change(self) -> None:
        if self._deleting or len(self._mine) > KEPT:
            self._delete()
        else:
            self._upload()

    def _upload(self) -> None:
        """Put an image in, the same one again where the last try was refused, and seek it."""
        image = self._uploading = self._uploading or self._new_image()
        case_id = sha256(image).hexdigest()[:16]
        _, response = self._send(
            "upload", "POST", "/cases", files={"image": image}, data={"source": "checks"}
        )
        if response is None:
            return
        self._uploading = None
        acknowledged = time.monotonic()
        self._recorder.uploaded(case_id)
        self._mine.append(case_id)
        while not self._stop_asked.is_set():
            asked_at, answer = self._ask("query", image)
            if answer is None:
                return
            waited = asked_at - acknowledged
            if case_id in [near["case_id"] for near in answer["neighbours"]]:
                self._recorder.searchable[case_id] = waited
                return
            if waited > TIMEOUT:
                self._recorder.wrong.append(
                    f"case {case_id} is not found {waited:.1f} s after upload"
                )
                return

    def _delete(self) -> None:
        """Delete a case, the same one again where the last try was refused."""
        again = self._deleting is not None
        case_id = self._deleting = self._deleting or self._mine.pop(0)
        self._recorder.deleting(case_id)
        # what was refused may have been done: then it is not there any more
        fine = (httpx2.codes.NOT_FOUND,) if again else ()
        _, response = self._send("delete", "DELETE", f"/cases/{case_id}", fine=fine)
        if response is not None:
            self._deleting = None
            self._recorder.deleted(case_id)

    # ---- how they ask -----------------------------------------------------------------------

    def _image(self) -> tuple[str, bytes]:
        own = self._random.choice(self._stable)
        return own, self._recorder.images[own]

    def _new_image(self) -> bytes:
        """Make a new radiograph: the mean of three indexed ones, which is the image of none."""
        chosen = self._random.sample(self._stable, 3)
        images = [shrink(decode(self._recorder.images[n]).pixels, SIDE) for n in chosen]
        alike = [cv2.resize(image, images[0].shape[::-1]) for image in images]
        mixed = np.mean(alike, axis=0)
        return cv2.imencode(".png", mixed.astype(np.uint8))[1].tobytes()

    def _judge(self, answer: dict[str, Any], asked_at: float, finds: str | None = None) -> None:
        near = [one["case_id"] for one in answer["neighbours"]]
        self._recorder.answered(
            near + [one["case_id"] for one in answer["counter_examples"]], asked_at
        )
        if finds is not None and finds not in near:
            self._recorder.wrong.append(f"image {finds} does not find itself")
        cosines = [one["similarity"] for one in answer["neighbours"]]
        if cosines != sorted(cosines, reverse=True):
            self._recorder.wrong.append(f"query {answer['query_id']} is out of order")

    def _ask(self, kind: str, image: bytes, **question: Any) -> tuple[float, dict[str, Any] | None]:
        files = {"image": image}
        asked_at, response = self._send(kind, "POST", "/query", params=question, files=files)
        return asked_at, None if response is None else response.json()

    def _send(
        self, kind: str, method: str, address: str, fine: Sequence[int] = (), **more: Any
    ) -> tuple[float, httpx2.Response | None]:
        """Send a request and write down what became of it; no response where that is no success."""
        began = time.monotonic()
        try:
            response = self._http.request(method, address, **more)
        except httpx2.TransportError as error:
            seconds, detail = time.monotonic() - began, f"{type(error).__name__}: {error}"
            self._recorder.samples.append(Sample(kind, began, seconds, 0, detail))
            return began, None
        seconds, good = time.monotonic() - began, response.is_success
        status = httpx2.codes.OK if response.status_code in fine else response.status_code
        detail = "" if good else response.text[:300]
        retry_after = response.headers.get("retry-after")
        self._recorder.samples.append(Sample(kind, began, seconds, status, detail, retry_after))
        return began, response if good or response.status_code in fine else None
