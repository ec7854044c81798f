"""Clients that send all kinds of requests to a running service and verify its answers.

Each client sends a request after the previous response. The result is recorded as a `Sample`; each
check decides whether a 503 is acceptable.

A client deletes only cases that it uploaded itself. So correct answers are known at any time,
whatever the other clients do: an indexed image finds itself, and a deleted case does not appear in
responses to requests sent after the deletion was acknowledged.
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
"""Client timeout, far above what any check allows."""

BATCH = 8
NEVER_BUSY = {"XEMPLAR_IMAGES_AT_ONCE": "256", "XEMPLAR_BATCHES_AT_ONCE": "32"}
"""Limits of the service that these clients never reach."""

KEPT = 4
"""Uploaded cases that a client keeps before it deletes the oldest."""

SIDE = 256
"""Longer side of an uploaded image, in pixels."""


@contextmanager
def clients_asking(
    url: str, recorder: Recorder, clients: int, pause: float = 0.0
) -> Iterator[None]:
    """Run clients concurrently, each pausing ``pause`` seconds between requests."""
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
    """A client that sends requests until ``stop`` is set."""

    def __init__(
        self, url: str, recorder: Recorder, stop: Event, seed: int, pause: float = 0.0
    ) -> None:
        """Prepare the client.

        Args:
            url: of the service.
            recorder: records all observations.
            stop: ends the client after its current request.
            seed: of its choices and uploaded images; distinct for each client.
            pause: seconds between requests.
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
        self._said_done = False  # by the last answer to the change that is being repeated

    def run(self) -> None:
        """Send random requests one after the other."""
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
        """Upload an image, repeating a refused one, and query until it is found.

        An image that a case already shows adds no case, unless it is this client's own.
        """
        image = self._uploading = self._uploading or self._new_image()
        case_id = sha256(image).hexdigest()[:16]
        _, response = self._send(
            "upload", "POST", "/cases", files={"image": image}, data={"source": "checks"}
        )
        if response is None:
            return
        self._check_said_done(response.status_code != httpx2.codes.CREATED, case_id)
        self._uploading = None
        if response.json()["case_id"] != case_id:
            return
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
        """Delete a case, repeating a refused deletion."""
        again = self._deleting is not None
        case_id = self._deleting = self._deleting or self._mine.pop(0)
        self._recorder.deleting(case_id)
        # a refused deletion may have been carried out: then the case is gone
        fine = (httpx2.codes.NOT_FOUND,) if again else ()
        _, response = self._send("delete", "DELETE", f"/cases/{case_id}", fine=fine)
        if response is not None:
            self._check_said_done(not response.is_success, case_id)
            self._deleting = None
            self._recorder.deleted(case_id)

    def _check_said_done(self, was_done: bool, case_id: str) -> None:
        """Check, as a change is repeated, an answer that said it was carried out but unaudited."""
        if self._said_done and not was_done:
            self._recorder.wrong.append(f"the change of case {case_id} was said to be carried out")
        self._said_done = False

    # ---- sending and checking ---------------------------------------------------------------

    def _image(self) -> tuple[str, bytes]:
        own = self._random.choice(self._stable)
        return own, self._recorder.images[own]

    def _new_image(self) -> bytes:
        """Create an image that no other client uploads: a weighted mean of three indexed ones."""
        chosen = self._random.sample(self._stable, 3)
        images = [shrink(decode(self._recorder.images[n]).pixels, SIDE) for n in chosen]
        alike = [cv2.resize(image, images[0].shape[::-1]) for image in images]
        mixed = np.average(alike, axis=0, weights=[self._random.uniform(1, 3) for _ in alike])
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
        """Send a request and record the result; return no response unless successful."""
        began = time.monotonic()
        try:
            response = self._http.request(method, address, **more)
        except httpx2.TransportError as error:
            seconds, detail = time.monotonic() - began, f"{type(error).__name__}: {error}"
            self._recorder.samples.append(Sample(kind, began, seconds, 0, detail))
            return began, None
        seconds, good = time.monotonic() - began, response.is_success
        unaudited = _problem(response) == "NotAudited"
        status = httpx2.codes.OK if response.status_code in fine else response.status_code
        detail = "" if good else response.text[:300]
        retry_after = response.headers.get("retry-after")
        self._recorder.samples.append(
            Sample(kind, began, seconds, status, detail, retry_after, unaudited)
        )
        self._said_done |= unaudited
        return began, response if good or response.status_code in fine else None


def _problem(response: httpx2.Response) -> str:
    """Return the kind of a problem+json; empty for any other answer."""
    if not response.headers.get("content-type", "").startswith("application/problem+json"):
        return ""
    return str(response.json()["type"]).rpartition(":")[2]
