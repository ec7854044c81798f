"""Behind a real nginx, as docs/deploy.md has it: a path prefix that it strips, or passes on."""

import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPSConnection
from pathlib import Path

import httpx2
import pytest
import uvicorn
from xemplar_app.main import create_app
from xemplar_app.opening import open_retriever
from xemplar_app.settings import ServiceSettings

from tests.agreement import PATIENCE
from tests.app.reading import serving
from tests.images import drawn_image, encoded
from tests.stores import SmallStore
from tests.system.common import free_port
from xemplar.model.encoder import Precision

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
DEPLOY = Path(__file__).parents[2] / "docs" / "deploy.md"
IMAGE = encoded(drawn_image(63, 300, 240))
STYLES = ("proxy_pass http://127.0.0.1:8000/;", "proxy_pass http://127.0.0.1:8000;")

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        NGINX is None, reason="no nginx here to serve behind: apt-get install nginx-light"
    ),
]

CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {servers}
}}
"""


def location(style: str) -> str:
    """The block of docs/deploy.md that shows the service under /xemplar/, in one of its styles."""
    (block,) = re.findall(r"location /xemplar/ \{.*?\n    \}", DEPLOY.read_text(), re.DOTALL)
    assert STYLES[0] in block
    return block.replace(STYLES[0], style)


@pytest.fixture(params=STYLES, ids=["stripped", "kept"])
def proxied(
    request: pytest.FixtureRequest, own: SmallStore, tmp_path: Path
) -> Iterator[httpx2.Client]:
    """Asks through nginx."""
    settings = ServiceSettings(
        store=own.store.root,
        checkpoint=own.checkpoint,
        precision=Precision.FLOAT32,
        root_path="/xemplar",
    )
    app = create_app(settings, open_retriever(settings))
    with serving(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None)) as url:
        block = location(request.param).replace("http://127.0.0.1:8000", url)
        with (
            nginx(tmp_path, block) as address,
            httpx2.Client(base_url=address, timeout=PATIENCE) as client,
        ):
            yield client


@contextmanager
def nginx(folder: Path, block: str) -> Iterator[str]:
    """Serves a location; gives the address."""
    port = free_port()
    with running(folder, f"server {{ listen 127.0.0.1:{port}; {block} }}", port):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def running(folder: Path, servers: str, port: int) -> Iterator[None]:
    """Runs nginx with such servers, of which one listens on a port."""
    file = folder / "nginx.conf"
    file.write_text(CONFIGURATION.format(folder=folder, servers=servers))
    command = [str(NGINX), "-p", str(folder), "-e", str(folder / "log"), "-c", str(file)]
    tested = subprocess.run([*command, "-t"], capture_output=True, text=True)
    assert tested.returncode == 0, tested.stderr
    assert "[warn]" not in tested.stderr
    process = subprocess.Popen(command)
    try:
        began = time.monotonic()
        while not listens(port):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() - began < PATIENCE
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


# ---- the whole configuration, with TLS ----------------------------------------------------------

EXAMPLE = "http://127.0.0.1:8000", "/etc/ssl/xray.pem", "/etc/ssl/private/xray.key"


def documented(url: str, certificate: Path, key: Path, tls: int, plain: int) -> str:
    """The servers of docs/deploy.md, with another address, certificate and ports."""
    (found,) = re.findall(r"```\n(limit_req_zone .*?)```", DEPLOY.read_text(), re.DOTALL)
    changes = {
        **dict(zip(EXAMPLE, (url, str(certificate), str(key)), strict=True)),
        "listen 443 ssl": f"listen 127.0.0.1:{tls} ssl",
        "listen 80": f"listen 127.0.0.1:{plain}",
        "rate=50r/s": "rate=1r/m",  # so that the burst is all
        "burst=500": "burst=9",
    }
    for before, after in changes.items():
        assert before in found
        found = found.replace(before, after)
    return str(found)


def made_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of its own for 127.0.0.1, and its key."""
    certificate, key = folder / "xray.pem", folder / "xray.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=xray", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-out", str(certificate), "-keyout", str(key)]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    return certificate, key


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate")
def test_the_documented_configuration_is_nginxs_and_limits_what_it_says(
    own: SmallStore, tmp_path: Path
) -> None:
    certificate, key = made_certificate(tmp_path)
    tls, plain = free_port(), free_port()
    settings = ServiceSettings(
        store=own.store.root, checkpoint=own.checkpoint, precision=Precision.FLOAT32
    )
    app = create_app(settings, open_retriever(settings))
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None)
    trusted = ssl.create_default_context(cafile=certificate)
    with (
        serving(config) as url,
        running(tmp_path, documented(url, certificate, key, tls, plain), tls),
        httpx2.Client(
            base_url=f"https://127.0.0.1:{tls}", verify=trusted, timeout=PATIENCE
        ) as client,
    ):
        moved = httpx2.get(f"http://127.0.0.1:{plain}/query?k=3", timeout=PATIENCE)
        assert moved.status_code == 301
        assert moved.headers["location"] == "https://xray.hospital.example/query?k=3"
        assert client.get("/metrics").status_code == 404
        answer = client.post("/query", files={"image": IMAGE})
        assert len(answer.raise_for_status().json()["neighbours"]) == 5
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        raw = HTTPSConnection("127.0.0.1", tls, context=trusted, timeout=PATIENCE)
        with closing(raw):
            raw.putrequest("POST", "/query")
            raw.putheader("Content-Length", str(66 * 2**20))
            raw.endheaders()
            assert raw.getresponse().status == 413
        statuses = [client.get("/healthz").status_code for _ in range(12)]
        assert set(statuses) == {200, 429}


