"""Settings of the node: environment variables, or options that win over them."""

import pytest
from xemplar_pacs.listen.answering import WANTED
from xemplar_pacs.results.objects import MOST_CASES
from xemplar_pacs.settings import MOST_CASES as MOST_OF_SETTINGS
from xemplar_pacs.settings import NodeSettings, read_settings

from xemplar.cli.environment import OF_THE_NODE
from xemplar.errors import ConfigurationError


def test_are_all_known_variables() -> None:
    assert sorted(OF_THE_NODE) == sorted(name.upper() for name in NodeSettings.model_fields)


def test_come_from_the_environment_and_options_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XEMPLAR_PACS_PORT", "4242")
    monkeypatch.setenv("XEMPLAR_PACS_TITLE", "ELSEWHERE")
    settings = read_settings(title="HERE")
    assert (settings.port, settings.title) == (4242, "HERE")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("port", "99999", "XEMPLAR_PACS_PORT is '99999'"),
        ("title", "small", "XEMPLAR_PACS_TITLE is 'small'"),
        ("do", "guess", "XEMPLAR_PACS_DO is 'guess'"),
        ("peers", "ORTHANC", "write TITLE@ADDRESS"),
        ("archive", "ORTHANC", "write dicom://TITLE@host:port"),
        ("cases", "25", "XEMPLAR_PACS_CASES is '25'"),
        ("certificate", "/x.pem", "certificate and private_key belong together"),
    ],
)
def test_refuse_what_cannot_be(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(f"XEMPLAR_PACS_{name.upper()}", value)
    with pytest.raises(ConfigurationError, match=message):
        read_settings()


def test_a_misspelt_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XEMPLAR_PACS_TITEL", "X")
    with pytest.raises(ConfigurationError, match="XEMPLAR_PACS_TITEL is no variable"):
        read_settings()


def test_results_need_an_archive() -> None:
    with pytest.raises(ConfigurationError, match="name it in XEMPLAR_PACS_ARCHIVE"):
        assert NodeSettings().archive_address


def test_agree_with_the_results() -> None:
    assert MOST_OF_SETTINGS == MOST_CASES
    assert set(WANTED) == {"all", "report", "picture"}
