"""Metrics: what was counted, who may read it, and a dashboard that asks for nothing else."""

import json
import re
from pathlib import Path

from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from tests.app.asking import Service, ask, bearer
from tests.images import drawn_image, encoded
from tests.stores import CASES
from xemplar.operations.keys import Keys, Role

IMAGE = encoded(drawn_image(84, 300, 200))
DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "xemplar.json"


def samples(client: TestClient) -> dict[tuple[str, ...], float]:
    """(name, values of its labels ...) -> value."""
    response = client.get("/metrics")
    assert response.status_code == 200, response.text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def test_requests_and_stages_are_counted(service: Service) -> None:
    client = service()
    stages = ask(client, IMAGE, include="overlays")["timings_ms"]
    client.get(f"/cases/{'0' * 16}")
    client.get("/nowhere")
    found = samples(client)
    assert found["xemplar_requests_total", "query", "200"] == 1
    assert found["xemplar_requests_total", "case", "404"] == 1
    assert found["xemplar_requests_total", "none", "404"] == 1
    assert {key[1] for key in found if key[0] == "xemplar_stage_seconds_count"} == set(stages)
    assert found["xemplar_stage_seconds_sum", "encode"] * 1000 == round(stages["encode"], 3)
    assert found["xemplar_request_seconds_count", "query"] == 1


def test_the_state_of_the_service_is_told(service: Service) -> None:
    found = samples(service())
    assert found["xemplar_searchable_cases",] == CASES
    assert found["xemplar_delta_cases",] == found["xemplar_tombstones",] == 0
    assert 0 < found["xemplar_generation_age_seconds",] < 3600
    assert found["xemplar_images_inside",] == 0
    assert found["xemplar_ready",] == found["xemplar_database_up",] == 1
    assert found["process_resident_memory_bytes",] > 0


def test_cases_are_counted_that_came_and_went_since_the_generation(own_client: TestClient) -> None:
    known = own_client.get("/cases").json()["cases"]
    for image in (IMAGE, encoded(drawn_image(85)), encoded(drawn_image(86))):
        put = own_client.post("/cases", data={"source": "clinic"}, files={"image": image})
        assert put.status_code == 201
    own_client.delete(f"/cases/{known[0]['case_id']}")
    found = samples(own_client)
    assert found["xemplar_searchable_cases",] == CASES + 3 - 1
    assert found["xemplar_delta_cases",] == 3
    assert found["xemplar_tombstones",] == 1


def test_two_services_do_not_count_for_each_other(service: Service) -> None:
    one, other = service(), service()
    ask(one, IMAGE)
    assert ("xemplar_requests_total", "query", "200") not in samples(other)


def test_metrics_need_an_admin_where_others_reach_the_service(service: Service, keys: Keys) -> None:
    _, reader = keys.create("x", Role.READER)
    _, admin = keys.create("x", Role.ADMIN)
    everywhere = {"host": "0.0.0.0"}  # noqa: S104
    client = service(**everywhere)
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers=bearer(reader)).status_code == 403
    assert client.get("/metrics", headers=bearer(admin)).status_code == 200
    assert service(**everywhere, open_metrics=True).get("/metrics").status_code == 200
    assert service().get("/metrics").status_code == 200


def test_the_dashboard_asks_for_metrics_that_there_are(service: Service) -> None:
    client = service()
    ask(client, IMAGE)
    text = client.get("/metrics").text
    declared = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    known = {key[0] for key in samples(client)} | declared
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = {
        name
        for panel in panels
        for target in panel["targets"]
        for name in re.findall(r"\b(?:xemplar|process)_\w+", target["expr"])
    }
    assert len(asked) > 10
    assert asked <= known
    ours = {re.sub("_total$", "", name) for name in known if name.startswith("xemplar_")}
    shown = {re.sub("_(total|bucket)$", "", name) for name in asked}
    parts = ("_created", "_bucket", "_count", "_sum")
    assert {name for name in ours if not name.endswith(parts)} <= shown
