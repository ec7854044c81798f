"""Fifty kinds of identity, to plant in synthetic reports and to look for afterwards."""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


GIVEN = _words(
    "Mary James Anna Robert Fatima Wei José Siobhan Oluwaseun Dmitri Priya Lars Chantal Yuki Ahmed "
    "Zoë Björn Ngozi Mateus Ingrid Liam Aaliyah Günther Xiomara Tariq Ewa Kofi Margarethe Olaf Rosa"
)
SURNAMES = _words(
    "Smith Garcia Nguyen Müller O'Brien Kowalski Okafor Petrov Patel Johansson Dubois Tanaka "
    "Rahman Schmidt-Rottluff Ferreira Andersen Haddad MacDonald Yilmaz Ivanova Weber Rossi "
    "Costa Novak Small Long Short Wall "
    "Field Sharp Stone Head Marks Cross Little Strong Day Rodd Hartung "
)
PLACES = _words(
    "Springfield Köln Aberdeen Marrakesh Ulaanbaatar Leicester Boston Graz Tampere Kraków "
    "Stratford Beirut Lagos Nairobi Porto"
)
STREETS = _words("Maple Church Station Königs Oak Victoria Lime Elm Hauptstrasse Washington")
EMPLOYERS = _words("Siemens Walmart Ryanair Bayer Infosys Toyota Nestlé Barclays")
HOSPITALS = _words("Mercy Charité Addenbrooke Karolinska Bethesda Lariboisière Groote")
INITIALS = "BDFGHJKMNPQ"
MONTHS = _words(
    "January February March April May June July August September October November December"
)


def _date(draw: random.Random) -> list[str]:
    return [str(draw.randint(*limits)) for limits in ((1930, 2025), (10, 12), (10, 28))]


def _digits(draw: random.Random, count: int) -> str:
    return str(draw.randint(1, 9)) + "".join(str(draw.randint(0, 9)) for _ in range(count - 1))


VALUES: Mapping[str, Callable[[random.Random], str]] = {
    "given": lambda draw: draw.choice(GIVEN),
    "surname": lambda draw: draw.choice(SURNAMES),
    "place": lambda draw: draw.choice(PLACES),
    "street": lambda draw: draw.choice(STREETS),
    "employer": lambda draw: draw.choice(EMPLOYERS),
    "hospital": lambda draw: draw.choice(HOSPITALS),
    "month": lambda draw: draw.choice(MONTHS),
    "day": lambda draw: str(draw.randint(13, 31)),
    "year": lambda draw: str(draw.randint(1930, 2025)),
    "slashed": lambda draw: (
        f"{draw.randint(1, 12)}/{draw.randint(1, 28)}/{draw.randint(1930, 2025)}"
    ),
    "iso": lambda draw: f"{draw.randint(1930, 2025)}-{draw.randint(10, 12)}-{draw.randint(10, 28)}",
    "dotted": lambda draw: (
        f"{draw.randint(10, 28)}.{draw.randint(10, 12)}.{draw.randint(1930, 2025)}"
    ),
    "time": lambda draw: f"{draw.randint(10, 23)}:{draw.randint(10, 59)}",
    "age": lambda draw: str(draw.randint(21, 104)),
    "mrn": lambda draw: _digits(draw, 8),
    "long": lambda draw: _digits(draw, 12),
    "short": lambda draw: _digits(draw, 4),
    "letters": lambda draw: draw.choice(INITIALS) + draw.choice(INITIALS) + _digits(draw, 6),
    "house": lambda draw: str(draw.randint(21, 999)),
    "zip": lambda draw: _digits(draw, 5),
    "handle": lambda draw: (
        f"{draw.choice(GIVEN)}.{draw.choice(SURNAMES)}{_digits(draw, 2)}".lower()
    ),
    "height": lambda draw: str(draw.randint(148, 205)),
    "kilos": lambda draw: str(draw.randint(51, 149)),
}
"""Placeholder -> draws a value of its kind."""

