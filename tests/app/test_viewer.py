"""A case leads to its study in the hospital's viewer, where that is set."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO

import pytest
from starlette.testclient import TestClient
from xemplar_app.main import create_app
from xemplar_app.opening import open_retriever
from xemplar_app.settings import ServiceSettings, read_settings

from tests.images import dicom, drawn_image
from tests.stores import SmallStore
from xemplar.archive.store import KEY_BYTES
from xemplar.errors import ConfigurationError
from xemplar.model.encoder import Precision

STUDY = "1.2.826.0.1.3680043.99.4711"
VIEWER = "https://viewer.example/viewer?StudyInstanceUIDs={study}"
LINK = VIEWER.replace("{study}", STUDY)

Opened = Callable[[str], TestClient]


@pytest.fixture
def opened(own: SmallStore) -> Iterator[Opened]:
    """Services on the same store, each with its address of a viewer."""
    with ExitStack() as stack:

        def service(viewer_url: str) -> TestClient:
            settings = ServiceSettings(
                store=own.store.root,
                checkpoint=own.checkpoint,
                precision=Precision.FLOAT32,
                viewer_url=viewer_url,
            )
            app = create_app(settings, open_retriever(settings))
            return stack.enter_context(TestClient(app))

        yield service


def put(client: TestClient) -> str:
    """Add an image of the study; return its case id."""
    film = dicom(drawn_image(77), StudyInstanceUID=STUDY)
    answer = client.post("/cases", files={"image": BytesIO(film)}, data={"source": "clinic"})
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["case_id"])


def link(client: TestClient, case_id: str) -> str | None:
    found: str | None = client.get(f"/cases/{case_id}").json()["viewer_url"]
    return found


def test_a_case_leads_to_its_study(opened: Opened) -> None:
    client = opened(VIEWER)
    case_id = put(client)
    assert link(client, case_id) == LINK
    client.delete(f"/cases/{case_id}")
    assert client.get(f"/cases/{case_id}").status_code == 404


def test_without_the_setting_nothing_is_kept_and_nothing_told(opened: Opened) -> None:
    without = opened("")
    case_id = put(without)
    with_viewer = opened(VIEWER)
    assert link(with_viewer, case_id) is None
    put(with_viewer)  # the same image again
    assert link(with_viewer, case_id) == LINK
    assert link(without, case_id) is None


def test_no_list_no_answer_and_no_audit_has_the_link(opened: Opened, own: SmallStore) -> None:
    client = opened(VIEWER)
    case_id = put(client)
    for path in ("/cases?source=clinic", f"/cases/{case_id}/similar", "/audit", "/metrics"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert STUDY not in answer.text
    files = [path for path in own.store.root.rglob("*") if path.is_file()]
    assert STUDY.encode() not in b"".join(path.read_bytes() for path in files)


def test_a_reference_of_another_key_is_not_told_and_logged(
    opened: Opened, own: SmallStore, caplog: pytest.LogCaptureFixture
) -> None:
    case_id = put(opened(VIEWER))
    own.store.pseudonym_key.write_bytes(bytes(KEY_BYTES))
    with caplog.at_level(logging.WARNING):
        assert link(opened(VIEWER), case_id) is None
    assert f"the study of case {case_id} is not told" in caplog.text


@pytest.mark.parametrize("viewer_url", ["viewer", "https://viewer.example"])
def test_an_address_without_a_study_is_refused_at_the_start(viewer_url: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape("with {study} for")):
        read_settings(viewer_url=viewer_url)
