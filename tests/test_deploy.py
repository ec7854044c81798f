"""What lies around the images: each name that one file uses is there in the other."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from xemplar_indexer.watch.drift import Drift
from xemplar_indexer.watch.metrics import DriftMetrics
from xemplar_pacs.settings import NodeSettings

ROOT = Path(__file__).parents[1]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()


def test_each_line_of_the_example_is_a_variable_of_the_compose_file() -> None:
    offered = set(re.findall(r"^#?([A-Z_]+)=", EXAMPLE, re.MULTILINE)) - {"COMPOSE_PROFILES"}
    assert offered
    assert offered <= set(re.findall(r"\$\{([A-Z_]+)", COMPOSE))


def test_every_port_is_published_on_this_machine_only() -> None:
    published = re.findall(r"ports: \[(.*)\]", COMPOSE)
    assert len(published) == COMPOSE.count("ports:")
    assert all(ports.startswith('"127.0.0.1:') for ports in published)


def test_every_running_service_has_a_limit_of_memory_and_starts_again() -> None:
    among = COMPOSE.split("\nservices:\n")[1].split("\n# Prometheus and")[0]
    services = re.split(r"\n  (?=[a-z]+:\n)", among)
    assert len(services) == 12
    for service in services:
        name = service.strip().split(":")[0]
        if name != "train":
            assert "mem_limit" in service, name
        if name not in ("indexer", "modality", "train"):
            assert "restart: unless-stopped" in service, name


@pytest.mark.parametrize("word", ["<<", "--link", "# syntax"])
def test_the_dockerfile_speaks_a_plain_dialect(word: str) -> None:
    assert word not in DOCKERFILE


def test_the_build_sees_what_it_copies_and_no_more() -> None:
    seen = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert seen == {name for names in copied for name in names.split()}


def test_every_folder_that_is_installed_is_copied_into_the_image() -> None:
    # setuptools takes a folder that is not there for one without packages, and says nothing
    folders = re.findall(
        r'^    "xemplar\w*": "(\w+)",$', (ROOT / "setup.py").read_text(), re.MULTILINE
    )
    assert len(folders) > 1
    assert [name for name in folders if f"COPY {name} ./{name}\n" not in DOCKERFILE] == []


def test_what_compose_mounts_is_here() -> None:
    mounted = re.findall(r"- \./(\S+?):", COMPOSE)
    assert mounted
    assert all((ROOT / path).exists() for path in mounted)


def test_prometheus_and_grafana_ask_for_what_the_watch_measures() -> None:
    alerts = (ROOT / "deploy/grafana/provisioning/alerting/xemplar.yml").read_text()
    metrics = DriftMetrics()
    metrics.show([Drift("PA", 20, 100, 1.5, 0.001)], at=0.0)
    measured = {sample.name for family in metrics.registry.collect() for sample in family.samples}
    asked = set(re.findall(r"xemplar_drift_\w+", alerts))
    assert asked
    assert asked <= measured
    assert "watch:9108" in (ROOT / "deploy/prometheus.yml").read_text()


def test_each_alert_has_its_condition_among_its_queries() -> None:
    alerts = yaml.safe_load((ROOT / "deploy/grafana/provisioning/alerting/xemplar.yml").read_text())
    rules = [rule for group in alerts["groups"] for rule in group["rules"]]
    assert len({rule["uid"] for rule in rules}) == len(rules) == 2
    for rule in rules:
        queries = {query["refId"]: query["model"] for query in rule["data"]}
        assert {model["refId"] for model in queries.values()} == set(queries)
        assert queries[rule["condition"]]["expression"] in queries


PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)")
LOCKS = {
    "build": (),
    "serve": ("postgres",),
    "pacs": ("postgres", "pacs"),
    "milvus": ("postgres", "pacs", "milvus"),
}


def normal(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def pins(path: Path) -> dict[str, str]:
    """Normal name -> version."""
    found = (PIN.match(line) for line in path.read_text().splitlines())
    return {normal(pin[1]): pin[2] for pin in found if pin}


@pytest.mark.parametrize("name", LOCKS)
def test_the_image_installs_what_is_tested_together(name: str) -> None:
    locked, tested = pins(ROOT / f"requirements/{name}.txt"), pins(ROOT / "constraints.txt")
    assert locked
    assert {one: (locked[one], tested.get(one)) for one in locked} == {
        one: (version, version) for one, version in locked.items()
    }, "run `make lock`"


@pytest.mark.parametrize("name", LOCKS)
def test_the_image_installs_all_that_is_asked_for(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    asked = (
        project["project"]["dependencies"] if LOCKS[name] else project["build-system"]["requires"]
    )
    asked = [*asked, *(one for extra in LOCKS[name] for one in extras[extra])]
    names = {normal(re.split(r"[\[<>=; ]", one)[0]) for one in asked}
    assert names <= pins(ROOT / f"requirements/{name}.txt").keys(), "run `make lock`"


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_of_the_image_has_hashes_and_no_address(name: str) -> None:
    text = (ROOT / f"requirements/{name}.txt").read_text()
    for package in re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]:
        first, *hashes = package.splitlines()
        assert PIN.match(first), first
        assert hashes, first
        assert all(re.match(r"    --hash=sha256:[0-9a-f]{64}", line) for line in hashes), first
    assert "://" not in text


def test_orthanc_of_compose_knows_the_node() -> None:
    orthanc = json.loads((ROOT / "deploy/orthanc/orthanc.json").read_text())
    title, host, port = orthanc["DicomModalities"]["xemplar"]
    default = NodeSettings()
    assert (title, port) == (default.title, default.port)
    assert f"\n  {host}:\n" in COMPOSE
    archive = f"dicom://{orthanc['DicomAet']}@orthanc:{orthanc['DicomPort']}"
    assert f"XEMPLAR_PACS_ARCHIVE: {archive}\n" in COMPOSE
    assert f"XEMPLAR_PACS_PEERS: {orthanc['DicomAet']}@" in COMPOSE


def test_the_rule_of_the_guide_is_the_one_of_compose() -> None:
    guide = (ROOT / "docs/pacs.md").read_text()
    (told,) = re.findall(r"```lua\n.*?\n(function.*?)```", guide, re.DOTALL)
    assert told in (ROOT / "deploy/orthanc/xemplar.lua").read_text()
