"""Folders as researchers have them: a German export with what Excel makes of it."""

from pathlib import Path

import pytest

from tests.images import drawn_image, encoded

FINDINGS = ("Pleuraerguss; Kardiomegalie", "Ohne Befund", "Pneumonie", "ohne Befund")


def odd_folder(root: Path, count: int = 40, side: int = 64) -> Path:
    """Write PNGs and a table with Excel's first line, BOM, semicolons and Windows paths."""
    (root / "Bilder").mkdir(parents=True)
    rows = ["sep=;", "Bilddatei;Patienten-ID;Projektion;Geschlecht;Alter;Geburtsdatum;Befund"]
    for number in range(count):
        (root / "Bilder" / f"röntgen {number}.png").write_bytes(
            encoded(drawn_image(number, side, side))
        )
        path = rf"C:\Users\Müller\Studie\Bilder\röntgen {number}.png"
        about = f"P{number // 2};p.a.;{('weiblich', 'männlich')[number % 2]};{20 + number} Jahre"
        rows.append(f'"{path}";{about};12.05.{1950 + number};"{FINDINGS[number % 4]}"')
    text = "\r\n".join(rows) + "\r\n"
    (root / "Export Röntgen.csv").write_bytes(text.encode("utf-8-sig"))
    return root


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    return odd_folder(tmp_path / "Röntgen")
