"""Box files: four formats, rejected rows, and the assignment to images."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xemplar.data.boxes import Box, DrawnBox, left_out, place_boxes, read_boxes
from xemplar.data.datasets import DatasetImage
from xemplar.data.findings import CHEXPERT14, NIH14, canonical
from xemplar.errors import DatasetError

CHEXPERT = tuple(map(canonical, CHEXPERT14))

OURS = "file,label,x,y,w,h,provenance\n"
NIH = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
RSNA = "patientId,x,y,width,height,Target\n"
VINBIGDATA = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max\n"


def written(folder: Path, text: str) -> Path:
    file = folder / "boxes.csv"
    file.write_text(text)
    return file


def images(*names: str) -> list[DatasetImage]:
    return [DatasetImage(path=Path("/data") / name, source="test", file=name) for name in names]


def square(side: int, count: int = 1) -> np.ndarray:
    return np.full((count, 2), side, np.int32)


def drawn(label: str = "Mass", edges: tuple[float, ...] = (10, 20, 30, 60), **other) -> DrawnBox:
    fields = {"file": "a.png", "reader": "", "side": None, **other}
    left, top, right, bottom = edges
    return DrawnBox(
        "boxes.csv, line 2", fields["file"], label, left, top, right, bottom,
        fields["reader"], fields["side"],
    )  # fmt: skip


# ---- The four forms -----------------------------------------------------------------------------


def test_our_format_gives_corner_and_size_in_pixels_of_the_image(tmp_path: Path) -> None:
    file = written(tmp_path, OURS + "images/a.jpg,Mass,10,20,30,40,a reader\n")
    assert read_boxes(file) == (
        DrawnBox(f"{file}, line 2", "images/a.jpg", "Mass", 10, 20, 40, 60, "a reader"),
    )


def test_provenance_is_optional_in_our_format(tmp_path: Path) -> None:
    file = written(tmp_path, "file,label,x,y,w,h\na.jpg,Mass,1,2,3,4\n")
    assert read_boxes(file)[0].reader == ""


def test_the_bare_commas_of_the_nih_header_are_supported(tmp_path: Path) -> None:
    file = written(tmp_path, NIH + "00013118_008.png,Infiltrate,225.08,547.02,86.78,79.19,,,\n")
    (box,) = read_boxes(file)
    assert (box.file, box.label, box.left, box.top) == (
        "00013118_008.png", "Infiltrate", 225.08, 547.02,
    )  # fmt: skip
    assert (box.right, box.bottom) == pytest.approx((311.86, 626.21))
    assert (box.reader, box.side) == ("NIH BBox_List_2017", 1024)


def test_rsna_targets_are_lung_opacity_and_negative_rows_have_no_box(tmp_path: Path) -> None:
    file = written(tmp_path, RSNA + "0004cfab,,,,,0\n00436515,264.0,152.0,213.0,379.0,1\n")
    assert read_boxes(file) == (
        DrawnBox(
            f"{file}, line 3", "00436515", "Lung Opacity", 264, 152, 477, 531, "RSNA 2018", 1024
        ),
    )


def test_vinbigdata_gives_two_corners_and_its_no_finding_rows_have_no_box(tmp_path: Path) -> None:
    rows = (
        "50a418,No finding,14,R11,,,,\n9a5094,Pleural effusion,10,R9,691.0,1375.0,1653.0,1831.0\n"
    )
    file = written(tmp_path, VINBIGDATA + rows)
    assert read_boxes(file) == (
        DrawnBox(
            f"{file}, line 3", "9a5094", "Pleural effusion", 691, 1375, 1653, 1831, "VinBigData R9"
        ),
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", r"\(none\), which is no known format of box file"),
        ("file,label\n", "file, label, which is no known format of box file"),
        (OURS + "a.png,Mass,1,2,x,4,\n", r"line 2: the box \(1, 2, x, 4\) .* is not numeric"),
        (OURS + "a.png,Mass,1,2,3,\n", "line 2: .* is not numeric"),
        (OURS + "a.png,Mass,1,2,nan,4,\n", "line 2: .* is not finite"),
        (OURS + "a.png,Mass,1,2,0,4,\n", "line 2: a box 0 wide and 4 high has no area"),
        (OURS + "\na.png,Mass,1,2,3,-4,\n", "line 3: a box 3 wide and -4 high has no area"),
        (OURS + ",Mass,1,2,3,4,\n", "line 2: a box must name its image and its finding"),
        (OURS + "a.png,,1,2,3,4,\n", "line 2: a box must name its image and its finding"),
        (NIH + "a.png,Mass,1,2,,,,,\n", "line 2: .* is not numeric"),
        (RSNA + "a,1,2,3,4,2\n", "line 2: Target '2' is none of 0 and 1"),
        (RSNA + "a,,,,,1\n", "line 2: .* is not numeric"),
        (VINBIGDATA + "a,Mass,1,R1,9,2,3,4\n", "line 2: a box -6 wide and 2 high has no area"),
    ],
)
def test_unusable_rows_are_rejected_with_file_line_and_reason(
    tmp_path: Path, text: str, reason: str
) -> None:
    with pytest.raises(DatasetError, match=rf"boxes\.csv.*{reason}"):
        read_boxes(written(tmp_path, text))


def test_missing_and_binary_files_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no box file"):
        read_boxes(tmp_path / "boxes.csv")
    (tmp_path / "boxes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="is no CSV file in UTF-8"):
        read_boxes(tmp_path / "boxes.csv")


# ---- Onto the images -----------------------------------------------------------------------------


def test_pixels_become_relative_coordinates() -> None:
    # an image 200 wide and 100 high: x 10 .. 30 is 0.05 .. 0.15, y 20 .. 60 is 0.2 .. 0.6
    placed = place_boxes([drawn()], images("b.png", "a.png"), np.array([[9, 9], [100, 200]]), NIH14)
    assert placed == {1: (Box("Mass", "Mass", 0.05, 0.2, 0.15, 0.6),)}


def test_boxes_for_published_images_fit_a_smaller_copy_but_not_a_cropped_one() -> None:
    box = drawn(edges=(256, 512, 512, 1024), side=1024)
    placed = place_boxes([box], images("a.png"), square(320), NIH14)
    assert placed == {0: (Box("Mass", "Mass", 0.25, 0.5, 0.5, 1.0),)}
    with pytest.raises(DatasetError, match=r"boxes\.csv, line 2: .*cropped copy"):
        place_boxes([box], images("a.png"), np.array([[300, 320]]), NIH14)


def test_up_to_a_pixel_beyond_the_image_is_clipped() -> None:
    placed = place_boxes([drawn(edges=(-1, 90, 50, 101))], images("a.png"), square(100), NIH14)
    assert placed == {0: (Box("Mass", "Mass", 0, 0.9, 0.5, 1),)}


@pytest.mark.parametrize(
    "edges",
    [(-1.1, 0, 9, 9), (0, -2, 9, 9), (0, 0, 101.5, 9), (0, 0, 9, 102), (100.2, 0, 100.8, 9)],
)
def test_a_box_outside_its_image_is_rejected(edges: tuple[float, ...]) -> None:
    with pytest.raises(DatasetError, match=r"boxes\.csv, line 2: .* of 100 x 100 pixels"):
        place_boxes([drawn(edges=edges)], images("a.png"), square(100), NIH14)


def test_boxes_outside_their_images_are_counted() -> None:
    boxes = [drawn(edges=(0, 0, right, 9)) for right in (50, 150, 90, 250, 101.5)]
    with pytest.raises(DatasetError, match=r"\(150, 9\) does not lie .*; nor do 2 more of 5 boxes"):
        place_boxes(boxes, images("a.png"), square(100), NIH14)


@pytest.mark.parametrize(
    ("row", "image"),
    [
        ("images/a.png", "images/a.png"),
        ("a.png", "images/a.png"),
        ("images/a.png", "a.png"),
        ("a", "a.dcm"),
        ("a.png", "a.jpg"),
        ("1.2.840", "1.2.840.dcm"),
    ],
)
def test_an_image_is_found_by_its_name_its_file_name_or_its_stem(row: str, image: str) -> None:
    assert list(place_boxes([drawn(file=row)], images("b.png", image), square(99, 2), NIH14)) == [1]


@pytest.mark.parametrize(
    ("row", "image"),
    [("a.png", "b.png"), ("patient1/view.jpg", "patient2/view.jpg"), ("1.2.840", "1.2.dcm")],
)
def test_boxes_of_other_images_are_ignored_even_outside_of_any(row: str, image: str) -> None:
    far = drawn(file=row, edges=(5000, 0, 6000, 1))
    assert place_boxes([far], images(image), square(99), NIH14) == {}


def test_the_exact_name_comes_first_and_an_ambiguous_one_is_rejected() -> None:
    both = images("one/a.png", "two/a.png")
    assert list(place_boxes([drawn(file="two/a.png")], both, square(99, 2), NIH14)) == [1]
    with pytest.raises(DatasetError, match=r"'a.png' could be one/a.png or two/a.png"):
        place_boxes([drawn()], both, square(99, 2), NIH14)


def test_images_of_a_plain_folder_are_found_by_their_path() -> None:
    plain = DatasetImage(path=Path("/data/images/a.png"), source="test")
    assert list(place_boxes([drawn(file="images/a.png")], [plain], square(99), NIH14)) == [0]


# ---- Labels -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "reader", "findings", "finding"),
    [
        ("Infiltrate", "", NIH14, "Infiltration"),
        ("Pleural Effusion", "", NIH14, "Effusion"),
        ("Pleural effusion", "", NIH14, "Effusion"),
        ("Pleural thickening", "", NIH14, "Pleural_Thickening"),
        ("Pulmonary fibrosis", "", NIH14, "Fibrosis"),
        ("Nodule/Mass", "", NIH14, "Nodule"),
        ("Nodule/Mass", "", CHEXPERT, "Lung Lesion"),
        ("Lung Opacity", "RSNA 2018", NIH14, "Pneumonia"),
        ("Lung Opacity", "RSNA 2018", CHEXPERT, "Lung Opacity"),
        ("Lung Opacity", "VinBigData R9", CHEXPERT, "Lung Opacity"),
    ],
)
def test_a_label_corresponds_to_an_output_and_keeps_its_name(
    label: str, reader: str, findings: tuple[str, ...], finding: str
) -> None:
    placed = place_boxes([drawn(label, reader=reader)], images("a.png"), square(99), findings)
    assert [(box.label, box.finding) for box in placed[0]] == [(label, finding)]


def test_labels_without_an_output_are_omitted_and_counted() -> None:
    boxes = [
        drawn("Lung Opacity", reader="VinBigData R9"),
        drawn("ILD"),
        drawn("ILD"),
        drawn("ILD", file="other.png"),
        drawn("Mass"),
    ]
    placed = place_boxes(boxes, images("a.png"), square(99), NIH14)
    assert [box.label for box in placed[0]] == ["Mass"]
    assert left_out(boxes, images("a.png"), NIH14) == {"Lung Opacity": 1, "ILD": 2}


# ---- Masks --------------------------------------------------------------------------------------


def test_a_mask_contains_the_pixels_whose_centres_are_in_the_box() -> None:
    # centres of 4 columns: 0.125, 0.375, 0.625, 0.875; of 2 rows: 0.25, 0.75
    mask = Box("Mass", "Mass", 0.125, 0.3, 0.625, 1).mask(2, 4)
    assert mask.tolist() == [[False] * 4, [True, True, False, False]]


def test_a_box_between_pixel_centres_covers_one_pixel() -> None:
    mask = Box("Nodule", "Nodule", 0.4, 0.8, 0.45, 0.85).mask(2, 4)
    assert np.argwhere(mask).tolist() == [[1, 1]]


EDGES = st.tuples(st.floats(0, 1), st.floats(0, 1)).filter(lambda e: e[0] < e[1])


@given(across=EDGES, down=EDGES, height=st.integers(1, 30), width=st.integers(1, 30))
def test_no_mask_is_empty_and_each_covers_what_its_box_does_to_a_pixel(
    across: tuple[float, float], down: tuple[float, float], height: int, width: int
) -> None:
    mask = Box("", "", across[0], down[0], across[1], down[1]).mask(height, width)
    assert mask.shape == (height, width)
    assert 1 <= mask.any(axis=0).sum() <= max(1, (across[1] - across[0]) * width + 1)
    assert abs(mask.any(axis=1).sum() - (down[1] - down[0]) * height) <= 1
