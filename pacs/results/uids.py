"""UIDs of results, derived from their content: a repetition is the same object to an archive.

An archive that receives an object again, after a lost acknowledgement or a restart, recognises it
by its SOP Instance UID. So the UID says what the object says: another image, index, network,
version or set of cases is another object.
"""

import hashlib

import xemplar
from xemplar.archive.artefact import length_prefixed
from xemplar.retrieval.result import Answer

from .source import SourceImage


def derived_uid(*fields: str) -> str:
    """Derive a UID from texts: a UUID below 2.25 (PS3.5 B.2), of version 8 (RFC 9562, 5.8).

    Version 8 leaves 122 bits free; here they are of the sha256 of the fields.
    """
    digest = hashlib.sha256(length_prefixed(*fields)).digest()
    number = int.from_bytes(digest[:16], "big")
    number = number & ~(0xF << 76) | 8 << 76
    number = number & ~(0b11 << 62) | 0b10 << 62
    return f"2.25.{number}"


def result_uid(source: SourceImage, answer: Answer, kind: str) -> str:
    """Derive the SOP Instance UID of a result.

    From the study, the image (its UID and its pixels), the index generation, the explained finding,
    the cases that are shown, the kind of result and the version of this software. Not from the
    file's digest, as routers and archives change headers.

    Args:
        source: header of the image.
        answer: to be told by the result.
        kind: "secondary capture" or another kind of result; "series" forms are kinds, too.
    """
    header = source.header
    pixels = hashlib.sha256(answer.image.tobytes()).hexdigest()
    shown = [near.case.case_id for near in (*answer.neighbours, *answer.counter_examples)]
    return derived_uid(
        "xemplar",
        xemplar.__version__,
        kind,
        str(header.StudyInstanceUID),
        str(header.SOPInstanceUID),
        pixels,
        answer.generation,
        answer.explained,
        str(len(answer.neighbours)),
        *shown,
    )
