"""Generations: whole or absent, published atomically, and refused where they do not fit."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.xemplar.index.vectors import FINDINGS, SIZE, checkpoint, random_vectors, source
from xemplar.archive.store import Store
from xemplar.errors import (
    ConfigurationError,
    CorruptArtefact,
    Mismatch,
    NotFound,
    NothingIndexed,
    XemplarError,
)
from xemplar.index import Manifest, build, current, generations, open_generation, publish
from xemplar.index.manifest import FILES, METRIC


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def built(store: Store, count: int = 5, digest: str = "1" * 64) -> Manifest:
    ids = np.arange(count, dtype=np.int64)
    return build(store, checkpoint(digest), source(ids, random_vectors(count)))


def edit_manifest(store: Store, name: str, **changes: object) -> None:
    path = store.generations / name / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_manifest_says_what_is_inside(store: Store) -> None:
    manifest = built(store)
    folder = store.generations / manifest.name
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, "manifest.json"])
    assert manifest.name.endswith("Z-11111111")
    assert manifest.created.endswith("+00:00")
    assert (manifest.count, manifest.dimension, manifest.metric) == (5, SIZE, METRIC)
    assert (manifest.findings, manifest.recall_at_10) == (FINDINGS, 1.0)
    assert manifest.preprocessing == checkpoint().card.spec.digest
    assert manifest.calibration is None
    assert generations(store) == (manifest,)


def test_building_publishes_nothing(store: Store) -> None:
    built(store)
    with pytest.raises(NothingIndexed, match="xemplar index"):
        current(store)


def test_publishing_and_going_back(store: Store) -> None:
    first, second = built(store, 5), built(store, 6)
    assert first.name < second.name
    for manifest in (first, second, first):
        publish(store, manifest.name)
        assert current(store) == manifest.name
        assert len(open_generation(store, checkpoint())) == manifest.count
    assert len(open_generation(store, checkpoint(), second.name)) == 6
    assert generations(store) == (first, second)


@pytest.mark.parametrize("function", ["replace", "unlink"])
def test_a_crash_while_publishing_leaves_the_old_one(
    store: Store, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    first, second = built(store, 5), built(store, 6)
    publish(store, first.name)

    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", crash)
        if function == "unlink":  # as a killed process, which tidies nothing up
            patched.setattr(Path, "unlink", crash)
        with pytest.raises(KeyboardInterrupt):
            publish(store, second.name)
    assert current(store) == first.name
    assert generations(store) == (first, second)
    publish(store, second.name)
    assert current(store) == second.name


def test_a_crash_while_building_leaves_no_generation(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = built(store)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("xemplar.index.builder.np.save", crash)
        patched.setattr(
            "shutil.rmtree", lambda *_, **__: None
        )  # a killed process leaves its folder
        with pytest.raises(KeyboardInterrupt):
            built(store)
    assert generations(store) == (first,)


def test_only_a_generation_can_be_published(store: Store) -> None:
    manifest = built(store)
    publish(store, manifest.name)
    for name in ("", "20260101T000000Z-00000000", "..", f"../generations/{manifest.name}"):
        with pytest.raises(NotFound, match=manifest.name):
            publish(store, name)
    assert current(store) == manifest.name
    for name in ("nothing", f"../generations/{manifest.name}"):
        with pytest.raises(NotFound):
            open_generation(store, checkpoint(), name)


def test_a_live_generation_that_is_gone_is_reported(store: Store) -> None:
    built(store)
    store.current.write_text("gone\n")
    with pytest.raises(CorruptArtefact, match="generations activate"):
        open_generation(store, checkpoint())


def test_no_embeddings_make_no_generation(store: Store) -> None:
    with pytest.raises(NothingIndexed, match="xemplar index"):
        built(store, 0)
    assert generations(store) == ()


@pytest.mark.parametrize("factory", ["Flat", "IDMap,Flat", "IDMap,IVF2,Flat", "Nonsense", ""])
def test_indexes_that_cannot_do_the_work_are_refused_when_built(store: Store, factory: str) -> None:
    ids = np.arange(200, dtype=np.int64)
    with pytest.raises(ConfigurationError, match="use 'IDMap2,Flat'"):
        build(store, checkpoint(), source(ids, random_vectors(200)), factory=factory)
    assert generations(store) == ()


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_every_damaged_file_is_refused_with_the_mend(store: Store, name: str, damage: str) -> None:
    publish(store, built(store).name)
    path = store.generations / current(store) / name
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2 if name != "manifest.json" else 0] ^= 1
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.unlink()
    with pytest.raises(CorruptArtefact, match="xemplar index") as caught:
        open_generation(store, checkpoint())
    assert name in str(caught.value) or name == "manifest.json"


def test_another_checkpoint_is_refused_naming_both_and_the_mend(store: Store) -> None:
    publish(store, built(store).name)
    with pytest.raises(Mismatch, match=r"1{12}.*2{12}.*xemplar index.*--checkpoint"):
        open_generation(store, checkpoint("2" * 64))


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("preprocessing", "3" * 64, Mismatch),
        ("checkpoint", "3" * 64, Mismatch),
        ("findings", ["Edema"], Mismatch),
        ("dimension", 9, Mismatch),
        ("metric", "l2", Mismatch),
        ("count", 6, CorruptArtefact),
        ("schema", 2, CorruptArtefact),
        ("files", {}, CorruptArtefact),
        ("unheard", 1, CorruptArtefact),
    ],
)
def test_every_mismatch_is_refused_with_the_mend(
    store: Store, field: str, value: object, error: type[XemplarError]
) -> None:
    publish(store, built(store).name)
    edit_manifest(store, current(store), **{field: value})
    with pytest.raises(error, match="xemplar index"):
        open_generation(store, checkpoint())


def test_another_preprocessing_of_the_same_file_is_named(store: Store) -> None:
    publish(store, built(store).name)
    other = checkpoint(size=96)
    wanted = other.card.spec.digest[:12]
    with pytest.raises(Mismatch, match=f"preprocessing .* needs {wanted}"):
        open_generation(store, other)


def test_an_index_of_another_metric_is_refused(store: Store) -> None:
    import faiss

    from xemplar.index.manifest import FileRecord

    manifest = built(store)
    publish(store, manifest.name)
    path = store.generations / manifest.name / "index.faiss"
    index = faiss.index_factory(SIZE, "IDMap2,Flat", faiss.METRIC_L2)
    index.add_with_ids(random_vectors(5), np.arange(5))
    faiss.write_index(index, str(path))
    record = FileRecord.of(path)
    files = {name: vars(r) for name, r in manifest.files.items()}
    files["index.faiss"] = {"sha256": record.sha256, "size": record.size}
    edit_manifest(store, manifest.name, files=files)
    with pytest.raises(CorruptArtefact, match="metric other"):
        open_generation(store, checkpoint())


def test_maps_are_not_read_into_memory(store: Store) -> None:
    publish(store, built(store).name)
    assert isinstance(open_generation(store, checkpoint())._cams, np.memmap)
