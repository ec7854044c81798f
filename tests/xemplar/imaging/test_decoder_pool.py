"""`DecodingPool`: the results of `decode`, within limits of time and memory."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from tests import hostile
from tests.images import dicom, drawn_image, encoded
from xemplar.errors import ConfigurationError, ImageTooLarge, InputError, UnreadableImage
from xemplar.imaging import Limits, decode
from xemplar.imaging import decoder_pool as pools
from xemplar.imaging.decoder_pool import DecodingPool

LIMITS = Limits(max_bytes=8_000_000)
IMAGE = encoded(drawn_image(1))
LARGE = encoded(drawn_image(1, 3000, 3000).astype(np.uint16) * 200)
"""Half a megabyte that takes more than 100 MB to decode."""


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodingPool]:
    with DecodingPool(2, LIMITS) as opened:
        yield opened


def gone(process: int) -> bool:
    """Whether a process has ended, whether or not anybody has asked for its status."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until_gone(process: int) -> None:
    while not gone(process):
        time.sleep(0.01)


def processor_ticks(process: int) -> int:
    """Hundredths of a second that a process has computed."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


# ---- as `decode` ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(IMAGE, id="PNG"),
        pytest.param(
            dicom(
                drawn_image(2), ViewPosition="PA", PixelSpacing=[0.1, 0.2], BodyPartExamined="LEG"
            ),
            id="DICOM",
        ),
    ],
)
def test_an_image_is_what_decode_says(pool: DecodingPool, image: bytes) -> None:
    said, wanted = pool(image), decode(image, LIMITS)
    assert np.array_equal(said.pixels, wanted.pixels)
    one, other = asdict(said), asdict(wanted)
    assert one.pop("pixels").dtype == other.pop("pixels").dtype
    assert one == other


@pytest.mark.parametrize(
    "image",
    [b"", b"no image", IMAGE[:300], encoded(np.zeros((99, 99), np.uint8)), bytes(8_000_001)],
)
def test_what_decode_refuses_is_rejected_alike(pool: DecodingPool, image: bytes) -> None:
    with pytest.raises(InputError) as wanted:
        decode(image, LIMITS)
    with pytest.raises(type(wanted.value)) as said:
        pool(image)
    assert str(said.value) == str(wanted.value)


def test_limits_reach_the_workers() -> None:
    with (
        DecodingPool(1, Limits(max_pixels=5_000)) as small,
        pytest.raises(ImageTooLarge, match="limit is 5,000"),
    ):
        small(IMAGE)


def test_images_of_many_threads_are_not_mixed_up(pool: DecodingPool) -> None:
    images = [drawn_image(seed, 70 + seed, 90) for seed in range(24)]
    with ThreadPoolExecutor(8) as threads:
        said = list(threads.map(pool, map(encoded, images)))
    assert all(np.array_equal(one.pixels, image) for one, image in zip(said, images, strict=True))


# ---- what would hold it up ------------------------------------------------------------------


@pytest.fixture
def driven(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pools of this test have workers whose decoder hostile images drive anywhere."""
    monkeypatch.setattr(pools, "COMMAND", hostile.COMMAND)


@pytest.mark.usefixtures("driven")
@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (hostile.ENDLESS, "took longer than allowed for its size; 100 seconds"),
        (hostile.GREEDY, "at most 200 MiB"),
        (hostile.CRASHING, "ended the decoder"),
    ],
    ids=["endless", "greedy", "crashing"],
)
def test_an_image_that_never_comes_to_an_end_is_rejected_and_the_next_one_decoded(
    image: bytes, reason: str
) -> None:
    with DecodingPool(1, LIMITS, seconds=100, max_memory=200 * 2**20) as one:
        before = one.processes
        for _ in range(2):
            with pytest.raises(UnreadableImage, match=f"{reason}.*; export it again"):
                one(image)
            assert one(IMAGE).sha256 == decode(IMAGE).sha256
        assert one.processes != before


def test_a_real_image_of_thousands_of_scans_is_rejected() -> None:
    with DecodingPool(1, LIMITS, seconds=10) as one:
        with pytest.raises(InputError):
            one(hostile.scans_without_end(100_000))
        assert one(IMAGE).sha256 == decode(IMAGE).sha256


def test_a_real_image_that_takes_too_much_memory_is_rejected() -> None:
    with DecodingPool(1, LIMITS, max_memory=120 * 2**20) as one:
        with pytest.raises(UnreadableImage, match="at most 120 MiB"):
            one(LARGE)
        assert one(IMAGE).sha256 == decode(IMAGE).sha256


