"""Reads and writes the tar archive of a backup.

An archive may be malicious: only known names and regular files are unpacked, no more than the disk
can hold, and nothing is used unless its digest is correct.
"""

import hashlib
import hmac
import json
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Annotated, Self

from pydantic import Field, TypeAdapter

from xemplar.archive.artefact import digest_of, length_prefixed
from xemplar.archive.permissions import FILE, make_folder, private
from xemplar.archive.storage_errors import ROOM
from xemplar.errors import CorruptArtefact, StorageFull

CATALOG, CONTENTS = "catalog.sqlite", "backup.json"
KEY, HAD_KEYS = "pseudonym.key", "had-keys"
FORM, OLDEST = 2, 1
"""Current and oldest format version; the oldest contains the key and no digest."""

_NAMES = re.compile(
    rf"{re.escape(CATALOG)}|{re.escape(CONTENTS)}|{re.escape(KEY)}|{HAD_KEYS}"
    r"|checkpoints/[0-9a-f]{64}\.safetensors"
    r"|generations/[0-9A-Za-z-]{1,64}/[a-z]{1,32}\.(json|faiss|npy|safetensors)"
    r"|media/([0-9a-f]{2})/\2[0-9a-f]{62}\.(jpg|[0-9a-f]{12}\.png)"
)
_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.XHDTYPE)
_HEADER_BYTES = 1 << 16
"""Maximum size of a PAX header, which is read into memory; ours are below 200 bytes."""

MALFORMED = (FileExistsError, IsADirectoryError, NotADirectoryError, ValueError)
"""Errors raised on unpacking contradictory names."""


@dataclass(frozen=True)
class Contents:
    """Contents of a backup.

    Attributes:
        created: UTC, ISO 8601; everything acknowledged before is included.
        generation: name of the live generation.
        cases: number of cases in the catalog.
        pictures: number of picture files.
        form: format version of the archive.
        digest: sha256 hex digest of all preceding files with their names and sizes.
        code: HMAC-SHA256 of the other fields with the key of the pseudonyms; empty if the store has
            no key because it has no patients.
    """

    created: Annotated[str, Field(pattern=r"^[0-9T:+-]{1,32}$")]
    generation: Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{1,64}$")]
    cases: int
    pictures: int
    form: int = OLDEST
    digest: str = ""
    code: str = ""

    def signed(self, key: bytes) -> Self:
        """Return a copy with the code computed with a key."""
        said = digest_of(asdict(replace(self, code=""))).encode()
        # UTF-8 text never starts with this byte, so this HMAC differs from that of any pseudonym
        return replace(self, code=hmac.new(key, b"\xfe" + said, hashlib.sha256).hexdigest())


class ArchiveWriter:
    """Adds the files of a store to an archive.

    Attributes:
        pictures: number of added pictures.
    """

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._digest = hashlib.sha256()
        self.pictures = 0

    def add(self, path: Path, name: str) -> None:
        """Add a file under a name, without its owner; ignore names that do not belong in a backup.

        Raises:
            FileNotFoundError: the file does not exist.
        """
        if not _NAMES.fullmatch(name):
            return  # a file that another process is writing
        with path.open("rb") as file:
            member, status = tarfile.TarInfo(name), os.fstat(file.fileno())
            member.size, member.mtime, member.mode = status.st_size, int(status.st_mtime), FILE
            self._tar.addfile(member, _Hashed(file, self._digest, member))
        self.pictures += name.startswith("media/")

    def finish(self, contents: Contents, key: bytes | None, scratch: Path) -> Contents:
        """Add the contents as the last file.

        Args:
            contents: without digest and code.
            key: of the pseudonyms, if the store has one.
            scratch: folder for a temporary file.
        """
        contents = replace(contents, form=FORM, digest=self._digest.hexdigest())
        contents = contents if key is None else contents.signed(key)
        (scratch / CONTENTS).write_text(json.dumps(asdict(contents), indent=2) + "\n")
        self.add(scratch / CONTENTS, CONTENTS)
        return contents


