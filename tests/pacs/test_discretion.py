"""Libraries that quote a header say nothing meanwhile, and all else goes on being logged."""

import logging
import warnings
from threading import Thread

import pytest
from pydicom import Dataset
from xemplar_pacs.results.discretion import quiet_network, silenced


def test_neither_log_nor_warning_quotes_a_value(caplog: pytest.LogCaptureFixture) -> None:
    with silenced():
        Dataset().PatientBirthDate = "SECRET"
    assert "SECRET" not in caplog.text


def test_other_loggers_and_later_records_are_heard(caplog: pytest.LogCaptureFixture) -> None:
    with silenced():
        logging.getLogger("xemplar").warning("ours")
    logging.getLogger("pydicom").warning("later")
    assert [record.message for record in caplog.records] == ["ours", "later"]


def test_other_threads_are_heard(caplog: pytest.LogCaptureFixture) -> None:
    said = logging.getLogger("pydicom").warning
    with silenced():
        other = Thread(target=said, args=("of another thread",))
        other.start()
        other.join()
        said("of this thread")
    assert [record.message for record in caplog.records] == ["of another thread"]


def test_warnings_of_others_are_heard() -> None:
    with pytest.warns(UserWarning, match="ours"), silenced():
        warnings.warn("ours", stacklevel=1)


def test_nothing_of_pynetdicom_reaches_a_log() -> None:
    said: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = said.append  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        quiet_network()
        logging.getLogger("pynetdicom.association").error("PLANTED")
        logging.getLogger("xemplar.pacs").error("ours")
    finally:
        logging.getLogger().removeHandler(handler)
    assert [record.getMessage() for record in said] == ["ours"]
