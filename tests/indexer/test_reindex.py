"""A new generation from what is stored: changes merged, another checkpoint, nothing by halves."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from xemplar_indexer.reindex import reindex

import xemplar.archive.artefact
from tests.images import TINY, drawn_image, encoded, seeded_weights
from tests.stores import CASES, SmallStore
from tests.xemplar.index.vectors import to_first_schema
from xemplar.archive.media import Media
from xemplar.catalog import Batch, Catalog, Description
from xemplar.errors import ConfigurationError, CorruptArtefact
from xemplar.imaging import decode
from xemplar.index import (
    Changes,
    Hits,
    LiveIndex,
    SimilarityCalibration,
    current,
    generations,
    open_generation,
    read_manifest,
)
from xemplar.indexing.canary import check_generation
from xemplar.indexing.publishing import PublishedGeneration, build_generation
from xemplar.model.checkpoint import Checkpoint, load, save
from xemplar.model.encoder import Encoder, Precision, open_encoder
from xemplar.retrieval.ingest import add_case, delete_case
from xemplar.retrieval.retriever import Retriever
from xemplar.retrieval.snapshot import publish_usable


class Quiet:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.moves: list[tuple[int, int]] = []
        self.lines: list[str] = []

    def moved(self, done: int, total: int) -> None:
        self.moves.append((done, total))

    def say(self, line: str) -> None:
        self.lines.append(line)

    def confirm(self) -> None:
        self.lines.append("confirmed")


@pytest.fixture
def other(tmp_path: Path, tiny: Checkpoint) -> Checkpoint:
    """Another network with the same preprocessing."""
    path = tmp_path / "other.safetensors"
    save(path, tiny.card, seeded_weights(TINY, len(tiny.card.findings), seed=7))
    return load(path)


def encoder_of(checkpoint: Checkpoint) -> Encoder:
    return open_encoder(checkpoint, precision=Precision.FLOAT32)


def unused() -> Encoder:
    pytest.fail("no image is to be embedded")


def run(
    own: SmallStore,
    catalog: Catalog,
    checkpoint: Checkpoint,
    encoder: Callable[[], Encoder] = unused,
    watcher: Quiet | None = None,
) -> PublishedGeneration:
    return reindex(own.store, catalog, checkpoint, encoder, watcher or Quiet())


def test_what_came_and_went_is_merged(
    own: SmallStore, catalog: Catalog, checkpoint: Checkpoint
) -> None:
    media, image = Media(own.store.media), decode(encoded(drawn_image(50)))
    about = Description(source="clinic")
    new = add_case(image, about, encoder_of(checkpoint), catalog, media)
    (gone, *_) = catalog.page(checkpoint.digest)
    delete_case(gone.case_id, catalog, media)
    before = LiveIndex.of(open_generation(own.store, checkpoint), catalog)
    assert before.changes == Changes(added=1, removed=1)
    watcher = Quiet()
    published = run(own, catalog, checkpoint, watcher=watcher)
    after = LiveIndex.of(open_generation(own.store, checkpoint), catalog)
    assert (after.name, after.changes) == (published.name, Changes(0, 0))
    assert after.ids.tolist() == before.ids.tolist()
    assert new.id in after
    for number in map(int, after.ids):
        np.testing.assert_array_equal(after.vector(number), before.vector(number))
    assert watcher.moves[-1] == (CASES, CASES)
    assert watcher.lines.index("confirmed") == len(watcher.lines) - 2


def test_another_checkpoint_embeds_from_what_is_stored_as_it_would_from_the_images(
    own: SmallStore, catalog: Catalog, other: Checkpoint
) -> None:
    encoder = encoder_of(other)
    watcher = Quiet()
    published = run(own, catalog, other, lambda: encoder, watcher)
    assert published.count == CASES
    generation = open_generation(own.store, other)
    assert generation.manifest.checkpoint == other.digest
    for case in catalog.cases(generation.ids).values():
        inputs = Media(own.store.media).input(case.image_sha256, other.card.spec)
        expected = encoder.encode(inputs[None]).embedding[0]
        assert float(generation.vector(case.id) @ expected) > 0.999999
    assert case.file is not None, "descriptions stay"
    assert (CASES, CASES) in watcher.moves
    assert run(own, catalog, other).count == CASES, "the second time nothing is embedded"


def test_an_interrupted_change_of_checkpoint_goes_on_where_it_was(
    own: SmallStore, catalog: Catalog, checkpoint: Checkpoint, other: Checkpoint
) -> None:
    live = current(own.store)

    class Stop(Quiet):
        def confirm(self) -> None:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        run(own, catalog, other, lambda: encoder_of(other), Stop())
    assert current(own.store) == live
    assert len(generations(own.store)) == 1, "what was built is deleted again"
    assert open_generation(own.store, checkpoint).name == live
    assert run(own, catalog, other).count == CASES


def test_too_many_missing_inputs_are_told_and_nothing_is_published(
    own: SmallStore, catalog: Catalog, other: Checkpoint
) -> None:
    live = current(own.store)
    spec = replace(other.card.spec, fit="pad")
    padded = replace(other, card=replace(other.card, spec=spec), digest="9" * 64)
    with pytest.raises(ConfigurationError, match="run `xemplar index` on their data sets"):
        run(own, catalog, padded, lambda: encoder_of(padded))
    assert current(own.store) == live


def test_a_damaged_input_is_left_out_and_told(
    own: SmallStore,
    catalog: Catalog,
    other: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("xemplar_indexer.reindex.MAX_LOST", 0.1)
    (case, *_) = catalog.page(load(own.checkpoint).digest)
    for path in own.store.media.rglob(f"{case.image_sha256}.*.png"):
        path.write_bytes(b"damaged")
    watcher = Quiet()
    assert run(own, catalog, other, lambda: encoder_of(other), watcher).count == CASES - 1
    assert any(f"case {case.case_id} left out" in line for line in watcher.lines)


def test_a_case_removed_during_the_work_does_not_come_back(
    own: SmallStore, catalog: Catalog, other: Checkpoint
) -> None:
    (case, *_) = catalog.page(load(own.checkpoint).digest)

    class Removing(Encoder):
        def encode(self, inputs: np.ndarray) -> object:  # type: ignore[override]
            catalog.remove([case.case_id])
            return super().encode(inputs)

    encoder = Removing(other, encoder_of(other)._backend)
    assert run(own, catalog, other, lambda: encoder).count == CASES - 1
    assert catalog.count() == CASES - 1


def test_a_case_that_the_old_checkpoint_took_in_meanwhile_is_embedded_too(
    own: SmallStore, catalog: Catalog, checkpoint: Checkpoint, other: Checkpoint
) -> None:
    media, image = Media(own.store.media), decode(encoded(drawn_image(51)))

    class Taking(Quiet):
        def confirm(self) -> None:
            """The last moment before the other checkpoint answers."""
            add_case(image, Description(source="clinic"), encoder_of(checkpoint), catalog, media)

    published = run(own, catalog, other, lambda: encoder_of(other), Taking())
    assert published.count == CASES
    assert LiveIndex.of(open_generation(own.store, other), catalog).changes == Changes(1, 0)


def test_a_generation_that_does_not_find_its_cases_is_not_published(
    own: SmallStore, catalog: Catalog, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    live, vectors = current(own.store), catalog.vectors
    rows = [0]

    def shuffled(digest: str) -> Iterator[Batch]:
        """What is embedded changes between the building and the look at what was built."""
        rows[0] += 1
        for batch in vectors(digest):
            yield replace(batch, vectors=np.roll(batch.vectors, rows[0], axis=0))

    monkeypatch.setattr(catalog, "vectors", shuffled)
    with pytest.raises(CorruptArtefact, match="does not find itself in the new generation"):
        run(own, catalog, checkpoint)
    assert current(own.store) == live
    assert len(generations(own.store)) == 1


def test_cases_that_come_and_go_while_it_is_built_are_no_fault_of_a_generation(
    own: SmallStore, catalog: Catalog, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, readings, media = catalog.vectors, [0], Media(own.store.media)
    doomed = [case.case_id for case in catalog.page(checkpoint.digest)][:4]
    encoder = encoder_of(checkpoint)

    def changing(digest: str) -> Iterator[Batch]:
        """Before each look at what was built, a case comes and another one goes."""
        if readings[0]:
            image = decode(encoded(drawn_image(80 + readings[0])))
            add_case(image, Description(source="clinic"), encoder, catalog, media)
            delete_case(doomed[readings[0]], catalog, media)
        readings[0] += 1
        yield from vectors(digest)

    monkeypatch.setattr(catalog, "vectors", changing)
    published = run(own, catalog, checkpoint)
    assert readings[0] == 2
    assert published.count == CASES
    amended = LiveIndex.of(open_generation(own.store, checkpoint), catalog)
    assert amended.changes == Changes(added=1, removed=1)


def test_a_generation_with_poor_recall_is_refused(
    own: SmallStore, catalog: Catalog, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = open_generation(own.store, checkpoint)
    source = lambda: catalog.vectors(checkpoint.digest)  # noqa: E731
    assert check_generation(generation, source) == 1.0
    search = type(generation).search

    def far(vector: object, k: int, excluded: object = (), among: object = None) -> Hits:
        """The least similar cases, unless one is asked for."""
        hits = search(generation, vector, k if k == 1 else CASES, excluded, among)
        return Hits(hits.ids[-k:], hits.similarity[-k:])

    monkeypatch.setattr("xemplar.indexing.canary.K", 3)
    monkeypatch.setattr(generation, "search", far)
    with pytest.raises(CorruptArtefact, match=r"of the nearest cases, less than 0\.95.*--factory"):
        check_generation(generation, source)


@pytest.mark.parametrize("kind", ["short", "others"])
def test_a_generation_that_does_not_keep_to_a_filter_is_refused(
    own: SmallStore,
    catalog: Catalog,
    checkpoint: Checkpoint,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """As a graph, which loses neighbours; or an index that filters what it has found."""
    generation = open_generation(own.store, checkpoint)
    search = type(generation).search

    def careless(vector: object, k: int, excluded: object = (), among: object = None) -> Hits:
        if among is None:
            return search(generation, vector, k, excluded)
        if kind == "short":
            return search(generation, vector, max(1, k // 2), excluded, among)
        return search(generation, vector, k, excluded)

    monkeypatch.setattr(generation, "search", careless)
    with pytest.raises(CorruptArtefact, match="does not keep to a filter"):
        check_generation(generation, lambda: catalog.vectors(checkpoint.digest))


def test_what_a_kill_left_behind_is_swept_but_not_what_is_being_written(
    own: SmallStore, catalog: Catalog, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = time.time() - 2 * xemplar.archive.artefact.SWEEP_SECONDS
    left = own.store.generations / ".half.0123abcd"
    left.mkdir()
    (left / "vectors.npy").write_bytes(b"half")
    os.utime(left, (old, old))
    with xemplar.archive.artefact.new_folder(own.store.generations / "written") as beside:
        os.utime(beside, (old, old))
        run(own, catalog, checkpoint)
        assert not left.exists()
        assert beside.exists()


def test_pictures_that_a_killed_removal_left_are_deleted(
    own: SmallStore, catalog: Catalog, checkpoint: Checkpoint
) -> None:
    (case, *_) = catalog.page(checkpoint.digest)
    catalog.remove([case.case_id])
    assert list(own.store.media.rglob(f"*{case.image_sha256}*"))
    run(own, catalog, checkpoint)
    assert not list(own.store.media.rglob(f"*{case.image_sha256}*"))
    assert catalog.removed_pictures() == ()


def test_a_store_of_an_earlier_version_answers_and_is_written_anew(
    own: SmallStore, catalog: Catalog, checkpoint: Checkpoint
) -> None:
    curve = SimilarityCalibration(checkpoint.digest, "set", 9, 99, (0.0, 1.0), (0.1, 0.9))
    old = build_generation(own.store, catalog, checkpoint, calibration=curve).name
    to_first_schema(own.store, old)
    retriever = Retriever.open(own.checkpoint, own.store)
    before = [(one.case.case_id, one.similarity) for one in retriever.ask(own.images[0]).neighbours]
    published = build_generation(own.store, catalog, checkpoint, changed=False)
    assert published.is_new, "the same cases, in the present format"
    retriever.refresh()
    assert retriever.generation.manifest.schema == 2
    assert retriever.generation.manifest.calibration == curve
    after = [(one.case.case_id, one.similarity) for one in retriever.ask(own.images[0]).neighbours]
    assert after == before
    retriever.close()
    assert not build_generation(own.store, catalog, checkpoint, changed=False).is_new


def test_the_kind_of_index_that_was_asked_for_is_kept(
    own: SmallStore, catalog: Catalog, checkpoint: Checkpoint
) -> None:
    def factory() -> tuple[str, bool]:
        manifest = read_manifest(own.store.generations / current(own.store))
        return manifest.factory, manifest.automatic

    run(own, catalog, checkpoint)
    assert factory() == ("Flat", True)
    for asked, found in (
        ("IVF2,SQ8", "IVF2,SQ8"),
        ("", "IVF2,SQ8"),
        ("auto", "Flat"),
        ("", "Flat"),
    ):
        reindex(own.store, catalog, checkpoint, unused, Quiet(), factory=asked)
        assert factory() == (found, found == "Flat")


def test_a_damaged_generation_is_not_published_again(
    own: SmallStore, catalog: Catalog, checkpoint: Checkpoint
) -> None:
    """Sizes alone are compared whenever one is opened."""
    damaged = current(own.store)
    path = own.store.generations / damaged / "vectors.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    path.write_bytes(content)
    assert build_generation(own.store, catalog, checkpoint, changed=False).is_new
    with pytest.raises(CorruptArtefact, match=r"vectors\.npy is .*xemplar index"):
        publish_usable(damaged, own.store, catalog)
    assert current(own.store) != damaged
