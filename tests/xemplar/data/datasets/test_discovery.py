"""Discovery of images: classification, name resolution, and files that are never opened."""

import os
from pathlib import Path

import pytest

from tests.images import dicom, drawn_image, encoded
from xemplar.data.boxes import BOX_FILES
from xemplar.data.datasets import open_dataset
from xemplar.data.datasets.discovery import NOT_LABELS, ImageLocator, scan_folder
from xemplar.errors import DatasetError

PIXELS = drawn_image(0)


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A CD as PACS systems write it, and what else lies on one."""
    folder = tmp_path / "cd" / "DICOM" / "ST000001"
    folder.mkdir(parents=True)
    (folder / "IM000001").write_bytes(dicom(PIXELS))
    (folder / "1.2.840.99.5").write_bytes(dicom(PIXELS))
    (folder / "IM000002").write_bytes(dicom(PIXELS)[132:])  # as the older ACR-NEMA
    (folder / "IM000003").write_bytes(dicom(PIXELS)[128:])
    (folder / "scan").write_bytes(encoded(PIXELS, "JPEG"))
    (folder / "page.img").write_bytes(encoded(PIXELS, "TIFF"))
    (folder / "viewer.exe").write_bytes(b"MZ" + bytes(200))
    (folder / "short").write_bytes(b"DICM")
    (folder / "empty").touch()
    (folder / ".thumbs").write_bytes(encoded(PIXELS))
    (folder / "export.csv").write_text("a,b\n")
    (tmp_path / "cd" / "DICOMDIR").write_bytes(dicom(PIXELS))
    return tmp_path / "cd"


def test_images_are_recognised_by_content_and_others_counted_by_reason(media: Path) -> None:
    contents = scan_folder(media)
    names = ["1.2.840.99.5", "IM000001", "IM000002", "IM000003", "page.img", "scan"]
    assert [path.name for path in contents.images] == names
    assert contents.skipped == {"DICOMDIR": 1, "hidden": 1, "no image": 3, "table": 1}
    dataset = open_dataset(media)
    assert [image.path for image in dataset.images] == list(contents.images)
    assert dataset.skipped == contents.skipped
    assert "seen and not read: DICOM/ST000001/export.csv; the 6 image(s)" in dataset.notes[0]


def test_only_regular_files_in_the_folder_are_opened(tmp_path: Path) -> None:
    root, other = tmp_path / "images", tmp_path / "other"
    for folder in (root, other, root / ".git"):
        folder.mkdir()
    for image in (root / "1.png", other / "2.png", root / ".git" / "3.png"):
        image.write_bytes(encoded(PIXELS))
    os.mkfifo(root / "pipe.png")
    os.mkfifo(root / "pipe")
    (root / "device.png").symlink_to("/dev/zero")
    (root / "link.png").symlink_to(other / "2.png")
    (root / "folder").symlink_to(other)
    (root / "circle").symlink_to(root)
    (root / "broken.png").symlink_to(root / "nothing.png")
    (root / "loop.png").symlink_to(root / "loop.png")
    (root / "inner.png").symlink_to("1.png")
    contents = scan_folder(root)
    assert [path.name for path in contents.images] == ["1.png", "inner.png"]
    assert contents.skipped == {
        "broken link": 2,
        "hidden": 1,
        "link out of the folder": 2,
        "link to a folder": 2,
        "pipe, device or socket": 2,
    }


def test_a_folder_without_images_says_what_it_holds(media: Path) -> None:
    for path in scan_folder(media).images:
        path.unlink()
    with pytest.raises(DatasetError, match=r"no image .*, but DICOMDIR: 1, hidden: 1, no image: 3"):
        open_dataset(media)


def labelled(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "labels.csv").write_text(f'file,findings\n"{name}",Mass\n')
    return folder


def test_a_table_may_name_a_file_without_suffix(media: Path) -> None:
    name = "DICOM/ST000001/IM000001"
    [image] = open_dataset(labelled(media, name)).images
    assert (image.path, image.file) == (media / name, name)


@pytest.mark.parametrize("absolute", ["as it is called", "as it is linked"])
def test_an_absolute_path_in_the_folder_is_accepted(tmp_path: Path, absolute: str) -> None:
    root, link = tmp_path / "images", tmp_path / "link"
    (root / "a").mkdir(parents=True)
    (root / "a" / "1.png").touch()
    link.symlink_to(root)
    called = link if absolute == "as it is linked" else root
    [image] = open_dataset(labelled(link, str(called / "a" / "1.png"))).images
    assert (image.path, image.file) == (link / "a" / "1.png", "a/1.png")


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "{}/../elsewhere/1.png", "{}x/1.png", "{}", "C:\\images\\1.png"]
)
def test_an_absolute_path_elsewhere_is_rejected(tmp_path: Path, name: str) -> None:
    root = tmp_path / "images"
    with pytest.raises(DatasetError, match=r"line 2: image .* does not lie in the data set"):
        open_dataset(labelled(root, name.format(root)))


@pytest.mark.parametrize("name", ["1.png", "inner/1.png"])
def test_a_link_to_elsewhere_is_rejected(tmp_path: Path, name: str) -> None:
    root, other = tmp_path / "images", tmp_path / "other"
    other.mkdir()
    (other / "1.png").touch()
    labelled(root, name)
    (root / name.split("/")[0]).symlink_to(other / "1.png" if name == "1.png" else other)
    with pytest.raises(DatasetError, match="it is a link to elsewhere"):
        open_dataset(root)


@pytest.mark.parametrize(
    ("name", "lies"),
    [
        ("1.png", "deep/er/1.png"),
        ("1", "deep/er/1.png"),
        ("er/1", "deep/er/1.png"),
        ("er\\1.png", "deep/er/1.png"),
        ("other/1.png", "other/1.png"),
        ("2.png", "2.png"),
    ],
)
def test_a_name_is_searched_in_folders_with_the_same_ending(
    tmp_path: Path, name: str, lies: str
) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "1.png").touch()
    assert ImageLocator(tmp_path).find(name, "here") == tmp_path / lies


def test_an_ambiguous_name_is_rejected(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").touch()
    with pytest.raises(DatasetError, match=r"could be .*a/1\.png or .*b/1\.png"):
        ImageLocator(tmp_path).find("1.png", "here")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pipe.png", "is a pipe or device, and no file"),
        ("a" * 300, "cannot be searched for: File name too long"),
    ],
)
def test_a_name_of_a_pipe_or_device_is_rejected(tmp_path: Path, name: str, message: str) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DatasetError, match=f"line 2: image .* {message}"):
        open_dataset(labelled(tmp_path, name))


def test_images_found_in_other_folders_are_noted(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").touch()
    dataset = open_dataset(labelled(tmp_path, "1.png"))
    assert dataset.notes == ("1 image(s) lie in another folder than the table says",)


def test_box_files_are_not_label_files() -> None:
    assert set(BOX_FILES) <= NOT_LABELS


@pytest.mark.parametrize(
    ("name", "lies"),
    [
        ("C:\\Users\\Ward\\study\\deep\\er\\1.png", "deep/er/1.png"),
        ("D:/export/1.png", "deep/er/1.png"),
        ("/home/ward/er/1.png", "deep/er/1.png"),
        ("\\\\server\\share\\deep\\er\\1", "deep/er/1.png"),
    ],
)
def test_another_computers_path_is_searched_by_its_ending(
    tmp_path: Path, name: str, lies: str
) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "1.png").touch()
    images = ImageLocator(tmp_path)
    path = images.find(name, "here")
    assert path == tmp_path / lies
    assert images.name_of(path, name) == lies


def test_a_path_of_this_computer_outside_the_folder_is_not_searched_for(tmp_path: Path) -> None:
    root = tmp_path / "images"
    root.mkdir()
    for folder in (tmp_path, root):
        (folder / "1.png").touch()
    with pytest.raises(DatasetError, match="does not lie in the data set"):
        ImageLocator(root).find(str(tmp_path / "1.png"), "here")


def test_names_are_equal_whichever_system_composed_their_accents(tmp_path: Path) -> None:
    on_disk, in_table = "ro\u0308ntgen.png", "r\u00f6ntgen.png"
    (tmp_path / on_disk).touch()
    images = ImageLocator(tmp_path)
    assert images.find(in_table, "here") == tmp_path / on_disk
    assert images.elsewhere == 0
