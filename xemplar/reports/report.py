"""Findings and impression of a report, as it was received and as it may be stored."""

import re
from dataclasses import dataclass
from typing import Self

from xemplar.errors import InvalidArgument
from xemplar.names import CONTROLS
from xemplar.reports.scrub import MARK, scrub
from xemplar.reports.vocabulary import word_set

MOST_CHARACTERS = 20_000
"""Longest text of a report; reports on chest radiographs have some hundred characters."""

FEWEST_KEPT = 0.5
"""Share of the words that must remain: below it, a text is no English report on a chest."""

FEWEST_JUDGED = 10
"""Words from which on that share is judged."""

_REFUSED = re.compile(f"[{CONTROLS}\ud800-\udfff\ufffd]")
_WRITTEN_WITH = str.maketrans({"\t": " ", "\n": " ", "\r": " ", "\v": " ", "\f": " ", "\ufeff": ""})
_MARKUP = re.compile(r"</?[A-Za-z!?][^<>]{0,200}>|<!--|<(?:script|style|img|svg|iframe)\b", re.I)
_HEADING = re.compile(
    r"^[ \t]*(findings?|impressions?|conclusions?|opinion|summary|(?:clinical )?(?:indications?|"
    r"history|information|data|details)|reason for (?:exam\w*|study|visit)|comparisons?|"
    r"techniques?|exam(?:ination)?|procedures?|views?|study|diagnosis|recommendations?|addendum|"
    r"(?:final|preliminary) report|report|electronically signed|signed|signature)[ \t]*:[ \t]*",
    re.IGNORECASE | re.MULTILINE,
)
_FINDINGS = frozenset({"finding", "findings", "report", "final report", "preliminary report"})
_IMPRESSION = word_set(
    "impression impressions conclusion conclusions opinion summary recommendation "
    "recommendations addendum"
)


@dataclass(frozen=True)
class StoredReport:
    """A scrubbed report: the only form that is stored. `ReceivedReport.scrubbed` makes it.

    Attributes:
        findings: text of this section, with `MARK` for what was removed; empty if there is none.
        impression: likewise.
    """

    findings: str = ""
    impression: str = ""

    def __bool__(self) -> bool:
        return bool(self.findings or self.impression)


@dataclass(frozen=True)
class ReceivedReport:
    """A report as it was written, with whatever it says of a person. Never stored or logged.

    Attributes:
        findings: text of this section; None if it is not given.
        impression: likewise.
    """

    findings: str | None = None
    impression: str | None = None

    @classmethod
    def read(cls, text: str) -> Self:
        """Read the sections of a whole report; of those, findings and impression are used.

        A report without headings is all findings. Sections that say why, when, how and by whom a
        study was made are left out: they are about the patient.

        Raises:
            InvalidArgument: the text is too long, or holds control characters or markup.
        """
        text = check_text(text, "report")
        headings = list(_HEADING.finditer(text))
        if not headings:
            return cls(findings=text)
        ends = [heading.start() for heading in headings[1:]] + [len(text)]
        found: dict[str, list[str]] = {"findings": [], "impression": []}
        for heading, end in zip(headings, ends, strict=True):
            name = heading[1].lower()
            section = (
                "findings" if name in _FINDINGS else "impression" if name in _IMPRESSION else ""
            )
            if section:
                found[section].append(text[heading.end() : end].strip())
        return cls(**{name: "\n".join(parts) for name, parts in found.items() if parts})

    def scrubbed(self) -> StoredReport:
        """Remove all that may tell who the patient is.

        Raises:
            InvalidArgument: a section is too long, holds control characters or markup, or less than
                half of the words remain.
        """
        sections = {
            "findings_text": check_text(self.findings or "", "findings_text"),
            "impression": check_text(self.impression or "", "impression"),
        }
        scrubbed = [scrub(text) for text in sections.values()]
        words, removed = (
            sum(getattr(one, name) for one in scrubbed) for name in ("words", "removed")
        )
        if words + removed >= FEWEST_JUDGED and words < FEWEST_KEPT * (words + removed):
            raise InvalidArgument(
                f"of the report's {words + removed} words the scrubber keeps {words}, as the "
                "others are no words of English reports on chest radiographs; send such a report, "
                "or none"
            )
        findings, impression = (one.text if one.words else "" for one in scrubbed)
        return StoredReport(findings, impression)


def check_text(text: str, what: str) -> str:
    """Refuse a text that is no plain text of a report; return it with plain line breaks.

    Args:
        text: of a report or section.
        what: name of the field, for the message.

    Raises:
        InvalidArgument: it is too long, or holds a control character or markup; the message names
            the limit, or the place, and quotes nothing of the text.
    """
    if len(text) > MOST_CHARACTERS:
        raise InvalidArgument(
            f"{what} has {len(text):,} characters; the limit is {MOST_CHARACTERS:,}; send the "
            "findings and impression of one report"
        )
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if found := _REFUSED.search(text.translate(_WRITTEN_WITH)):
        raise InvalidArgument(
            f"{what} holds the character U+{ord(found[0]):04X} at position {found.start() + 1}, "
            "which plain text has not; it may be of another encoding than UTF-8"
        )
    if found := _MARKUP.search(text):
        raise InvalidArgument(
            f"{what} holds markup at position {found.start() + 1}; send plain text without HTML "
            "or XML"
        )
    return text


def decoded(data: bytes, what: str) -> str:
    """Decode a report's file.

    Raises:
        InvalidArgument: it is too large, or not in UTF-8.
    """
    if len(data) > 4 * MOST_CHARACTERS:
        raise InvalidArgument(
            f"{what} has {len(data):,} bytes; the limit is {4 * MOST_CHARACTERS:,}; a file holds "
            "one report"
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidArgument(
            f"{what} is not in UTF-8 (byte {error.start + 1}); convert it, as with "
            "`iconv -f windows-1252 -t utf-8`"
        ) from error


__all__ = ["MARK", "MOST_CHARACTERS", "ReceivedReport", "StoredReport", "check_text", "decoded"]
