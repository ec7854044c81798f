"""Generations: whole or absent, published atomically, and refused where they do not fit."""

import io
import json
import mmap
import shutil
from pathlib import Path

import faiss
import numpy as np
import pytest

from tests.system.disk import NoDisk, small_disk
from tests.xemplar.index.vectors import FINDINGS, SIZE, checkpoint, random_vectors, source
from xemplar.archive.store import Store
from xemplar.errors import (
    ConfigurationError,
    CorruptArtefact,
    Mismatch,
    NotFound,
    NothingIndexed,
    StorageFull,
    XemplarError,
)
from xemplar.index import (
    Manifest,
    build,
    check_files,
    current,
    generations,
    open_generation,
    publish,
    remove,
)
from xemplar.index.inverted import FLAT_LIMIT, factory_for
from xemplar.index.manifest import METRIC, ROWS, FileRecord


def built(store: Store, count: int = 5, digest: str = "1" * 64) -> Manifest:
    ids = np.arange(count, dtype=np.int64)
    return build(store, checkpoint(digest), source(ids, random_vectors(count)))


def edit_manifest(store: Store, name: str, **changes: object) -> None:
    path = store.generations / name / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_manifest_says_what_is_inside(store: Store) -> None:
    manifest = built(store)
    folder = store.generations / manifest.name
    assert sorted(path.name for path in folder.iterdir()) == sorted([*ROWS, "manifest.json"])
    assert manifest.name.endswith("Z-11111111")
    assert manifest.created.endswith("+00:00")
    assert (manifest.count, manifest.dimension, manifest.metric) == (5, SIZE, METRIC)
    assert (manifest.findings, manifest.recall_at_10) == (FINDINGS, 1.0)
    assert (manifest.factory, manifest.automatic, manifest.probes) == ("Flat", True, ())
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
        patched.setattr("xemplar.index.rows.RowWriter.append", crash)
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


@pytest.mark.parametrize(
    ("factory", "why"),
    [
        ("IDMap2,HNSW32", "loses neighbours under a filter; use 'auto'"),
        ("HNSW32,Flat", "loses neighbours under a filter; use 'auto'"),
        ("IVF4,PQ8", "is unknown; use 'auto', 'Flat'"),
        ("IVF0,SQ8", "is unknown"),
        ("Nonsense", "is unknown"),
        ("", "is unknown"),
        ("IVF201,SQ8", "does not suit 200 vectors of 8 numbers"),
    ],
)
def test_indexes_that_cannot_do_the_work_are_refused_when_built(
    store: Store, factory: str, why: str
) -> None:
    ids = np.arange(200, dtype=np.int64)
    with pytest.raises(ConfigurationError, match=why):
        build(store, checkpoint(), source(ids, random_vectors(200)), factory=factory)
    assert generations(store) == ()


def test_the_number_of_cases_decides_on_the_kind_of_index() -> None:
    assert [factory_for(count, 256) for count in (1, FLAT_LIMIT, 1_000_000)] == [
        "Flat",
        "Flat",
        "PCA80,IVF2000,SQ8",
    ]