KINDS: Mapping[str, Sequence[str]] = {
    "patient's name": ("{given} {surname} was examined upright.", "Patient {given} {surname}."),
    "name with comma": ("{surname}, {given}: chest radiograph.", "{surname}, {given} seen again."),
    "name in capitals": ("NAME: {surname!u} {given!u}", "PATIENT {surname!u}, {given!u} UPRIGHT."),
    "name in lower case": ("mr {surname!l} was imaged supine.", "dr {surname!l} agrees."),
    "name with a label": ("Patient name: {given} {surname}", "Pt name: {surname}"),
    "name with initials": ("{initial}. {initial}. {surname} was seen.",
        "Images of {initial} {surname}."),
    "name with a title": ("Mrs. {surname} could not stand.", "Miss {given} {surname} was rotated."),
    "possessive name": ("{surname}'s lungs are clear.", "Mr. {surname}'s heart is normal."),
    "radiologist": ("Dr. {given} {surname}, MD", "Interpreted by {given} {surname}, M.D."),
    "referring physician": ("Referred by Dr {surname}.",
        "Discussed with Dr. {surname} of surgery."),
    "call to a physician": ("Findings were communicated to {given} {surname} at {time}.",
        "Called to nurse {surname} at {time} hours."),
    "signature": ("Electronically signed by {given} {surname} on {slashed}", "Signed: {surname}"),
    "transcriber": ("Transcribed by {given} {surname}.", "Dictated by: {surname} / {initial}"),
    "technologist": ("Technologist {given} {surname} noted motion.", "Technologist: {surname}"),
    "relative": ("Her daughter {given} was present.", "His wife, {given} {surname}, agrees."),
    "maiden name": ("Maiden name {surname}.", "Formerly known as {given} {surname}."),
    "nickname": ("Known as '{given}'.", "Goes by {given}."),
    "record number": ("MRN {mrn}.", "MRN: {mrn}", "Medical record #{mrn}"),
    "accession number": ("Accession {letters}.", "Accession number: {letters}"),
    "visit number": ("Visit {mrn}.", "Encounter no. {mrn} is closed."),
    "social security number": ("SSN {ssn}.", "Social security number {ssn}"),
    "insurance number": ("Insurance {letters}-{short}.", "Policy {letters}."),
    "health service number": ("NHS number {nhs}.", "NHS {nhs}"),
    "passport": ("Passport {letters}.", "Travel document no {letters}"),
    "driving licence": ("Driver licence {letters}.", "License number {letters} noted."),
    "date of birth": ("DOB {slashed}.", "Born on {day} {month} {year}.", "Date of birth: {dotted}"),
    "date of the study": ("Compared with {slashed}.", "Examination of {month} {day}, {year}."),
    "date in words": ("Seen on {day} {month}.", "Last film in {month} {year}."),
    "date in ISO form": ("Compared with the film of {iso}.", "{iso}: unchanged."),
    "year alone": ("Surgery in {year}.", "Treated for tuberculosis in {year}."),
    "time of day": ("Film at {time}.", "Read at {time} hours."),
    "age": ("{age}-year-old man.", "{age} y/o female with cough.", "Aged {age} years."),
    "telephone": ("Call +49 {short} {mrn}.", "Telephone 555-{short}.", "Tel: ({short}) {mrn}"),
    "fax": ("Fax {short}-{short}.", "Faxed to {mrn}."),
    "pager": ("Pager {zip}.", "Paged at {zip}."),
    "electronic mail": ("Mail {handle}@example.org.", "Contact: {handle}@clinic.example"),
    "web address": ("See http://{handle}.example/{mrn}.", "www.{handle}.example"),
    "user of a network": ("@{handle} posted it.", "Skype {handle}."),
    "address of a computer": ("Sent from 192.168.{house}.{house}.", "Host ws{zip}."),
    "street": ("Lives at {house} {street} Street.", "Resident of {street} Avenue {house}."),
    "town": ("Transferred from {place}.", "Lives in {place}."),
    "postal code": ("{place} {zip}.", "Zip {zip}."),
    "hospital": ("Film from {hospital} Hospital.", "{hospital} Medical Center, {place}."),
    "ward and bed": ("Ward {house}, bed {house}.", "Room {house}{initial}."),
    "employer": ("Works at {employer}.", "Employee of {employer} in {place}."),
    "occupation with a place": ("Mayor of {place}.", "Teacher at {street} School."),
    "device number": ("Serial number {letters}.", "Pacemaker model {letters} serial {mrn}."),
    "unique identifier": ("Study 1.2.840.{mrn}.{short}.", "UID 1.3.6.1.{mrn}"),
    "height and weight": ("Height {height} cm, weight {kilos} kg.", "{height}cm, {kilos}kg."),
    "bank account": ("IBAN DE{long}{mrn}.", "Account {long}."),
}  # fmt: skip
"""Kind of identity -> sentences that hold one; ``!u`` and ``!l`` write a value in one case."""


@dataclass(frozen=True)
class Planted:
    """A text with an identity in it.

    Attributes:
        kind: one of `KINDS`.
        text: of the report.
        secrets: words and numbers of the identity, in lower case.
    """

    kind: str
    text: str
    secrets: tuple[str, ...]


def plant(text: str, kind: str, draw: random.Random) -> Planted:
    """Put a sentence with an identity before, behind or between the sentences of a text."""
    secrets: list[str] = []

    def value(found: re.Match[str]) -> str:
        name, case = found[1], found[2]
        if name == "initial":
            return draw.choice(INITIALS)
        if name in {"ssn", "nhs"}:
            groups = (3, 2, 4) if name == "ssn" else (3, 3, 4)
            drawn = ("-" if name == "ssn" else " ").join(_digits(draw, n) for n in groups)
        else:
            drawn = VALUES[name](draw)
        secrets.append(drawn.lower())
        secrets.extend(part for part in re.split(r"[^\w]+", drawn.lower()) if len(part) > 1)
        return drawn.upper() if case == "!u" else drawn.lower() if case == "!l" else drawn

    sentence = re.sub(r"\{(\w+)(!\w)?\}", value, draw.choice(KINDS[kind]))
    sentences = re.split(r"(?<=\.) ", text)
    sentences.insert(draw.randint(0, len(sentences)), f"\n{sentence}\n")
    return Planted(kind, " ".join(sentences), tuple(dict.fromkeys(secrets)))


def found(secret: str, text: str) -> int:
    """Count a secret in a text, as a word of its own and in any case."""
    return len(re.findall(rf"(?<!\w){re.escape(secret)}(?!\w)", text.lower()))