# ---- under a path -------------------------------------------------------------------------------


def test_page_api_docs_and_pictures_work_under_the_prefix(proxied: httpx2.Client) -> None:
    page = proxied.get("/xemplar", follow_redirects=True)
    assert page.url.path == "/xemplar/"
    files = re.findall(r'(?:src|href)="(page/[^"]+)"', page.text)
    docs = proxied.get("/xemplar/docs")
    assert "Content-Security-Policy" in docs.headers
    used = re.findall(r"""(?:href|src)="([^"]+)"|url: '([^']+)'""", docs.text)
    answer = proxied.post("/xemplar/query", files={"image": IMAGE}).raise_for_status().json()
    (near, *_) = answer["neighbours"]
    addresses = [
        *(f"/xemplar/{file}" for file in files),
        *("".join(found) for found in used),
        *(url for key, url in {**near, **answer}.items() if key.endswith("_url")),
        proxied.get("/xemplar/cases?limit=1").json()["next"],
    ]
    assert len(addresses) > 10
    for address in addresses:
        assert address.startswith("/xemplar/")
        got, head = proxied.get(address), proxied.head(address)
        assert (got.status_code, head.status_code) == (200, 200), address
        assert head.headers["content-length"] == str(len(got.content))


def test_what_names_the_service_has_the_prefix(proxied: httpx2.Client) -> None:
    document = proxied.get("/xemplar/openapi.json").json()
    assert document["servers"] == [{"url": "/xemplar"}]
    posted = proxied.post("/xemplar/cases", files={"image": IMAGE}, data={"source": "ward"})
    assert posted.headers["location"] == f"/xemplar/cases/{posted.json()['case_id']}"
    assert proxied.get(posted.headers["location"]).status_code == 200
    slash = proxied.get("/xemplar/docs/")
    assert httpx2.URL(slash.headers["location"]).path == "/xemplar/docs"


def test_metrics_stay_inside(proxied: httpx2.Client) -> None:
    assert proxied.get("/xemplar/metrics").status_code == 404
    assert proxied.get("/healthz").status_code == 404  # not under the prefix: not ours
