"""The password of PostgreSQL comes from a file, so that no environment shows it."""

from pathlib import Path

import pytest

from xemplar.catalog.schema import connect
from xemplar.errors import ConfigurationError

URL = "postgresql+psycopg://xemplar@postgres/xemplar"


def test_the_password_is_read_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(" pass/w@rd:?# \n")
    engine = connect(f"{URL}?password_file={tmp_path}/password&application_name=one")
    assert engine.url.password == " pass/w@rd:?# "  # noqa: S105
    assert engine.url.query == {"application_name": "one"}  # the driver knows no password_file
    assert "pass/w" not in str(engine.url)


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "cannot be read: No such file"), (b"\n", "it is empty"), (b"\xff", "it is not text")],
)
def test_a_file_without_a_password_is_refused(
    tmp_path: Path, content: bytes | None, why: str
) -> None:
    if content is not None:
        (tmp_path / "password").write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"{tmp_path}/password .*{why}"):
        connect(f"{URL}?password_file={tmp_path}/password")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://xemplar:secret@postgres/xemplar?password_file=a",
        f"{URL}?password_file=a&password_file=b",
    ],
)
def test_two_passwords_are_refused_and_not_told(url: str) -> None:
    with pytest.raises(ConfigurationError, match="needs one password") as refused:
        connect(url)
    assert "secret" not in str(refused.value)
