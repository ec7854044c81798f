"""What lies around the images: each name that one file uses is there in the other."""

import re
from pathlib import Path

import pytest

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
    among = COMPOSE.split("\nservices:\n")[1].split("\nvolumes:\n")[0]
    services = re.split(r"\n  (?=[a-z]+:\n)", among)
    assert len(services) == 8
    for service in services:
        name = service.strip().split(":")[0]
        if name != "train":
            assert "mem_limit" in service, name
        if name not in ("indexer", "train"):
            assert "restart: unless-stopped" in service, name


@pytest.mark.parametrize("word", ["<<", "--link", "# syntax"])
def test_the_dockerfile_speaks_a_plain_dialect(word: str) -> None:
    assert word not in DOCKERFILE


def test_the_build_sees_what_it_copies_and_no_more() -> None:
    seen = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert seen == {name for names in copied for name in names.split()}


def test_what_compose_mounts_is_here() -> None:
    mounted = re.findall(r"- \./(\S+?):", COMPOSE)
    assert mounted
    assert all((ROOT / path).exists() for path in mounted)
