"""Phantoms: their ground truth matches their pixels."""

import csv
from functools import cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xemplar.data.datasets import open_dataset
from xemplar.errors import ConfigurationError
from xemplar.imaging import decode
from xemplar.phantom import FINDINGS, Phantom, phantom, write_phantoms
from xemplar.phantom.film import film

LOCAL = ("Consolidation", "Effusion", "Mass", "Nodule")  # nothing changes outside their boxes
SEEDS = (0, 1, 2)  # they put every finding on either side at least once


@cache
def normal(seed: int, size: int) -> Phantom:
    """The image of a seed without findings."""
    return phantom(seed, size=size, findings={})


def change(image: Phantom) -> npt.NDArray[np.int64]:
    """Grey values that the findings add to the normal image of the same seed."""
    return image.pixels.astype(np.int64) - normal(image.seed, len(image.pixels)).pixels


def around(image: Phantom, margin: int) -> npt.NDArray[np.bool_]:
    """The pixels in an image's first box, with a margin."""
    x, y, w, h = (int(v) for v in image.findings[0].box)
    mask = np.zeros(image.pixels.shape, bool)
    mask[max(y - margin, 0) : y + h + margin, max(x - margin, 0) : x + w + margin] = True
    return mask


def test_the_same_arguments_make_the_same_image() -> None:
    one, two = phantom(5), phantom(5)
    assert one.pixels.tobytes() == two.pixels.tobytes()
    assert one.findings == two.findings


def test_another_seed_is_another_person() -> None:
    images = [phantom(seed, findings={}) for seed in range(8)]
    assert len({image.pixels.tobytes() for image in images}) == 8
    assert {image.sex for image in images} == {"F", "M"}
    assert len({image.age for image in images}) > 4


@pytest.mark.parametrize("size", [64, 200, 512])
def test_the_size_asked_for_is_the_size_made(size: int) -> None:
    image = phantom(1, size=size, findings={})
    assert image.pixels.shape == (size, size)
    assert image.pixels.dtype == np.uint8
    assert image.view == "PA"
    assert image.findings == ()


def test_the_size_changes_neither_the_person_nor_the_lesion() -> None:
    small, large = (phantom(3, size=n, findings={"Mass": 0.6}) for n in (160, 640))
    shrunk = cv2.resize(large.pixels, (160, 160), interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(int) - small.pixels).mean() < 3
    assert np.array(small.findings[0].box) * 4 == pytest.approx(large.findings[0].box, abs=8)
    assert small.pixel_mm == pytest.approx(4 * large.pixel_mm)


def test_lungs_are_dark_between_bright_chest_walls_heart_and_liver() -> None:
    mean = np.mean([phantom(seed, findings={}).pixels for seed in range(12)], axis=0)
    lungs = (mean[90:150, 80:110].mean(), mean[90:150, 215:240].mean())
    middle, belly, corner = mean[90:150, 155:165].mean(), mean[250:300, 100:220].mean(), mean[0, 0]
    assert corner < 10
    assert max(lungs) < 150
    assert min(middle, belly) > 210


@pytest.mark.parametrize("finding", FINDINGS)
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10_000), severity=st.floats(0.1, 1))
def test_the_box_lies_in_the_picture_and_the_image_changes_in_it(
    finding: str, seed: int, severity: float
) -> None:
    image = phantom(seed, size=128, findings={finding: severity})
    (placed,) = image.findings
    x, y, w, h = placed.box
    assert (placed.finding, placed.severity) == (finding, severity)
    assert w > 0
    assert h > 0
    assert 0 <= x < x + w <= 128
    assert 0 <= y < y + h <= 128
    assert np.abs(change(image)[around(image, 0)]).max() > 4


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("finding", [*LOCAL, "Cardiomegaly"])
def test_outside_its_box_a_lesion_changes_not_one_pixel(finding: str, seed: int) -> None:
    image = phantom(seed, findings={finding: 0.7})
    blur = 3  # the detector's, in pixels
    assert not change(image)[~around(image, blur)].any()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("finding", ["Mass", "Nodule"])
