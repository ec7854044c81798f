"""``xemplar serve``: where it listens, what it says when, and how it ends."""

import errno
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn

import httpx2
import pytest
import uvicorn
from fastapi.testclient import TestClient
from xemplar_app import listening, main

from tests.agreement import PATIENCE, wait_until
from tests.app.test_cli import run as run
from tests.stores import CASES, SmallStore
from tests.system.attack import decoders

READY = re.compile(r"ready: (\S+) cases, generation (\S+), (http://\S+?)[\s\"\x1b]")


@contextmanager
def started(store: SmallStore, log: IO[str], *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command in a process of its own, stopped at the end."""
    command = [sys.executable, "-m", "xemplar", "serve", "--store", str(store.store.root)]
    command += ["--checkpoint", str(store.checkpoint), *options]
    process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)


def said_ready(log: Path, process: subprocess.Popen[bytes]) -> re.Match[str]:
    began = time.monotonic()
    while (found := READY.search(log.read_text())) is None:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() - began < PATIENCE, log.read_text()
        time.sleep(0.05)
    return found


@pytest.mark.system
@pytest.mark.parametrize(
    ("host", "shown", "form"), [("127.0.0.1", "127.0.0.1", "text"), ("::1", "[::1]", "json")]
)
def test_it_says_that_it_is_ready_when_it_is_and_not_before_and_leaves_no_worker(
    small: SmallStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    shown: str,
    form: str,
) -> None:
    monkeypatch.setenv("XEMPLAR_LOG_FORMAT", form)
    monkeypatch.setenv("XEMPLAR_PRECISION", "float32")  # where bfloat16 fails, that is said first
    log = tmp_path / "log"
    with (
        log.open("w") as file,
        started(small, file, "--host", host, "--port", "0") as process,
    ):
        cases, generation, url = said_ready(log, process).groups()
        answer = httpx2.get(f"{url}/readyz", timeout=PATIENCE)
        assert answer.status_code == 200  # at once
        assert (cases, generation) == (str(CASES), answer.json()["generation"])
        assert re.fullmatch(re.escape(f"http://{shown}:") + "[1-9][0-9]*", url)
        workers = decoders(process.pid)
        assert len(workers) == 2
    wait_until(lambda: not any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers))
    first = log.read_text().splitlines()[0]
    assert READY.search(first + "\n"), "something was said before"


def test_a_port_in_use_is_one_line_and_a_quick_end(
    run: Any, small: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise AssertionError("something slow was begun")

    monkeypatch.setattr(main, "create_app", fail)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, out, err = run("serve", "--store", small.store.root, "--port", port)
    assert (status, out) == (1, "")
    assert err == (
        f"error ConfigurationError: cannot listen on http://127.0.0.1:{port}: another process "
        "listens there; stop it, or choose another port (--port)\n"
    )


@pytest.mark.parametrize(
    ("host", "refusal", "wanted"),
    [
        ("203.0.113.1", None, "this machine has no such address"),
        ("nowhere.invalid", socket.gaierror(-2, "?"), "this name cannot be resolved"),
        ("127.0.0.1", PermissionError(errno.EACCES, "?"), "choose a port from 1024 on"),
        ("127.0.0.1", OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
    ],
)
def test_an_address_that_cannot_be_had_is_one_line(
    run: Any,
    small: SmallStore,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    refusal: OSError | None,
    wanted: str,
) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        assert refusal is not None
        raise refusal

    if refusal is not None:
        name = "getaddrinfo" if isinstance(refusal, socket.gaierror) else "create_server"
        monkeypatch.setattr(listening.socket, name, refuse)
    status, _, err = run("serve", "--store", small.store.root, "--host", host, "--port", "81")
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith(f"error ConfigurationError: cannot listen on http://{host}:81: ")
    assert wanted in err


def test_all_addresses_of_a_name_get_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    inet, stream = socket.AF_INET, socket.SOCK_STREAM
    found = [(inet, stream, 6, "", (host, 0)) for host in ("127.0.0.1", "203.0.113.1", "127.0.0.2")]
    monkeypatch.setattr(listening.socket, "getaddrinfo", lambda *_, **__: found)
    with listening.listening("localhost", 0) as sockets:
        addresses = [one.getsockname() for one in sockets]
        assert [host for host, _ in addresses] == ["127.0.0.1", "127.0.0.2"]
        assert len({port for _, port in addresses}) == 1
        assert listening.url_of("localhost", sockets) == f"http://localhost:{addresses[0][1]}"


def test_it_serves_what_it_was_told_where_it_was_told(
    run: Any, small: SmallStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[uvicorn.Config] = []

    def serve(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        served.append(server.config)
        assert sockets[0].getsockname()[0] == "127.0.0.1"
        server.started = True

    monkeypatch.setattr(uvicorn.Server, "run", serve)
    monkeypatch.setenv("XEMPLAR_ROOT_PATH", "xemplar/")
    monkeypatch.setenv("XEMPLAR_STOP_SECONDS", "7")
    options = ["--store", small.store.root, "--checkpoint", small.checkpoint]
    status, _, _ = run("serve", *options, "--port", "0")
    (config,) = served
    assert status == 0
    assert config.timeout_graceful_shutdown == 7
    assert not config.access_log
    with TestClient(config.app) as client:  # type: ignore[arg-type]
        began = time.monotonic()
        while client.get("/readyz").status_code != 200:
            assert time.monotonic() - began < PATIENCE
            time.sleep(0.05)
        assert client.get("/xemplar/openapi.json").json()["servers"] == [{"url": "/xemplar"}]


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("XEMPLAR_THREDS", "2", "XEMPLAR_THREDS is no variable of xemplar: did you mean XEMPLAR_T"),
        ("XEMPLAR_THREADS", "-1", "XEMPLAR_THREADS is '-1'"),
        ("XEMPLAR_ROOT_PATH", "/x?y", "XEMPLAR_ROOT_PATH is"),
        ("XEMPLAR_ROOT_PATH", "/cases", "XEMPLAR_ROOT_PATH is '/cases'"),
        ("XEMPLAR_LOG_FORMAT", "xml", "XEMPLAR_LOG_FORMAT is 'xml'"),
        ("XEMPLAR_RUNTIME", "onnx", "XEMPLAR_RUNTIME is 'onnx'"),
    ],
)
def test_a_variable_that_cannot_be_used_is_one_line(
    run: Any, monkeypatch: pytest.MonkeyPatch, name: str, value: str, wanted: str
) -> None:
    monkeypatch.setenv(name, value)
    status, _, err = run("serve")
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith(f"error ConfigurationError: {wanted}")


def test_an_empty_variable_is_as_none(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XEMPLAR_THREADS", "XEMPLAR_STORE", "XEMPLAR_ROOT_PATH", "XEMPLAR_PORT"):
        monkeypatch.setenv(name, "")
    assert "NothingIndexed" in run("serve", "--store", "nowhere")[2]