@contextmanager
def writing_archive(out: IO[bytes]) -> Iterator[ArchiveWriter]:
    """Open an archive for writing to a stream; it has no end marker after a failure."""
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        yield ArchiveWriter(tar)


class _Hashed:
    """A member's content; updates a digest with name, size and all data read."""

    def __init__(self, file: IO[bytes], digest: "hashlib._Hash", member: tarfile.TarInfo) -> None:
        self._file, self._digest = file, digest
        digest.update(length_prefixed(member.name, str(member.size)))

    def read(self, size: int = -1) -> bytes:
        """Read like a file."""
        read = self._file.read(size)
        self._digest.update(read)
        return read


class _Member(tarfile.TarInfo):
    """A member whose type is checked before tarfile processes it."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Override `tarfile.TarInfo.frombuf`; refuse unexpected types."""
        member = super().frombuf(buf, encoding, errors)
        long = member.type == tarfile.XHDTYPE and member.size > _HEADER_BYTES
        if member.type not in _TYPES or long:
            raise CorruptArtefact(
                f"this is not a backup: {member.name[:100]!r} is not a regular file"
            )
        return member


def unpack(source: IO[bytes], folder: Path) -> Contents:
    """Unpack a backup into a folder and verify that it is complete and unmodified.

    Raises:
        CorruptArtefact: it is not.
        StorageFull: the disk has too little space.
    """
    digest, before, pictures, has_key = hashlib.sha256(), "", 0, False
    try:
        with tarfile.open(fileobj=source, mode="r|", tarinfo=_Member) as archive:
            for member, content in _files(archive):
                _check_fits(member, folder)
                if member.name == CONTENTS:
                    before = digest.hexdigest()
                path = folder / member.name
                make_folder(path.parent)
                with open(path, "xb", opener=private) as file:
                    shutil.copyfileobj(_Hashed(content, digest, member), file)
                pictures += member.name.startswith("media/")
                has_key |= member.name == KEY
    except (tarfile.TarError, EOFError, *MALFORMED) as error:
        raise CorruptArtefact(f"this is not a backup, or it is incomplete: {error}") from error
    try:
        said = (folder / CONTENTS).read_bytes()
        contents: Contents = TypeAdapter(Contents).validate_json(said, strict=True)
    except (FileNotFoundError, ValueError) as error:
        raise CorruptArtefact(
            "this is not a backup, or its end is missing; use another one"
        ) from error
    if contents.form not in (OLDEST, FORM) or contents.pictures != pictures:
        raise CorruptArtefact(
            f"the backup has form {contents.form} and {pictures:,} pictures, not {FORM} and "
            f"{contents.pictures:,}; use another one, or the version of xemplar that made it"
        )
    if contents.form != OLDEST and (contents.digest != before or has_key):
        raise CorruptArtefact(
            "the backup was damaged or changed since it was made; use another one"
        )
    return contents


def _files(archive: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    """Yield the files of an archive; refuse unknown names and files after the last one."""
    ended = False
    for member in archive:
        content = None if member.issparse() else archive.extractfile(member)
        if ended or content is None or not _NAMES.fullmatch(member.name):
            raise CorruptArtefact(f"this is not a backup: it contains {member.name[:100]!r}")
        ended = member.name == CONTENTS
        yield member, content


def _check_fits(member: tarfile.TarInfo, folder: Path) -> None:
    """Refuse a file that would fill the disk."""
    make_folder(folder)
    free = shutil.disk_usage(folder).free
    if member.size + ROOM > free:
        raise StorageFull(
            f"no room is left to restore {member.name[:100]}: it has {member.size:,} bytes, "
            f"and {free:,} are free; free disk space and try again"
        )
    if member.name == CONTENTS and member.size > _HEADER_BYTES:
        raise CorruptArtefact(f"this is not a backup: {CONTENTS} has {member.size:,} bytes")
