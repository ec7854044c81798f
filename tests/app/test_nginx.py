"""Behind a real nginx, as docs/deploy.md has it: a path prefix that it strips, or passes on."""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
import uvicorn
from xemplar_app.main import create_app, open_retriever
from xemplar_app.settings import Settings

from tests.app.reading import serving
from tests.films import drawn_film, encoded
from tests.stores import SmallStore
from xemplar.encoder import Precision

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
DEPLOY = Path(__file__).parents[2] / "docs" / "deploy.md"
FILM = encoded(drawn_film(63, 300, 240))
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
    server {{
        listen 127.0.0.1:{port};
        {location}
    }}
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
    settings = Settings(
        store=own.store.root,
        checkpoint=own.checkpoint,
        precision=Precision.FLOAT32,
        root_path="/xemplar",
    )
    app = create_app(settings, open_retriever(settings))
    with serving(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None)) as url:
        block = location(request.param).replace("http://127.0.0.1:8000", url)
        with nginx(tmp_path, block) as address, httpx2.Client(base_url=address) as client:
            yield client


@contextmanager
def nginx(folder: Path, block: str) -> Iterator[str]:
    """Serves a location; gives the address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    file = folder / "nginx.conf"
    file.write_text(CONFIGURATION.format(folder=folder, port=port, location=block))
    command = [str(NGINX), "-p", str(folder), "-e", str(folder / "log"), "-c", str(file)]
    process = subprocess.Popen(command)
    try:
        began = time.monotonic()
        while not listens(port):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() - began < 60
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_page_api_docs_and_pictures_work_under_the_prefix(proxied: httpx2.Client) -> None:
    page = proxied.get("/xemplar", follow_redirects=True)
    assert page.url.path == "/xemplar/"
    files = re.findall(r'(?:src|href)="(page/[^"]+)"', page.text)
    docs = proxied.get("/xemplar/docs")
    assert "Content-Security-Policy" in docs.headers
    used = re.findall(r"""(?:href|src)="([^"]+)"|url: '([^']+)'""", docs.text)
    answer = proxied.post("/xemplar/query", files={"image": FILM}).raise_for_status().json()
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
    posted = proxied.post("/xemplar/cases", files={"image": FILM}, data={"source": "ward"})
    assert posted.headers["location"] == f"/xemplar/cases/{posted.json()['case_id']}"
    assert proxied.get(posted.headers["location"]).status_code == 200
    slash = proxied.get("/xemplar/docs/")
    assert httpx2.URL(slash.headers["location"]).path == "/xemplar/docs"


def test_metrics_stay_inside(proxied: httpx2.Client) -> None:
    assert proxied.get("/xemplar/metrics").status_code == 404
    assert proxied.get("/healthz").status_code == 404  # not under the prefix: not ours
