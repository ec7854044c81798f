"""The index job: complete, safe to kill, and the same numbers as the upload path."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.images import dicom, drawn_image, encoded, seeded_weights
from xemplar.archive.media import Media
from xemplar.archive.store import Store
from xemplar.catalog import Catalog, Description, Generations, migrate, open_catalog
from xemplar.data.datasets import DatasetImage, open_dataset
from xemplar.errors import NothingIndexed
from xemplar.imaging import decode
from xemplar.imaging.preprocess import preprocess
from xemplar.index import open_generation
from xemplar.indexing.copies import SAME_IMAGE
from xemplar.indexing.job import embed_images
from xemplar.indexing.publishing import build_generation
from xemplar.indexing.reader import Reader, SkippedImage
from xemplar.indexing.result import IndexingResult
from xemplar.model.checkpoint import Checkpoint, load, save
from xemplar.model.densenet import Features
from xemplar.model.encoder import Encoder, Precision, open_encoder
from xemplar.model.explain import grad_cam
from xemplar.retrieval.ingest import add_case


def data_set(root: Path, seeds: Sequence[int], **column: str) -> Path:
    """A folder of drawn images with a labels.csv."""
    root.mkdir(parents=True)
    with (root / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "patient_id", "view", "sex", "age", "findings", "split"])
        for seed in seeds:
            name = f"{seed}.png"
            (root / name).write_bytes(encoded(drawn_image(seed)))
            findings = column.get("findings", "Mass" if seed % 2 else "No Finding")
            split = column.get("split", "train")
            writer.writerow([name, f"p{seed // 2}", "PA", "F", "50", findings, split])
    return root


def dicom_folder(root: Path, **fields: str) -> Path:
    """A folder as a CD has it: a DICOM file without a suffix, and no table."""
    root.mkdir(parents=True)
    (root / "IM000001").write_bytes(dicom(drawn_image(5), **fields))
    return root


class Counting(Encoder):
    """Counts the images that go through the network."""

    images = 0

    def encode(self, inputs: np.ndarray) -> Features:
        self.images += len(inputs)
        return super().encode(inputs)


@pytest.fixture
def encoder(tiny: Checkpoint) -> Counting:
    return Counting(tiny, open_encoder(tiny, precision=Precision.FLOAT32)._backend)


def run(store: Store, catalog: Catalog, encoder: Encoder, *folders: Path) -> IndexingResult:
    images = [image for folder in folders for image in open_dataset(folder).images]
    return embed_images(images, store, catalog, encoder, workers=3)


def test_everything_ends_in_catalog_media_and_index(
    store: Store, catalog: Catalog, encoder: Counting, tmp_path: Path
) -> None:
    folder = data_set(tmp_path / "set", range(20))
    outcome = run(store, catalog, encoder, folder)
    assert (outcome.embedded, outcome.reused, outcome.unreadable) == (20, 0, ())
    published = build_generation(store, catalog, encoder.checkpoint)
    assert (published.count, published.is_new) == (20, True)
    generation = open_generation(store, encoder.checkpoint)
    cases = catalog.cases(generation.ids)
    assert sorted(case.file for case in cases.values()) == sorted(f"{n}.png" for n in range(20))
    assert [case.file for case in cases.values()] == [f"{n}.png" for n in range(20)]
    one = cases[int(generation.ids[3])]
    assert (one.source, one.findings, one.view, one.sex, one.age) == (
        "set",
        ("Mass",),
        "PA",
        "F",
        50,
    )
    assert (one.height, one.width, one.split) == (96, 80, "train")
    assert one.patient == store.pseudonym("set", "p1")
    assert catalog.patient_ids(one.patient) == tuple(int(i) for i in generation.ids[2:4])
    (record,) = Generations(catalog.engine).all()
    assert record.name == published.name
    assert record.published_at is not None


def test_the_batch_path_gives_what_the_upload_path_gives(
    store: Store, catalog: Catalog, encoder: Counting, tmp_path: Path
) -> None:
    """19 images, so that the last batch has another size than the others."""
    folder = data_set(tmp_path / "set", range(19))
    run(store, catalog, encoder, folder)
    build_generation(store, catalog, encoder.checkpoint)
    generation = open_generation(store, encoder.checkpoint)
    spec, media = encoder.checkpoint.card.spec, Media(store.media)
    classifier = encoder.checkpoint.weights["classifier.weight"]
    for case in catalog.cases(generation.ids).values():
        image = decode((folder / str(case.file)).read_bytes())
        inputs = preprocess(image, spec)
        np.testing.assert_array_equal(media.input(case.image_sha256, spec), inputs)
        features = encoder.encode(inputs[None])
        assert float(generation.vector(case.id) @ features.embedding[0]) > 0.999999
        np.testing.assert_allclose(generation.logits(case.id), features.logits[0], atol=1e-4)
        cams = grad_cam(features.maps, classifier)[0]
        np.testing.assert_allclose(generation.cams(case.id), cams, rtol=2e-3, atol=1e-4)
        assert generation.search(features.embedding[0], 1).ids[0] == case.id


def test_a_second_run_embeds_nothing_but_takes_over_new_labels(
    store: Store, catalog: Catalog, encoder: Counting, tmp_path: Path
) -> None:
    folder = data_set(tmp_path / "set", range(5))
    run(store, catalog, encoder, folder)
    first = build_generation(store, catalog, encoder.checkpoint)
    labels = folder / "labels.csv"
    labels.write_text(labels.read_text().replace("Mass", "Edema"))
    outcome = run(store, catalog, encoder, folder)
    assert (outcome.embedded, outcome.reused, encoder.images) == (0, 5, 5)
    found = {
        case.findings
        for case in catalog.cases(catalog.embedded_ids(encoder.checkpoint.digest)).values()
    }
    assert found == {("Edema",), ("No Finding",)}
    again = build_generation(store, catalog, encoder.checkpoint, changed=False)
    assert (again.name, again.is_new) == (first.name, False)


def test_lost_or_torn_pictures_are_made_again(
    store: Store, catalog: Catalog, encoder: Counting, tmp_path: Path
) -> None:
    folder = data_set(tmp_path / "set", range(4))
    run(store, catalog, encoder, folder)
    pictures = sorted(store.media.rglob("*.png"))
    pictures[0].unlink()
    pictures[1].write_bytes(b"")
    outcome = run(store, catalog, encoder, folder)
    assert (outcome.embedded, outcome.reused) == (2, 2)
    assert all(picture.stat().st_size for picture in pictures)
    assert catalog.count() == 4


def test_an_image_in_another_file_is_left_out_and_counted(
    store: Store, catalog: Catalog, encoder: Counting, tmp_path: Path
) -> None:
    """Of a data set that was published in two resolutions, in one job or in two."""
    small = data_set(tmp_path / "small", range(6))
    large = data_set(tmp_path / "large", range(4, 8))
    for path in large.glob("*.png"):
        path.write_bytes(encoded(drawn_image(int(path.stem), 384, 320)))
    outcomes = run(store, catalog, encoder, small, large), run(store, catalog, encoder, large)
    for outcome in outcomes:
        assert outcome.copies == len(outcome.unreadable) == 2
        assert {image.path.name for image in outcome.unreadable} == {"4.png", "5.png"}
        assert {image.reason for image in outcome.unreadable} == {SAME_IMAGE}
    assert [outcome.reused for outcome in outcomes] == [0, 2]
    assert catalog.count() == 8
    assert len(list(store.media.rglob("*.jpg"))) == 8


def test_cases_stay_cases_whatever_images_they_show(
    store: Store, catalog: Catalog, encoder: Counting, tiny: Checkpoint, tmp_path: Path
) -> None:
    """Of an archive in which copies were indexed, another checkpoint embeds all."""
    folder = data_set(tmp_path / "set", range(2))
    images = [encoded(drawn_image(9)), encoded(drawn_image(9, 384, 320))]
    for number, image in enumerate(images):
        (folder / f"{number}.png").write_bytes(image)
        about = Description(source="set")
        add_case(decode(image), about, encoder, catalog, Media(store.media))
    path = tmp_path / "other.safetensors"
    save(path, tiny.card, seeded_weights(tiny.card.architecture, len(tiny.card.findings), seed=5))
    outcome = run(store, catalog, open_encoder(load(path), precision=Precision.FLOAT32), folder)
    assert (outcome.embedded, outcome.copies) == (2, 0)


def test_another_part_of_the_body_is_left_out_unless_it_is_asked_for(
    store: Store, catalog: Catalog, encoder: Counting, tmp_path: Path
) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "chest.dcm").write_bytes(dicom(drawn_image(1), BodyPartExamined="CHEST"))
    (folder / "leg.dcm").write_bytes(dicom(drawn_image(2), BodyPartExamined="LEG"))
    outcome = run(store, catalog, encoder, folder)
    ((path, reason),) = [(image.path.name, image.reason) for image in outcome.unreadable]
    assert (outcome.embedded, path) == (1, "leg.dcm")
    assert "shows LEG, not a chest" in reason
    images = open_dataset(folder).images
    outcome = embed_images(images, store, catalog, encoder, any_body_part=True)
    assert (outcome.embedded, outcome.reused, outcome.unreadable) == (1, 1, ())


def test_unreadable_images_are_listed_and_left_out(
    store: Store, catalog: Catalog, encoder: Counting, tmp_path: Path
) -> None:
    folder = data_set(tmp_path / "set", range(6))
    (folder / "1.png").write_bytes(b"no picture")
    (folder / "2.png").write_bytes(b"")
    (folder / "3.png").unlink()
    (folder / "4.png").unlink()
    (folder / "4.png").mkdir()
    outcome = run(store, catalog, encoder, folder)
    assert outcome.embedded == 2
    reasons = {image.path.name: image.reason for image in outcome.unreadable}
    assert set(reasons) == {"1.png", "2.png", "3.png", "4.png"}
    assert "no PNG" in reasons["1.png"]
    assert "empty" in reasons["2.png"]
    assert "no such file" in reasons["3.png"]
    assert catalog.count() == 2


def test_an_image_too_large_is_refused_before_it_is_read(
    store: Store, catalog: Catalog, encoder: Counting, tmp_path: Path
) -> None:
    folder = data_set(tmp_path / "set", range(2))
    with (folder / "1.png").open("wb") as file:
        file.truncate(2**40)  # a sparse file
    outcome = run(store, catalog, encoder, folder)
    (left,) = outcome.unreadable
    assert "1,099,511,627,776 bytes; the limit is" in left.reason


def test_a_pipe_that_took_the_place_of_an_image_is_not_waited_for(
    store: Store, tmp_path: Path, encoder: Counting
) -> None:
    image = DatasetImage(tmp_path / "1.png", "set")
    os.mkfifo(image.path)
    read = Reader(Media(store.media), encoder.checkpoint.card.spec, frozenset())
    assert read(image) == SkippedImage(image.path, "it is a pipe or device, not a file")


def test_the_same_picture_in_two_sets_is_one_case(
    store: Store, catalog: Catalog, encoder: Counting, tmp_path: Path
) -> None:
    one = data_set(tmp_path / "one", range(5), findings="Mass")
    two = data_set(tmp_path / "two", range(3, 9), findings="Edema")
    outcome = run(store, catalog, encoder, one, two)
    assert (outcome.embedded, outcome.reused, encoder.images) == (9, 2, 9)
    cases = catalog.cases(catalog.embedded_ids(encoder.checkpoint.digest)).values()
    assert {case.source for case in cases} == {"one", "two"}
    shared = next(case for case in cases if case.file == "3.png")
    assert (shared.source, shared.findings) == ("two", ("Edema",))
    assert shared.patient == store.pseudonym("two", "p1")


def test_the_split_that_an_image_is_in_is_kept_even_if_the_data_set_names_none(
    store: Store, catalog: Catalog, encoder: Counting, tmp_path: Path
) -> None:
    folder = data_set(tmp_path / "set", range(20), split="")
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "1.png").write_bytes(encoded(drawn_image(99)))
    run(store, catalog, encoder, folder, plain)
    rule = encoder.checkpoint.card.split
    cases = catalog.cases(catalog.embedded_ids(encoder.checkpoint.digest)).values()
    expected = {image.file: rule.of(image) for image in open_dataset(folder).images}
    assert {case.file: case.split for case in cases} == {**expected, None: None}
    assert len(set(expected.values())) > 1


def test_no_name_of_a_patient_or_a_plain_image_is_kept(
    store: Store, catalog: Catalog, encoder: Counting, tmp_path: Path
) -> None:
    labelled = data_set(tmp_path / "set", range(2))
    text = (labelled / "labels.csv").read_text()
    (labelled / "labels.csv").write_text(text.replace("p0", "Jane-Doe"))
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "John-Doe.png").write_bytes(encoded(drawn_image(7)))
    run(store, catalog, encoder, labelled, plain)
    build_generation(store, catalog, encoder.checkpoint)
    assert catalog.count() == 3
    for path in store.root.rglob("*"):
        if path.is_file():
            assert b"Doe" not in path.read_bytes(), path


def test_an_image_in_which_the_network_sees_nothing_is_left_out(
    store: Store, catalog: Catalog, encoder: Counting, tmp_path: Path
) -> None:
    class Blind(Encoder):
        def encode(self, inputs: np.ndarray) -> Features:
            features = super().encode(inputs)
            features.embedding[0] = 0
            return features

    folder = data_set(tmp_path / "set", range(3))
    outcome = run(store, catalog, Blind(encoder.checkpoint, encoder._backend), folder)
    assert outcome.embedded == 2
    assert [image.reason for image in outcome.unreadable] == ["the network sees nothing in it"]
    assert catalog.count() == 2


def test_an_interrupted_job_keeps_its_finished_batches(
    store: Store, catalog: Catalog, encoder: Counting, tmp_path: Path
) -> None:
    folder = data_set(tmp_path / "set", range(60))

    def interrupt(done: int) -> None:
        if done == 40:
            raise KeyboardInterrupt

    images = open_dataset(folder).images
    with pytest.raises(KeyboardInterrupt):
        embed_images(images, store, catalog, encoder, workers=2, on_progress=interrupt)
    assert catalog.count() == 32
    outcome = run(store, catalog, encoder, folder)
    assert (outcome.embedded, outcome.reused, encoder.images) == (28, 32, 60)


def test_two_streams_give_what_one_gives(
    store: Store, catalog: Catalog, encoder: Counting, tmp_path: Path, tiny: Checkpoint
) -> None:
    folder = data_set(tmp_path / "set", range(50))
    (folder / "0.png").write_bytes(encoded(drawn_image(40), compress_level=9))  # a copy, later
    shutil.copyfile(folder / "1.png", folder / "45.png")
    divided = open_encoder(tiny, precision=Precision.FLOAT32, threads=2, streams=2)
    other = Store(tmp_path / "other")
    migrate(other.database_url)
    with open_catalog(other.database_url) as of_two:
        results = run(store, catalog, encoder, folder), run(other, of_two, divided, folder)
        digests, vectors = zip(*(embeddings(one, tiny) for one in (catalog, of_two)), strict=True)
    assert {(one.embedded, one.reused, one.copies) for one in results} == {(48, 1, 1)}
    assert digests[0] == digests[1]
    assert (vectors[0] * vectors[1]).sum(axis=1).min() > 0.999999


def embeddings(
    catalog: Catalog, checkpoint: Checkpoint
) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Digests of the images and their embeddings, in the catalog's order."""
    batches = list(catalog.vectors(checkpoint.digest))
    ids = np.concatenate([batch.ids for batch in batches]).tolist()
    cases = catalog.cases(ids)
    vectors = np.concatenate([batch.vectors for batch in batches])
    return [cases[number].image_sha256 for number in ids], vectors


