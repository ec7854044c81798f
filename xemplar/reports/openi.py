"""Reports in the XML form of Open-i (National Library of Medicine): one file for each study."""

from dataclasses import dataclass
from pathlib import Path
from xml.parsers.expat import ExpatError, ParserCreate

from xemplar.errors import DatasetError
from xemplar.reports.report import MOST_CHARACTERS, ReceivedReport

MOST_BYTES = 16 * MOST_CHARACTERS
"""Largest file: a report with its list of images."""


@dataclass(frozen=True)
class OpenIReport:
    """A study of Open-i.

    Attributes:
        images: names of its images, without suffix.
        report: findings and impression as written.
    """

    images: tuple[str, ...]
    report: ReceivedReport


def read_openi(path: Path) -> OpenIReport:
    """Read a file of Open-i: ``AbstractText`` by label, and ``parentImage`` ids.

    Declarations of entities are refused, so that none can expand without end or name a file.

    Raises:
        DatasetError: the file is too large, no such XML, or declares entities.
    """
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise DatasetError(f"{path} has more than {MOST_BYTES:,} bytes; a file holds one report")
    sections: dict[str, list[str]] = {}
    images: list[str] = []
    current: list[str] = [""]

    def begin(name: str, attributes: dict[str, str]) -> None:
        if name == "parentImage" and attributes.get("id"):
            images.append(attributes["id"])
        if name == "AbstractText":
            current[0] = attributes.get("Label", "").upper()

    def end(name: str) -> None:
        if name == "AbstractText":
            current[0] = ""

    def text(characters: str) -> None:
        if current[0]:
            sections.setdefault(current[0], []).append(characters)

    def refuse(*_: object) -> None:
        raise DatasetError(f"{path} declares entities, which no report needs; remove its DOCTYPE")

    parser = ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.CharacterDataHandler, parser.EntityDeclHandler = text, refuse
    try:
        parser.Parse(data, True)
    except ExpatError as error:
        raise DatasetError(
            f"{path} is no well-formed XML (line {error.lineno}); correct it, or move it elsewhere"
        ) from error
    found = {name: "".join(parts).strip() for name, parts in sections.items()}
    report = ReceivedReport(findings=found.get("FINDINGS"), impression=found.get("IMPRESSION"))
    return OpenIReport(tuple(images), report)
