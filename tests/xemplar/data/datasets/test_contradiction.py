"""A contradictory row makes no finding absent."""

from pathlib import Path

from xemplar.data.datasets import open_dataset


def test_no_finding_beside_a_finding_makes_nothing_absent(tmp_path: Path) -> None:
    rows = ("a.png,No Finding|Effusion", "b.png,Mass", "c.png,No Finding|normal")
    (tmp_path / "labels.csv").write_text("\n".join(("file,findings", *rows)))
    both, mass, none = (image.labels for image in open_dataset(tmp_path).images)
    assert both == {"Effusion": 1}
    assert mass == {"Mass": 1, "Effusion": 0}
    assert none == {"Mass": 0, "Effusion": 0}
