"""The commands, as a user types them."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pytest
import typer
from sqlalchemy import text
from typer.testing import CliRunner, Result
from xemplar_indexer.cli import index, phantoms
from xemplar_indexer.cli_generations import generations
from xemplar_indexer.cli_jobs import jobs

from tests import hostile
from tests.images import dicom, drawn_image
from tests.xemplar.indexing.test_job import data_set
from xemplar.archive.store import Store
from xemplar.catalog import open_catalog
from xemplar.data.datasets import open_dataset
from xemplar.data.splits import PatientSplit
from xemplar.errors import (
    ConfigurationError,
    CorruptArtefact,
    DatasetError,
    InvalidArgument,
    Mismatch,
    NotFound,
    NothingIndexed,
)
from xemplar.imaging import Limits, Radiograph, decode
from xemplar.imaging.decoder_pool import decoder
from xemplar.index import SimilarityCalibration, current, remove
from xemplar.index import generations as all_generations
from xemplar.model.checkpoint import Checkpoint, load, save
from xemplar.operations.jobs import Jobs
from xemplar.retrieval.snapshot import VALIDATOR

LINE = typer.Typer()
LINE.command("index")(index)
LINE.command("phantoms")(phantoms)
LINE.add_typer(generations, name="generations")
LINE.add_typer(jobs, name="jobs")


@contextmanager
def decoding_here(workers: int, limits: Limits, seconds: int) -> Iterator[partial[Radiograph]]:
    """In place of `decoder`, whose workers start for longer than the rest of a test takes."""
    yield partial(decode, limits=limits)


@pytest.fixture
def call(tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("XEMPLAR_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("XEMPLAR_CHECKPOINT", str(tiny_checkpoint))
    monkeypatch.delenv("XEMPLAR_DATABASE_URL", raising=False)
    monkeypatch.setattr("xemplar.imaging.decoder_pool.decoder", decoding_here)

    def run(*words: object, fails: bool = False) -> Result:
        result = CliRunner().invoke(LINE, [str(word) for word in words])
        if not fails and result.exception:
            raise result.exception
        return result

    return run


def test_index_list_and_go_back(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    first = call("index", data_set(tmp_path / "one", range(3)))
    assert "3 images embedded" in first.stdout
    assert "with 3 cases is live" in first.stdout
    second = call("index", data_set(tmp_path / "two", range(3, 7)), "--no-publish")
    assert "with 7 cases built, not published" in second.stdout
    listed = call("generations", "list").stdout.splitlines()[1:]
    assert [line.split()[0] == "live" for line in listed] == [True, False]
    newer = listed[1].split()[0]
    assert newer in call("generations", "activate", newer).stdout
    listed = call("generations", "list").stdout.splitlines()[1:]
    assert [line.split()[0] == "live" for line in listed] == [False, True]


def test_indexing_again_leaves_the_live_generation(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = data_set(tmp_path / "one", range(3))
    call("index", folder)
    again = call("index", folder)
    assert "0 images embedded" in again.stdout
    assert "3 embedded before" in again.stdout
    assert "is live already" in again.stdout


def test_an_image_that_decodes_without_end_holds_up_no_archive(  # type: ignore[no-untyped-def]
    call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xemplar.imaging.decoder_pool.decoder", decoder)
    monkeypatch.setattr("xemplar_indexer.cli.DECODE_SECONDS", 10)
    folder = data_set(tmp_path / "one", range(3))
    (folder / "1.png").write_bytes(hostile.scans_without_end(100_000))
    done = call("index", folder)
    assert "2 images embedded" in done.stdout
    assert "left out" in done.stderr
    assert "1.png" in done.stderr


def test_the_validator_learns_before_a_service_starts(  # type: ignore[no-untyped-def]
    call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xemplar.retrieval.snapshot.MIN_IMAGES", 4)
    monkeypatch.setattr("xemplar.imaging.validation.validator.MIN_IMAGES", 4)
    call("index", data_set(tmp_path / "one", range(4)))
    store = Store(tmp_path / "store")
    assert (store.generations / current(store) / VALIDATOR).is_file()


def test_limit_and_split(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = data_set(tmp_path / "one", range(5))
    assert "2 images embedded" in call("index", folder, "--limit", 2).stdout
    assert "3 images embedded" in call("index", folder, "--split", "train").stdout
    with pytest.raises(DatasetError, match="no image is of the split test; there are: train"):
        call("index", folder, "--split", "test")


def test_the_checkpoint_says_who_is_in_a_split(call, tmp_path: Path, tiny: Checkpoint) -> None:  # type: ignore[no-untyped-def]
    folder = data_set(tmp_path / "one", range(40), split="")
    rule = PatientSplit(seed=5, val=0.3, test=0.3)
    checkpoint = tmp_path / "split.safetensors"
    save(checkpoint, replace(tiny.card, training={"split": asdict(rule)}), tiny.weights)
    call("index", folder, "--split", "val", "--checkpoint", checkpoint)
    with open_catalog(Store(tmp_path / "store").database_url) as catalog:
        files = {file for file, _ in catalog.named_images("one")}
    images = open_dataset(folder).images
    assert files == {image.file for image in images if rule.of(image) == "val"}
    assert files != {image.file for image in images if PatientSplit().of(image) == "val"}


def indexed_patients(root: Path) -> dict[str, int]:
    """Source -> how many patients of it are in the store."""
    with open_catalog(Store(root / "store").database_url) as catalog:
        cases = catalog.cases(range(100)).values()
    pseudonyms = {(case.source, case.patient) for case in cases}
    return dict(Counter(source for source, _ in pseudonyms))


def test_folders_of_one_name_need_names_of_their_own(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    north = data_set(tmp_path / "north" / "images", range(4))
    south = data_set(tmp_path / "south" / "images", range(10, 14))
    with pytest.raises(DatasetError, match="would both be called 'images'"):
        call("index", north, south)
    assert not (tmp_path / "store").exists()
    call("index", north, south, "--source", "north", "--source", "south")
    assert indexed_patients(tmp_path) == {"north": 2, "south": 2}


def test_another_folder_of_the_same_name_is_noticed_later_too(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    north = data_set(tmp_path / "north" / "images", range(4))
    south = data_set(tmp_path / "south" / "images", range(10, 14))
    for number in range(4):  # the same names as in the other one
        (south / f"1{number}.png").rename(south / f"{number}.png")
    labels = (south / "labels.csv").read_text().replace("\n1", "\n")
    (south / "labels.csv").write_text(labels)
    call("index", north)
    with pytest.raises(DatasetError, match=r"4 images of a data set 'images' .*--source images"):
        call("index", south)
    assert indexed_patients(tmp_path) == {"images": 2}
    call("index", south, "--source", "south")
    assert indexed_patients(tmp_path) == {"images": 2, "south": 2}
    call("index", north)
    call("index", south, "--source", "south")
    assert indexed_patients(tmp_path) == {"images": 2, "south": 2}


def test_a_data_set_that_grows_moves_or_is_indexed_in_parts_is_the_same(
    call, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    folder = data_set(tmp_path / "images", range(70))
    call("index", folder, "--limit", 1)
    moved = tmp_path / "elsewhere" / "images"
    moved.parent.mkdir()
    folder.rename(moved)
    (moved / "9.png").write_bytes(b"another image by now")
    call("index", moved, "--limit", 3)
    assert indexed_patients(tmp_path) == {"images": 2}


def test_new_images_of_the_same_data_set_can_be_confirmed(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    call("index", data_set(tmp_path / "monday" / "images", range(4)))
    tuesday = data_set(tmp_path / "tuesday" / "images", range(4, 8))
    with pytest.raises(DatasetError, match="confirm it with --source images"):
        call("index", tuesday)
    call("index", tuesday, "--source", "images")
    assert indexed_patients(tmp_path) == {"images": 4}


def patients_of(tmp_path: Path) -> dict[str, str | None]:
    """Pseudonym of each image."""
    with open_catalog(Store(tmp_path / "store").database_url) as catalog:
        cases = catalog.cases(range(1, 100)).values()
    return {f"{case.source}/{case.file}": case.patient for case in cases}


def test_patients_of_one_identity_domain_are_the_same_in_two_data_sets(  # type: ignore[no-untyped-def]
    call, tmp_path: Path
) -> None:
    one, two = data_set(tmp_path / "one", [0, 1, 2]), data_set(tmp_path / "two", [3, 4])
    call("index", one, two)
    apart = patients_of(tmp_path)  # images 2 and 3 are of patient p1
    assert apart["one/2.png"] != apart["two/3.png"]
    call("index", one, two, "--patients", "town", "--patients", "town")
    shared = patients_of(tmp_path)
    assert shared["one/2.png"] == shared["two/3.png"] not in apart.values()
    assert len(set(shared.values())) == 3
    with open_catalog(Store(tmp_path / "store").database_url) as catalog:
        assert len(catalog.patient_ids(shared["one/2.png"])) == 2


def test_a_forgotten_identity_domain_does_not_part_patients(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = data_set(tmp_path / "one", range(4))
    call("index", folder, "--patients", "town")
    before = patients_of(tmp_path)
    with pytest.raises(Mismatch, match=r"4 images of one .*domain 'one'.*--patients NAME"):
        call("index", folder)
    assert patients_of(tmp_path) == before
    call("index", folder, "--patients", "one")  # said on purpose
    assert set(patients_of(tmp_path).values()).isdisjoint(before.values())
    labels = (folder / "labels.csv").read_text()
    (folder / "labels.csv").write_text(labels.replace("p1", "p9"))  # a correction
    call("index", folder)


def test_each_folder_has_one_identity_domain(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    one, two = data_set(tmp_path / "one", [0]), data_set(tmp_path / "two", [1])
    with pytest.raises(DatasetError, match=r"2 folder\(s\) and 1 identity domain"):
        call("index", one, two, "--patients", "town")
    with pytest.raises(DatasetError, match="an empty name"):
        call("index", one, "--patients", " ")
    with pytest.raises(InvalidArgument, match="control character"):
        call("index", one, "--patients", "a\x1b")
    assert not (tmp_path / "store").exists()


def test_what_was_left_out_is_listed_and_is_no_failure(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = data_set(tmp_path / "[bold]one", range(3))
    (folder / "1.png").write_bytes(b"no picture")
    result = call("index", folder)
    assert result.exit_code == 0
    assert "1 left out" in result.stdout
    assert "1.png: this is no PNG" in result.stderr
    assert "[bold]one" in result.stderr


def test_a_table_that_was_not_read_and_skipped_files_are_told(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = data_set(tmp_path / "one", range(3))
    (folder / "labels.csv").rename(folder / "radiology_export.csv")
    (folder / "notes.txt").write_text("of no use")
    (folder / "0.png").write_bytes(b"no picture")
    (folder / "1.png").write_bytes(b"no picture")
    result = call("index", folder)
    assert "seen and not read: radiology_export.csv; the 3 image(s)" in result.stderr
    assert "have no labels" in result.stderr
    assert "--columns" in result.stderr
    assert "2 left out (this is no PNG, JPEG, TIFF or DICOM file" in result.stdout
    assert "2 files skipped (no image: 1; table: 1)" in result.stdout


def test_columns_of_another_table_are_named(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = data_set(tmp_path / "one", range(3))
    table = folder / "export, of 2025.csv"
    text = (folder / "labels.csv").read_text()
    table.write_text(text.replace("file,", "Image Index,").replace("findings", '"Labels, final"'))
    (folder / "labels.csv").unlink()
    columns = 'file=Image Index,findings="Labels, final"'
    assert "3 images embedded" in call("index", folder, "--columns", columns).stdout
    (folder / "other.csv").touch()
    with pytest.raises(DatasetError, match=r"holds 2 tables .*--table"):
        call("index", folder, "--columns", columns)
    for named in (table, table.name):
        again = call("index", folder, "--columns", columns, "--table", named)
        assert "3 embedded before" in again.stdout
        assert "seen and not read: other.csv" in again.stderr
    with pytest.raises(DatasetError, match=r"lacks the column\(s\) Image Indx \(nearest"):
        call("index", folder, "--columns", "file=Image Indx", "--table", table)
    with pytest.raises(DatasetError, match=r"no table none\.csv"):
        call("index", folder, "--table", "none.csv")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("Image Index", "is not NAME=COLUMN"),
        ("file=", "is not NAME=COLUMN"),
        ("file=a,patient=b", "names 'patient', perhaps patient_id"),
        ("file=a,file=b", "names 'file' twice"),
        ("findings=a", "does not name the column of the image file"),
    ],
)
def test_columns_that_are_not_understood_are_refused(
    call,  # type: ignore[no-untyped-def]
    tmp_path: Path,
    columns: str,
    message: str,
) -> None:
    result = call("index", data_set(tmp_path / "one", range(1)), "--columns", columns, fails=True)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_unknown_findings_are_refused_kept_or_dropped(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = data_set(tmp_path / "one", range(2), findings="Sarcoid")
    with pytest.raises(DatasetError, match="'Sarcoid'"):
        call("index", folder)
    assert "dropped: 'Sarcoid'" in call("index", folder, "--unknown-findings", "drop").stderr
    assert "kept: 'Sarcoid'" in call("index", folder, "--unknown-findings", "keep").stderr


def test_copies_and_other_parts_of_the_body_are_counted_as_left_out(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = data_set(tmp_path / "one", range(3))
    call("index", folder)
    copies = tmp_path / "export"
    copies.mkdir()
    for seed in range(3):
        (copies / f"{seed}.dcm").write_bytes(dicom(drawn_image(seed)))
    again = call("index", copies)
    assert "3 left out" in again.stdout
    assert "with 3 cases is live already" in again.stdout
    assert "0.dcm: it shows the same image as another case" in again.stderr
    (copies / "0.dcm").write_bytes(dicom(drawn_image(9), BodyPartExamined="LEG"))
    assert "with 3 cases" in call("index", copies).stdout
    assert "with 4 cases" in call("index", copies, "--any-body-part").stdout


def test_nothing_usable_fails(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = data_set(tmp_path / "one", range(2))
    for image in folder.glob("*.png"):
        image.write_bytes(b"no picture")
    result = call("index", folder, fails=True)
    assert result.exit_code == 1
    assert "none of 2 images was usable" in result.stderr


def test_an_interrupt_says_how_to_go_on(call, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("xemplar.indexing.job.embed_images", interrupt)
    result = call("index", data_set(tmp_path / "one", range(2)), fails=True)
    assert result.exit_code == 130
    assert "run the same command to continue" in result.stderr


def test_clear_errors(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(NothingIndexed, match="xemplar index"):
        call("generations", "list")
    said = call("index", tmp_path / "nothing", fails=True).stderr
    assert "does not exist" in " ".join(said.replace("│", " ").split())
    call("index", data_set(tmp_path / "one", range(2)))
    with pytest.raises(NotFound, match="no generation 'x'"):
        call("generations", "activate", "x")


def test_phantoms_can_be_indexed(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    result = call("phantoms", tmp_path / "phantoms", "--count", 3, "--size", 128)
    assert "3 images in" in result.stdout
    assert "3 images embedded" in call("index", tmp_path / "phantoms").stdout


def test_a_measured_calibration_is_published_and_kept_by_later_generations(  # type: ignore[no-untyped-def]
    call, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    call("index", data_set(tmp_path / "one", range(3)))
    curve = SimilarityCalibration(load(tiny_checkpoint).digest, "one", 3, 9, (0, 1), (0.1, 0.9))
    (tmp_path / "similarity.json").write_text(json.dumps(asdict(curve)))
    said = call("generations", "calibrate", tmp_path / "similarity.json").stdout
    assert "is live, calibrated" in said
    call("index", data_set(tmp_path / "two", range(3, 7)))
    store = Store(tmp_path / "store")
    assert [m.calibration for m in all_generations(store)] == [None, curve, curve]
    assert [m.count for m in all_generations(store)] == [3, 3, 7]


def test_the_index_is_calibrated_on_its_own_cases(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    call("phantoms", tmp_path / "phantoms", "--count", 14, "--size", 128)
    call("index", tmp_path / "phantoms")
    assert "is live, calibrated" in call("generations", "calibrate").stdout
    measured = all_generations(Store(tmp_path / "store"))[-1].calibration
    assert measured is not None
    assert (measured.source, measured.images) == ("phantoms", 14)


def test_a_calibration_that_cannot_be_used_changes_nothing(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    call("index", data_set(tmp_path / "one", range(3)))
    other = SimilarityCalibration("2" * 64, "one", 3, 9, (0, 1), (0.1, 0.9))
    for content, error in (
        ("no JSON", ConfigurationError),
        ("[]", CorruptArtefact),
        (json.dumps(asdict(other)), Mismatch),
    ):
        (tmp_path / "similarity.json").write_text(content)
        with pytest.raises(error):
            call("generations", "calibrate", tmp_path / "similarity.json")
    assert len(all_generations(Store(tmp_path / "store"))) == 1


def test_old_generations_are_deleted_but_never_the_live_one(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    store = Store(tmp_path / "store")
    for n in range(4):
        call("index", data_set(tmp_path / f"set{n}", range(3 * n, 3 * n + 3)))
    names = [one.name for one in all_generations(store)]
    call("generations", "activate", names[0])
    said = call("generations", "prune", "--keep", "1").stdout
    assert said == f"2 deleted, 2 kept; {names[0]} is live\n"
    assert [one.name for one in all_generations(store)] == [names[0], names[3]]
    assert sorted(p.name for p in store.generations.iterdir()) == [names[0], names[3], "CURRENT"]
    assert "0 deleted" in call("generations", "prune", "--keep", "1").stdout


def test_digests_are_compared_on_request(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """A service that opens a generation only compares sizes."""
    store = Store(tmp_path / "store")
    for n in range(3):
        call("index", data_set(tmp_path / f"set{n}", range(3 * n, 3 * n + 3)))
    names = [one.name for one in all_generations(store)]
    said = call("generations", "check")
    assert said.stdout == "".join(f"{name} intact\n" for name in names)
    (store.generations / names[0] / "manifest.json").write_bytes(b"{")
    logits = store.generations / names[1] / "logits.npy"
    content = bytearray(logits.read_bytes())
    content[-1] ^= 1
    logits.write_bytes(content)
    said = call("generations", "check", fails=True)
    assert said.exit_code == 1
    assert said.stdout == f"{names[0]} damaged\n{names[1]} damaged\n{names[2]} intact\n"
    assert "manifest.json cannot be read" in said.stderr
    assert re.search(r"logits\.npy is .* bytes, \w{12}, its manifest says", said.stderr)


def test_a_damaged_generation_is_listed_refused_and_pruned(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    store = Store(tmp_path / "store")
    for n in range(3):
        call("index", data_set(tmp_path / f"set{n}", range(3 * n, 3 * n + 3)))
    names = [one.name for one in all_generations(store)]
    (store.generations / names[0] / "manifest.json").write_bytes(b"{")
    (store.generations / names[1] / "vectors.npy").write_bytes(b"x")
    said = call("generations", "list")
    assert re.search(rf"damaged +{names[0]}", said.stdout)
    assert all(name in said.stdout for name in names)
    assert "manifest.json cannot be read" in said.stderr
    for name in names[:2]:
        with pytest.raises(CorruptArtefact, match=name):
            call("generations", "activate", name)
    assert current(store) == names[2]
    assert "2 deleted, 1 kept" in call("generations", "prune", "--keep", "1").stdout


def test_the_live_generation_cannot_be_removed(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    store = Store(tmp_path / "store")
    call("index", data_set(tmp_path / "set", range(3)))
    with pytest.raises(ConfigurationError, match="is live and cannot be deleted"):
        remove(store, all_generations(store)[0].name)
    with pytest.raises(NotFound, match="no generation"):
        remove(store, "../catalog.sqlite")


def test_index_keeps_the_checkpoint_in_the_store_and_mends_a_damaged_copy(  # type: ignore[no-untyped-def]
    call, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    images, digest = data_set(tmp_path / "one", range(3)), load(tiny_checkpoint).digest
    call("index", images)
    kept = Store(tmp_path / "store").checkpoint(digest)
    assert load(kept).digest == digest
    kept.write_bytes(b"damaged")
    call("index", images)
    assert load(kept).digest == digest


@pytest.mark.parametrize("content", [None, b"damaged"], ids=["missing", "damaged"])
def test_a_generation_whose_checkpoint_cannot_be_loaded_is_not_activated(  # type: ignore[no-untyped-def]
    call,
    tmp_path: Path,
    tiny_checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes | None,
) -> None:
    store = Store(tmp_path / "store")
    call("index", data_set(tmp_path / "one", range(3)))
    live = current(store)
    call("index", data_set(tmp_path / "two", range(3, 5)), "--no-publish")
    newer = all_generations(store)[-1].name
    kept = store.checkpoint(load(tiny_checkpoint).digest)
    kept.unlink()
    if content is not None:
        kept.write_bytes(content)
    monkeypatch.delenv("XEMPLAR_CHECKPOINT")  # the shipped one is another
    with pytest.raises((Mismatch, CorruptArtefact)):
        call("generations", "activate", newer)
    assert current(store) == live


def test_a_catalog_that_lacks_cases_of_a_generation_is_not_answered_from(  # type: ignore[no-untyped-def]
    call, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    call("index", data_set(tmp_path / "one", range(3)))
    live = current(store)
    call("index", data_set(tmp_path / "two", range(3, 5)), "--no-publish")
    newer = all_generations(store)[-1].name
    with open_catalog(store.database_url) as catalog, catalog.engine.begin() as connection:
        connection.execute(text("DELETE FROM cases WHERE id = 4"))
    with pytest.raises(Mismatch, match="lacks 1 of the 5 cases"):
        call("generations", "activate", newer)
    assert current(store) == live


def test_burnt_in_text_is_counted_by_reason_and_taken_on_request(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "export"
    folder.mkdir()
    for seed, burned in enumerate(("NO", "YES", "YES")):
        (folder / f"{seed}.dcm").write_bytes(dicom(drawn_image(seed), BurnedInAnnotation=burned))
    said = " ".join(call("index", folder).stdout.split())
    assert "2 left out (the DICOM header says that it contains burned-in text" in said
    assert "to index it anyway: 2)" in said
    assert "with 3 cases" in call("index", folder, "--burned-in-text").stdout


@pytest.mark.parametrize("name", ["[red]x[/]", "[/closing]", "a\\[b]"])
def test_names_of_sources_and_images_are_shown_as_they_are_written(  # type: ignore[no-untyped-def]
    call, tmp_path: Path, name: str
) -> None:
    folder = data_set(tmp_path / "one", range(2), findings="Sarcoid")
    (folder / "0.png").write_bytes(b"no picture")
    done = call("index", folder, "--source", name, "--unknown-findings", "keep")
    assert f"note {name}: unknown findings kept: 'Sarcoid'" in done.stderr
    images = tmp_path / "images"
    images.mkdir()
    (images / "\x1b[2J[bold].png").write_bytes(b"no picture")
    (images / "1.png").write_bytes((folder / "1.png").read_bytes())
    left = call("index", images).stderr
    assert r"\x1b[2J[bold].png" in left
    assert "\x1b" not in left


def test_a_purge_deletes_generations_with_removed_cases(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    call("index", data_set(tmp_path / "one", range(3)))
    store = Store(tmp_path / "store")
    old = current(store)
    assert "no generation contains removed cases" in call("generations", "purge").stdout
    with open_catalog(store.database_url) as catalog:
        ((case, *_),) = [tuple(catalog.cases(range(10)).values())]
        catalog.remove([case.case_id])
    assert "1 generations with removed cases deleted" in call("generations", "purge").stdout
    assert current(store) != old
    assert [one.name for one in all_generations(store)] == [current(store)]


def test_jobs_are_listed_with_what_is_written_of_them(  # type: ignore[no-untyped-def]
    call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    call("index", data_set(tmp_path / "one", range(2)))
    with open_catalog(Store(tmp_path / "store").database_url) as catalog:
        all_jobs = Jobs(catalog.engine)
        job = all_jobs.claim(all_jobs.create("[red]x[/]", {}).id, "worker")
        assert job
        all_jobs.fail(job, "[/closing] \x1b[2J")
    listed = call("jobs", "list").stdout
    assert "[red]x[/]" in listed
    assert r"[/closing] \x1b[2J" in listed
