"""The one file in an answer of WADO-RS (PS3.18 8.6.1.2; RFC 2046 5.1)."""

from email.message import Message

from xemplar.errors import UnreadableImage

DICOM = "application/dicom"
HEADERS = 8192
"""Most bytes before the file: delimiter and headers of its part."""


def single_part(content: bytes, content_type: str) -> bytes:
    """Take the file out of an answer; one that was sent without an envelope is returned as it is.

    Args:
        content: body of the answer.
        content_type: its media type, with the boundary.

    Raises:
        UnreadableImage: it is no DICOM, no multipart, or cut short.
    """
    header = Message()
    header["Content-Type"] = content_type
    if header.get_content_type() == DICOM:
        return content
    boundary = str(header.get_param("boundary") or "")
    if header.get_content_type() != "multipart/related" or not boundary:
        raise _unreadable()
    delimiter = b"--" + boundary.encode("latin-1", errors="replace")
    start = content.find(delimiter, 0, HEADERS)
    headers = content.find(b"\r\n\r\n", start, start + HEADERS)
    end = content.find(b"\r\n" + delimiter, headers + 4 if headers >= 0 else 0)
    if min(start, headers, end) < 0 or DICOM.encode() not in content[start:headers].lower():
        raise _unreadable()
    return content[headers + 4 : end]


def _unreadable() -> UnreadableImage:
    return UnreadableImage("the archive sent no DICOM file (multipart/related), or half of one")