@pytest.mark.usefixtures("driven")
def test_a_worker_that_is_killed_while_it_decodes_is_replaced() -> None:
    with DecodingPool(1, LIMITS, seconds=100) as one, ThreadPoolExecutor(1) as thread:
        one(IMAGE)
        (worker,) = one.processes
        computed = processor_ticks(worker)
        asked = thread.submit(one, hostile.ENDLESS)
        while processor_ticks(worker) < computed + 20:
            time.sleep(0.01)
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(UnreadableImage, match="ended the decoder"):
            asked.result(60)
        assert one(IMAGE).sha256 == decode(IMAGE).sha256


def test_a_worker_that_died_while_it_was_idle_costs_no_image(pool: DecodingPool) -> None:
    for _ in pool.processes:
        pool(IMAGE)
    for worker in pool.processes:
        os.kill(worker, signal.SIGKILL)
        wait_until_gone(worker)
    assert [pool(IMAGE).sha256 for _ in range(3)] == [decode(IMAGE).sha256] * 3


HOSTILE = {
    "ends": "",
    "nonsense": "say(b'no JSON\\n')",
    "pickle": "say(__import__('pickle').dumps(1) + b'\\n')",
    "endless line": "say(b'x' * 10**6)",
    "two lines": "say(b'{}\\n{}\\n')",
    "unknown error": """say(b'{"refusal": "XemplarError", "detail": ""}\\n')""",
    "no error": """say(b'{"refusal": "__name__", "detail": ""}\\n')""",
    "pixels beyond the memory": "image(shape=[10**6, 10**6])",
    "pixels without size": "image(shape=[0, 5])",
    "pixels of negative size": "image(shape=[-5, -5])",
    "a field too many": "image(more=1)",
    "a field of another kind": "image(sha256=7)",
}


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
def test_what_a_worker_says_is_not_trusted(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that an image has taken over may write anything."""
    known = asdict(decode(IMAGE))
    good = json.dumps({k: v for k, v in known.items() if k != "pixels"} | {"shape": [96, 80]})
    script = f"""
import json, socket, sys
pool = socket.socket(fileno=int(sys.argv[1]))
def say(line):
    pool.sendall(line)
def image(**fields):
    say(json.dumps(json.loads({good!r}) | fields).encode() + b"\\n")
say(b"{{}}\\n")
pool.recv(9999)
{answer}
"""
    monkeypatch.setattr(pools, "COMMAND", (sys.executable, "-I", "-c", script))
    with DecodingPool(1, LIMITS) as one, pytest.raises(UnreadableImage, match="ended the decoder"):
        one(IMAGE)


def test_workers_that_do_not_start_are_no_fault_of_the_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "COMMAND", (sys.executable, "-I", "-c", "raise SystemExit(3)"))
    with DecodingPool(1, LIMITS) as one:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="does not start"):
                one(IMAGE)
        monkeypatch.undo()
        assert one(IMAGE).sha256 == decode(IMAGE).sha256


# ---- what workers are -------------------------------------------------------------------------


def test_workers_see_neither_the_environment_nor_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("json", "numpy", "gdcm", "pydicom"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XEMPLAR_DATABASE_URL", "postgresql://user:secret@host/name")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with DecodingPool(1, LIMITS) as one:
        assert one(IMAGE).sha256 == decode(IMAGE).sha256
        process = Path(f"/proc/{one.processes[0]}")
        assert b"secret" not in (process / "environ").read_bytes()
        assert (process / "cwd").readlink() == Path("/")


def test_workers_end_before_the_service_does_where_the_machine_runs_out_of_memory(
    pool: DecodingPool,
) -> None:
    for worker in pool.processes:
        pool(IMAGE)
        assert Path(f"/proc/{worker}/oom_score_adj").read_text() == "1000\n"


def test_workers_load_only_what_decodes(pool: DecodingPool) -> None:
    pool(IMAGE)
    maps = Path(f"/proc/{pool.processes[0]}/maps").read_text()
    assert "numpy" in maps
    assert not [name for name in ("torch", "faiss", "openvino", "cv2") if name in maps]


def test_closing_ends_the_workers() -> None:
    with DecodingPool(2, LIMITS) as two:
        workers = two.processes
        two(IMAGE)
    assert all(map(gone, workers))


@pytest.mark.parametrize("image", [IMAGE, hostile.ENDLESS], ids=["idle", "decoding"])
def test_workers_end_with_a_process_that_is_killed(image: bytes) -> None:
    """One that decodes is ended by its limit of processor time: nobody else is left to do it."""
    script = f"""
import os, threading, time
from xemplar.imaging import Limits, decoder_pool as pools
pools.COMMAND = {hostile.COMMAND!r}
pool = pools.DecodingPool(1, Limits())
pool({IMAGE!r})
print(*pool.processes, flush=True)
threading.Thread(target=pool, args=({image!r},), daemon=True).start()
time.sleep(0.1)
os.kill(os.getpid(), 9)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL
    for worker in map(int, ended.stdout.split()):
        wait_until_gone(worker)
