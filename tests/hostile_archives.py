"""Archives that no backup is: what `xemplar restore` refuses before it does any harm."""

import io
import tarfile
from collections.abc import Callable
from functools import partial

PICTURE = f"media/ab/ab{'0' * 62}.jpg"


def archive_of(*members: tarfile.TarInfo) -> bytes:
    """An archive of these members, each with half a kilobyte of content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"1\n0\n1\n".ljust(512, b"\0")))
    return out.getvalue()


def sparse() -> tarfile.TarInfo:
    """In form 1.0 of GNU tar: 2 GiB of nothing."""
    member = tarfile.TarInfo(PICTURE)
    member.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": PICTURE,
        "GNU.sparse.realsize": str(2 << 30),
    }
    member.size = 512
    return member


def of_type(kind: bytes) -> tarfile.TarInfo:
    """A link, a device or a folder in the place of a picture."""
    member = tarfile.TarInfo(PICTURE)
    member.type, member.linkname = kind, "/etc/passwd"
    return member


def with_long_header() -> tarfile.TarInfo:
    """A picture with a megabyte of PAX header, which would be read into memory."""
    member = tarfile.TarInfo(PICTURE)
    member.pax_headers = {"comment": "x" * 1_000_000}
    return member


def huge() -> bytes:
    """A picture of an exbibyte, as its header says."""
    member = tarfile.TarInfo(PICTURE)
    member.size = 1 << 60
    return member.tobuf() + bytes(10_240)


KINDS = {
    "hard link": tarfile.LNKTYPE,
    "symbolic link": tarfile.SYMTYPE,
    "character device": tarfile.CHRTYPE,
    "block device": tarfile.BLKTYPE,
    "pipe": tarfile.FIFOTYPE,
    "folder": tarfile.DIRTYPE,
    "sparse file of GNU": tarfile.GNUTYPE_SPARSE,
}

MEMBERS: dict[str, Callable[[], tarfile.TarInfo]] = {
    "sparse file": sparse,
    "long header": with_long_header,
    **{name: partial(of_type, kind) for name, kind in KINDS.items()},
}
"""Members that are no plain files."""

NAMES = (
    "media/../../outside",
    "/outside",
    "elsewhere/x",
    "media/x\0y",
    "generations/../x.json",
)
"""Where no file of a backup lies."""

ARCHIVES: dict[str, Callable[[], bytes]] = {
    **{name: partial(lambda make: archive_of(make()), make) for name, make in MEMBERS.items()},
    **{f"file {name!r}": partial(lambda n: archive_of(tarfile.TarInfo(n)), name) for name in NAMES},
    "file of an exbibyte": huge,
    "the same picture twice": lambda: archive_of(*[tarfile.TarInfo(PICTURE)] * 2),
    "20,000 links": lambda: archive_of(*map(of_type, [tarfile.SYMTYPE] * 20_000)),
    "no archive": lambda: b"no archive" * 1_000_000,
    "nothing": lambda: b"",
}
"""Files to be refused at once, each made when asked for."""