def test_an_error_of_the_writer_ends_the_job(
    store: Store,
    catalog: Catalog,
    encoder: Counting,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(catalog, "add", full)
    with pytest.raises(OSError, match="No space left"):
        run(store, catalog, encoder, data_set(tmp_path / "set", range(80)))
    assert encoder.images <= 48


def test_nothing_embedded_builds_nothing(store: Store, catalog: Catalog, encoder: Counting) -> None:
    with pytest.raises(NothingIndexed):
        build_generation(store, catalog, encoder.checkpoint, changed=False)


HEADER = {"ViewPosition": "AP", "PatientSex": "F", "PatientAge": "040Y"}


def test_sex_age_and_view_of_the_header_stand_where_no_table_tells_them(
    store: Store, catalog: Catalog, encoder: Counting, tmp_path: Path
) -> None:
    folder = dicom_folder(tmp_path / "cd", **HEADER)

    def described() -> tuple[str | None, str | None, int | None]:
        (case,) = catalog.page(encoder.checkpoint.digest)
        return case.view, case.sex, case.age

    run(store, catalog, encoder, folder)
    assert described() == ("AP", "F", 40)
    run(store, catalog, encoder, folder)
    assert described() == ("AP", "F", 40)
    table = folder / "labels.csv"
    table.write_text("file,findings,sex,age\nIM000001,Mass,M,\n")
    run(store, catalog, encoder, folder)  # the table wins, and what it leaves open stays
    assert described() == ("AP", "M", 40)
    assert encoder.images == 1


def test_a_table_wins_over_the_header(
    store: Store, catalog: Catalog, encoder: Counting, tmp_path: Path
) -> None:
    folder = dicom_folder(tmp_path / "cd", **HEADER)
    (folder / "labels.csv").write_text("file,findings,sex,age,view\nIM000001,Mass,M,0,PA\n")
    run(store, catalog, encoder, folder)
    (case,) = catalog.page(encoder.checkpoint.digest)
    assert (case.view, case.sex, case.age, case.findings) == ("PA", "M", 0, ("Mass",))


KILLED = """
import itertools, os, sys, time
from xemplar.model.encoder import Encoder
whole, count = Encoder.encode, itertools.count()
def encode(self, inputs):
    if next(count) == int(os.environ.get("BATCHES", -1)):
        time.sleep(1000)
    features = whole(self, inputs)
    print(f"encoded {len(inputs)}\\n", end="", flush=True)
    return features
Encoder.encode = encode
sys.argv = ["xemplar", "index", *sys.argv[1:]]
from xemplar.__main__ import main
main()
"""


def test_a_killed_job_goes_on_where_it_was(tmp_path: Path, tiny_checkpoint: Path) -> None:
    folder = data_set(tmp_path / "set", range(96))
    command = [sys.executable, "-c", KILLED, str(folder), "--store", str(tmp_path / "store")]
    command += ["--checkpoint", str(tiny_checkpoint), "--precision", "float32"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("XEMPLAR")}
    url = Store(tmp_path / "store").database_url
    some = env | {"BATCHES": "5"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=some) as job:
        assert job.stdout
        for _ in range(5):  # the first is written before the fifth is begun
            assert "encoded 16" in job.stdout.readline()
        job.send_signal(signal.SIGKILL)
    with open_catalog(url) as catalog:
        before = catalog.count()
    assert 0 < before < 96
    assert before % 16 == 0
    again = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
    encoded_now = sum(int(n) for n in re.findall(r"encoded (\d+)", again.stdout))
    assert encoded_now == 96 - before
    assert f"{before} embedded before" in again.stdout
    assert "with 96 cases is live" in again.stdout
    with open_catalog(url) as catalog:
        assert catalog.count() == 96
    generation = json.loads(
        next((tmp_path / "store" / "generations").glob("*/manifest.json")).read_text()
    )
    assert generation["count"] == 96


def test_burnt_in_text_is_left_out_unless_it_is_asked_for(
    store: Store, catalog: Catalog, encoder: Counting, tmp_path: Path
) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "clean.dcm").write_bytes(dicom(drawn_image(1), BurnedInAnnotation="NO"))
    (folder / "named.dcm").write_bytes(dicom(drawn_image(2), BurnedInAnnotation="YES"))
    outcome = run(store, catalog, encoder, folder)
    ((path, reason),) = [(image.path.name, image.reason) for image in outcome.unreadable]
    assert (outcome.embedded, path) == (1, "named.dcm")
    assert "burned-in text" in reason
    outcome = embed_images(
        open_dataset(folder).images, store, catalog, encoder, burned_in_text=True
    )
    assert (outcome.embedded, outcome.reused, outcome.unreadable) == (1, 1, ())