def test_the_box_of_a_lump_is_tight(finding: str, seed: int) -> None:
    image = phantom(seed, findings={finding: 0.8})
    x, y, w, h = (int(v) for v in image.findings[0].box)
    seen = np.abs(change(image)) > 1
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    found = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert found == pytest.approx((x, y, x + w, y + h), abs=3)


@pytest.mark.parametrize("seed", SEEDS)
def test_air_darkens_the_rim_of_one_lung_only(seed: int) -> None:
    image = phantom(seed, findings={"Pneumothorax": 0.7})
    grey, box = change(image), image.findings[0].box
    middle = image.pixels.shape[1] // 2
    other = grey[:, :middle] if box[0] > middle - 40 else grey[:, middle + 30 :]
    assert not other.any()
    outside = slice(0, int(box[1]) - 3)
    assert not grey[outside].any()
    x, y, w, h = (int(v) for v in box)
    lateral = slice(x + w - w // 5, x + w) if x > middle - 40 else slice(x, x + w // 5)
    assert grey[y + h // 3 : y + h // 2, lateral].mean() < -8


@pytest.mark.parametrize("seed", SEEDS)
def test_fluid_climbs_the_chest_wall_and_higher_the_more_there_is(seed: int) -> None:
    tops = []
    for severity in (0.3, 0.6, 0.9):
        image = phantom(seed, findings={"Effusion": severity})
        x, y, w, _ = (int(v) for v in image.findings[0].box)
        brighter = change(image)[:, x : x + w] > 5
        top = np.where(brighter.any(0), brighter.argmax(0), len(brighter))
        right_lung = x + w / 2 < len(brighter) / 2
        at_the_wall, at_the_heart = (top[:10], top[-10:])[:: 1 if right_lung else -1]
        assert at_the_wall.min() < at_the_heart.min() - 5
        tops.append(y)
    assert tops[0] > tops[1] + 15
    assert tops[1] > tops[2] + 15


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("finding", FINDINGS)
def test_more_severe_is_more_lesion(finding: str, seed: int) -> None:
    images = [phantom(seed, size=160, findings={finding: s}) for s in (0.1, 0.4, 0.7, 1.0)]
    areas = [image.findings[0].box[2] * image.findings[0].box[3] for image in images]
    assert areas == sorted(areas)
    assert areas[-1] > areas[0]
    sign = -1 if finding == "Pneumothorax" else 1
    changes = [np.maximum(sign * change(image), 0).sum() for image in images]
    assert all(less < more for less, more in pairwise(changes))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("severity", [0.01, 0.5, 1.0])
def test_a_nodule_is_up_to_30_mm_across_and_a_mass_more(seed: int, severity: float) -> None:
    diameter = {}
    for finding in ("Nodule", "Mass"):
        image = phantom(seed, findings={finding: severity})
        diameter[finding] = max(image.findings[0].box[2:]) * image.pixel_mm
    assert 5 < diameter["Nodule"] <= 30 < diameter["Mass"]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("severity", [0.01, 1.0])
def test_a_large_heart_takes_more_than_half_of_the_thorax(seed: int, severity: float) -> None:
    image = phantom(seed, findings={"Cardiomegaly": severity})
    ratio = image.findings[0].box[2] / image.thorax_width
    assert ratio == pytest.approx(0.53 + 0.16 * severity, abs=0.015)


def test_the_position_of_a_lesion_does_not_depend_on_its_severity() -> None:
    for seed in SEEDS:
        centres = []
        for severity in (0.3, 0.9):
            x, y, w, h = phantom(seed, findings={"Nodule": severity}).findings[0].box
            centres.append((x + w / 2, y + h / 2))
        assert centres[0] == pytest.approx(centres[1], abs=2)


def test_findings_are_drawn_from_the_seed_when_not_given() -> None:
    images = [phantom(seed, size=64) for seed in range(24)]
    assert {p.finding for image in images for p in image.findings} == set(FINDINGS)
    assert {len(image.findings) for image in images} == {0, 1, 2, 3}
    for image in images[:6]:
        asked = phantom(
            image.seed, size=64, findings={p.finding: p.severity for p in image.findings}
        )
        assert asked.pixels.tobytes() == image.pixels.tobytes()
        assert asked.findings == image.findings


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_files_of_a_data_set_describe_the_phantoms(tmp_path: Path) -> None:
    told: list[int] = []
    write_phantoms(tmp_path / "set", 10, seed=7, size=96, on_progress=told.append)
    labels = rows(tmp_path / "set/labels.csv")
    boxes, severities = rows(tmp_path / "set/boxes.csv"), rows(tmp_path / "set/severity.csv")
    assert told == list(range(1, 11))
    assert list(labels[0]) == ["file", "patient_id", "view", "sex", "age", "findings", "split"]
    assert [row["file"] for row in labels] == [f"images/phantom-{i:06d}.png" for i in range(10)]
    assert {row["split"] for row in labels} == {"train", "val", "test"}
    for i, row in enumerate(labels):
        image = phantom(7 + i, size=96)
        names = [p.finding for p in image.findings]
        assert row["findings"] == ("|".join(names) or "No Finding")
        assert (row["sex"], row["age"], row["view"]) == (image.sex, str(image.age), "PA")
        assert row["patient_id"] == str(image.seed)
        picture = cv2.imread(str(tmp_path / "set" / row["file"]), cv2.IMREAD_UNCHANGED)
        assert picture is not None
        assert np.array_equal(picture, image.pixels)
        drawn = [b for b in boxes if b["file"] == row["file"]]
        assert [b["label"] for b in drawn] == names
        assert [tuple(float(b[k]) for k in "xywh") for b in drawn] == [
            p.box for p in image.findings
        ]
        severity = [float(s["severity"]) for s in severities if s["file"] == row["file"]]
        assert severity == pytest.approx([p.severity for p in image.findings], abs=1e-6)


def test_a_failed_data_set_leaves_nothing_behind(tmp_path: Path) -> None:
    def stop(count: int) -> None:
        if count == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_phantoms(tmp_path / "set", 5, size=64, on_progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_unchanged(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ConfigurationError, match="exists already"):
        write_phantoms(tmp_path, 1, size=64)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("finding", "severity", "message"),
    [
        ("effusion", 0.5, "no phantom shows 'effusion'; choose from Cardiomegaly"),
        ("Hernia", 0.5, "no phantom shows 'Hernia'"),
        ("Effusion", 0.0, r"severity 0.0 of Effusion is outside \(0, 1\]"),
        ("Effusion", 1.01, "severity 1.01"),
        ("Effusion", float("nan"), "severity nan"),
    ],
)
def test_findings_that_cannot_be_shown_are_rejected(
    finding: str, severity: float, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        phantom(0, findings={finding: severity})


@pytest.mark.parametrize("size", [0, 63, 2049])
def test_sizes_out_of_range_are_rejected(size: int) -> None:
    with pytest.raises(ConfigurationError, match=f"size {size} is outside 64 to 2048"):
        phantom(0, size=size)


def test_a_negative_seed_and_an_empty_data_set_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="seed -1 is negative"):
        phantom(-1)
    with pytest.raises(ConfigurationError, match="count 0 is less than 1"):
        write_phantoms(tmp_path / "set", 0)
    assert list(tmp_path.iterdir()) == []


def test_a_phantom_as_a_dicom_object_is_the_same_image_and_the_same_object(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "new", 1, seed=5, size=64, dicom=True)
    written = (tmp_path / "new" / "dicom" / "phantom-000000.dcm").read_bytes()
    image = phantom(5, size=64)
    assert written == film(image)
    decoded = decode(written)
    assert np.array_equal(decoded.pixels, image.pixels)
    assert (decoded.view, decoded.sex, decoded.age) == (image.view, image.sex, image.age)
    assert len(open_dataset(tmp_path / "new").images) == 1