@pytest.mark.parametrize("factory", ["Flat", "IDMap2,Flat"])
def test_a_kind_that_was_asked_for_is_remembered(store: Store, factory: str) -> None:
    """The second name is that of earlier versions."""
    ids = np.arange(5, dtype=np.int64)
    manifest = build(store, checkpoint(), source(ids, random_vectors(5)), factory=factory)
    assert (manifest.factory, manifest.automatic) == ("Flat", False)
    assert generations(store) == (manifest,)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of one generation, which has all kinds of files."""
    store, ids = Store(tmp_path_factory.mktemp("trained")), np.arange(200, dtype=np.int64)
    build(store, checkpoint(), source(ids, random_vectors(200)), factory="IVF4,SQ8")
    return store


def with_lists(store: Store, trained: Store) -> Manifest:
    """Copy it into a store: to train lists takes longer than to look at them."""
    shutil.copytree(trained.root, store.root)
    (manifest,) = generations(store)
    return manifest


@pytest.mark.parametrize("name", [*ROWS, "ivf.faiss", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "grow", "empty", "remove"])
def test_every_file_of_another_size_is_refused_with_the_mend(
    store: Store, trained: Store, name: str, damage: str
) -> None:
    publish(store, with_lists(store, trained).name)
    path = store.generations / current(store) / name
    content = path.read_bytes()
    path.unlink()
    if damage != "remove":
        changed = {"cut": content[: len(content) // 2], "grow": content + b"{", "empty": b""}
        path.write_bytes(changed[damage])
    with pytest.raises(CorruptArtefact, match="xemplar index") as caught:
        open_generation(store, checkpoint())
    assert name in str(caught.value) or name == "manifest.json"


@pytest.mark.parametrize("name", [*ROWS, "ivf.faiss"])
def test_digests_tell_a_changed_bit(store: Store, trained: Store, name: str) -> None:
    manifest = with_lists(store, trained)
    folder = store.generations / manifest.name
    check_files(folder, manifest)
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(CorruptArtefact, match=rf"{name} is .* bytes.*xemplar index"):
        check_files(folder, manifest)


def rewritten(store: Store, name: str, content: bytes) -> None:
    """Replace a file of the live generation by another, which its manifest says is right."""
    folder = store.generations / current(store)
    (folder / name).write_bytes(content)
    files = json.loads((folder / "manifest.json").read_bytes())["files"]
    record = FileRecord.of(folder / name)
    files[name] = {"sha256": record.sha256, "size": record.size}
    edit_manifest(store, folder.name, files=files)


@pytest.mark.parametrize("content", [b"no array", b"\x93NUMPY\x01\x00\x04\x00{} \n"])
def test_a_file_that_is_no_array_is_refused(store: Store, content: bytes) -> None:
    publish(store, built(store).name)
    rewritten(store, "vectors.npy", content)
    with pytest.raises(CorruptArtefact, match=r"vectors\.npy is no array.*xemplar reindex"):
        open_generation(store, checkpoint())


def test_an_array_of_another_type_is_refused(store: Store) -> None:
    publish(store, built(store).name)
    written = io.BytesIO()
    np.save(written, random_vectors(5).astype(np.float64))
    rewritten(store, "vectors.npy", written.getvalue())
    with pytest.raises(CorruptArtefact, match=r"types .*<f8.*xemplar index"):
        open_generation(store, checkpoint())


@pytest.mark.parametrize("name", [*ROWS, "ivf.faiss"])
def test_a_file_that_is_cut_under_an_open_generation_is_refused(
    store: Store, trained: Store, name: str
) -> None:
    """Reading beyond its end would kill the process."""
    publish(store, with_lists(store, trained).name)
    generation = open_generation(store, checkpoint())
    vector = generation.vector(7)
    for ask in (generation.vector, generation.cams, generation.logits):
        ask(7)
    with (store.generations / current(store) / name).open("r+b") as file:
        file.truncate(4096 if name == "ivf.faiss" else 10)
    for ask in (generation.vector, generation.cams, generation.logits):
        with pytest.raises(CorruptArtefact, match=rf"{name} is .*generations activate"):
            ask(7)
    with pytest.raises(CorruptArtefact, match=rf"{name} is .*generations activate"):
        generation.search(vector, 3)


def test_a_deleted_generation_that_is_open_answers_on(store: Store, trained: Store) -> None:
    first, second = with_lists(store, trained), built(store)
    publish(store, first.name)
    generation = open_generation(store, checkpoint())
    publish(store, second.name)
    remove(store, first.name)
    assert generation.search(random_vectors(200)[7], 1).ids.tolist() == [7]
    assert generation.cams(7).shape == (2, 2, 2)


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
        ("schema", 3, CorruptArtefact),
        ("automatic", "perhaps", CorruptArtefact),
        ("probes", [{"share": 1}], CorruptArtefact),
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


def test_inverted_lists_of_another_metric_are_refused(store: Store, trained: Store) -> None:
    publish(store, with_lists(store, trained).name)
    index = faiss.index_factory(SIZE, "IVF4,SQ8", faiss.METRIC_L2)
    index.train(random_vectors(200))
    index.add(random_vectors(200))
    rewritten(store, "ivf.faiss", faiss.serialize_index(index).tobytes())
    with pytest.raises(CorruptArtefact, match=r"ivf\.faiss has .*xemplar reindex"):
        open_generation(store, checkpoint())


def test_a_file_that_holds_no_lists_is_refused(store: Store, trained: Store) -> None:
    publish(store, with_lists(store, trained).name)
    rewritten(store, "ivf.faiss", b"no lists of FAISS at all")
    with pytest.raises(CorruptArtefact, match=r"ivf\.faiss holds no .*xemplar reindex"):
        open_generation(store, checkpoint())


def test_vectors_and_maps_are_not_read_into_memory(store: Store) -> None:
    publish(store, built(store).name)
    generation = open_generation(store, checkpoint())
    for array in (generation._vectors, generation._cams, generation._logits):
        assert isinstance(array.base, mmap.mmap)


def test_a_full_disk_leaves_no_generation(tmp_path: Path) -> None:
    """The live one stays."""
    try:
        with small_disk(1) as disk:
            store = Store(disk.root)
            live = built(store)
            publish(store, live.name)
            ids = np.arange(40_000, dtype=np.int64)
            with pytest.raises(StorageFull):
                build(store, checkpoint(), source(ids, random_vectors(40_000), size=4_000))
            assert generations(store) == (live,)
            assert [path.name for path in store.generations.glob(".*")] == []
            assert len(open_generation(store, checkpoint())) == live.count
    except NoDisk as reason:
        pytest.skip(str(reason))
