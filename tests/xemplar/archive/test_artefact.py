"""Artefacts are written atomically and identified by their digest."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xemplar.archive.artefact import digest_of, file_digest, new_folder, write_file
from xemplar.errors import ConfigurationError


def test_a_file_digest_is_the_sha256_of_its_content(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert file_digest(tmp_path / "file") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=5))
def test_a_digest_does_not_depend_on_the_order_of_keys(value: dict[str, object]) -> None:
    assert digest_of(value) == digest_of(dict(reversed(value.items())))


def test_different_values_have_different_digests() -> None:
    values = [{}, {"a": 1}, {"a": "1"}, {"b": 1}, {"a": [1]}, {"a": None}]
    assert len({digest_of(value) for value in values}) == len(values)


def test_a_written_file_replaces_the_previous_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_file(path, b"before")
    write_file(path, b"after")
    assert path.read_bytes() == b"after"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_keeps_the_old_file_and_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_file(path, b"before")

    def full(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_file(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_folder_appears_with_all_its_content_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with new_folder(path) as beside:
        (beside / "inner").mkdir()
        (beside / "inner" / "file").write_bytes(b"content")
        assert not path.exists()
    assert (path / "inner" / "file").read_bytes() == b"content"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_folder_leaves_nothing(tmp_path: Path) -> None:
    def build() -> None:
        with new_folder(tmp_path / "folder") as beside:
            (beside / "file").write_bytes(b"content")
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        build()
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_rejected_and_unchanged(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with (
        pytest.raises(ConfigurationError, match=r"folder exists already; choose another"),
        new_folder(tmp_path / "folder"),
    ):
        pass
    assert (tmp_path / "folder").is_dir()
