"""The tar archive that a backup is: what may be in it, and that it is what was written.

It may come from a hand that means harm. So only names that a backup has are unpacked, only plain
files, no more than the disk takes, and nothing is used unless its digest is right.
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
"""Of the archive. In the oldest the key lies within, and nothing tells whether it was changed."""

_NAMES = re.compile(
    rf"{re.escape(CATALOG)}|{re.escape(CONTENTS)}|{re.escape(KEY)}|{HAD_KEYS}"
    r"|checkpoints/[0-9a-f]{64}\.safetensors"
    r"|generations/[0-9A-Za-z-]{1,64}/[a-z]{1,32}\.(json|faiss|npy|safetensors)"
    r"|media/([0-9a-f]{2})/\2[0-9a-f]{62}\.(jpg|[0-9a-f]{12}\.png)"
)
_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.XHDTYPE)
_HEADER_BYTES = 1 << 16
"""Of a PAX header, which is read into memory; ours have below 200."""

MALFORMED = (FileExistsError, IsADirectoryError, NotADirectoryError, ValueError)
"""What unpacking raises where names contradict each other."""


@dataclass(frozen=True)
class Contents:
    """What is in a backup.

    Attributes:
        created: UTC, ISO 8601: everything that was acknowledged before is in it.
        generation: name of the live one.
        cases: in the catalog.
        pictures: files.
        form: version of the archive's form.
        digest: sha256 hex digest of all files before this one, with their names and sizes.
        code: HMAC-SHA256 of all else that is said here, with the key of the store's pseudonyms;
            empty where the store has no key, as it knows of no patient.
    """

    created: Annotated[str, Field(pattern=r"^[0-9T:+-]{1,32}$")]
    generation: Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{1,64}$")]
    cases: int
    pictures: int
    form: int = OLDEST
    digest: str = ""
    code: str = ""

    def signed(self, key: bytes) -> Self:
        """The same with the code that a key gives."""
        said = digest_of(asdict(replace(self, code=""))).encode()
        # no text begins with this byte in UTF-8, so no pseudonym is the same HMAC
        return replace(self, code=hmac.new(key, b"\xfe" + said, hashlib.sha256).hexdigest())


class ArchiveWriter:
    """Puts the files of a store into an archive, one after another.

    Attributes:
        pictures: how many were put in.
    """

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._digest = hashlib.sha256()
        self.pictures = 0

    def add(self, path: Path, name: str) -> None:
        """Put a file in under a name, without whose it is here; what no backup has is left out.

        Raises:
            FileNotFoundError: there is none.
        """
        if not _NAMES.fullmatch(name):
            return  # what a process is writing beside it
        with path.open("rb") as file:
            member, status = tarfile.TarInfo(name), os.fstat(file.fileno())
            member.size, member.mtime, member.mode = status.st_size, int(status.st_mtime), FILE
            self._tar.addfile(member, _Hashed(file, self._digest, member))
        self.pictures += name.startswith("media/")

    def finish(self, contents: Contents, key: bytes | None, scratch: Path) -> Contents:
        """Put in, as the last file, what the archive holds.

        Args:
            contents: all but digest and code.
            key: of the pseudonyms, if the store has one.
            scratch: folder to write a file in.
        """
        contents = replace(contents, form=FORM, digest=self._digest.hexdigest())
        contents = contents if key is None else contents.signed(key)
        (scratch / CONTENTS).write_text(json.dumps(asdict(contents), indent=2) + "\n")
        self.add(scratch / CONTENTS, CONTENTS)
        return contents


@contextmanager
def writing_archive(out: IO[bytes]) -> Iterator[ArchiveWriter]:
    """An archive that is written to a stream; without an end if that fails."""
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        yield ArchiveWriter(tar)


class _Hashed:
    """A member's content; what is read of it goes into a digest, behind its name and size."""

    def __init__(self, file: IO[bytes], digest: "hashlib._Hash", member: tarfile.TarInfo) -> None:
        self._file, self._digest = file, digest
        digest.update(length_prefixed(member.name, str(member.size)))

    def read(self, size: int = -1) -> bytes:
        """As of a file."""
        read = self._file.read(size)
        self._digest.update(read)
        return read


class _Member(tarfile.TarInfo):
    """Refused by its type before tarfile does anything with it."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """As of `tarfile.TarInfo`."""
        member = super().frombuf(buf, encoding, errors)
        long = member.type == tarfile.XHDTYPE and member.size > _HEADER_BYTES
        if member.type not in _TYPES or long:
            raise CorruptArtefact(
                f"a backup holds plain files only, and no {member.name[:100]!r}: this is none"
            )
        return member


def unpack(source: IO[bytes], folder: Path) -> Contents:
    """Unpack all of a backup into a folder, and check that it is all, and what was written.

    Raises:
        CorruptArtefact: it is not.
        StorageFull: the disk has no room for it.
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
        raise CorruptArtefact(f"this is no backup, or not all of one: {error}") from error
    try:
        said = (folder / CONTENTS).read_bytes()
        contents: Contents = TypeAdapter(Contents).validate_json(said, strict=True)
    except (FileNotFoundError, ValueError) as error:
        raise CorruptArtefact("this is no backup, or its end is missing; use another") from error
    if contents.form not in (OLDEST, FORM) or contents.pictures != pictures:
        raise CorruptArtefact(
            f"the backup has form {contents.form} and {pictures:,} pictures, not {FORM} and "
            f"{contents.pictures:,}; use another one, or the version of xemplar that made it"
        )
    if contents.form != OLDEST and (contents.digest != before or has_key):
        raise CorruptArtefact("the backup was damaged or changed since it was made; use another")
    return contents


def _files(archive: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    """Its files; none that a backup does not have, and nothing after the last one."""
    ended = False
    for member in archive:
        content = None if member.issparse() else archive.extractfile(member)
        if ended or content is None or not _NAMES.fullmatch(member.name):
            raise CorruptArtefact(f"a backup has no {member.name[:100]!r} there: this is none")
        ended = member.name == CONTENTS
        yield member, content


def _check_fits(member: tarfile.TarInfo, folder: Path) -> None:
    """Refuse a file before the disk is full of it."""
    make_folder(folder)
    free = shutil.disk_usage(folder).free
    if member.size + ROOM > free:
        raise StorageFull(
            f"no room is left to restore {member.name[:100]}: it has {member.size:,} bytes, and "
            f"{free:,} are free; make room, and try again"
        )
    if member.name == CONTENTS and member.size > _HEADER_BYTES:
        raise CorruptArtefact(f"{CONTENTS} has {member.size:,} bytes: this is no backup")
