"""The store: the folder of everything made from images. All its paths are defined here.

::

    catalog.sqlite             the catalog, unless a database URL names another one
    media/                     pictures, named by the sha256 of the radiograph they were made from
    generations/<name>/        index generations, immutable; and validator.safetensors, which tells
                               what their images look like, and is made anew where it lacks
    generations/CURRENT        the name of the live one
    checkpoints/<sha256>.safetensors   networks of generations, so that a service finds them
    had-keys                   there once an API key was made; a service without keys is closed then
    pseudonym.key              32 random bytes; without it no patient id can be found again
"""

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from xemplar.archive.artefact import length_prefixed, write_file
from xemplar.archive.permissions import make_folder
from xemplar.archive.storage_errors import writing_files
from xemplar.errors import CorruptArtefact

KEY_BYTES = 32


@dataclass(frozen=True)
class Store:
    """A store folder. Nothing is created before something is written into it.

    Attributes:
        root: the folder.
    """

    root: Path

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the catalog that lies in the store."""
        return f"sqlite:///{self.root.resolve() / 'catalog.sqlite'}"

    @property
    def media(self) -> Path:
        """Folder of the pictures."""
        return self.root / "media"

    @property
    def generations(self) -> Path:
        """Folder of the index generations."""
        return self.root / "generations"

    @property
    def current(self) -> Path:
        """The file that names the live generation."""
        return self.generations / "CURRENT"

    @property
    def restoring(self) -> Path:
        """The file that is there while a restore puts its files in place; becomes `current`."""
        return self.root / ".restoring"

    @property
    def had_keys(self) -> Path:
        """The file that is there once an API key was made for this store."""
        return self.root / "had-keys"

    def remember_keys(self) -> None:
        """Note that there are API keys, so that a service that finds none lets nobody in.

        Raises:
            StorageError: the store cannot be written.
        """
        if not self.had_keys.exists():
            with writing_files(self.root):
                self.root.mkdir(parents=True, exist_ok=True)
            write_file(self.had_keys, b"")

    def checkpoint(self, digest: str) -> Path:
        """Where the checkpoint of that sha256 hex digest is kept, if it is."""
        return self.root / "checkpoints" / f"{digest}.safetensors"

    @property
    def pseudonym_key(self) -> Path:
        """The file with the key that pseudonyms are made with."""
        return self.root / "pseudonym.key"

    def pseudonym(self, source: str, patient: str) -> str:
        """What is stored in place of a patient id: 16 hex digits, HMAC-SHA256 with the store's key.

        A plain hash would not do: patient ids are few enough to try them all.

        Args:
            source: name of the data set, as ids of two sets have nothing to do with each other.
            patient: the data set's own patient id.

        Raises:
            CorruptArtefact: the key file is damaged.
            StorageError: there is none yet, and it cannot be written.
        """
        joined = self._keyed(f"{source}:{patient}".encode())
        # only where the source holds no colon is it plain where it ends and the patient begins
        return self.unambiguous_pseudonym(source, joined) if ":" in source else joined

    def unambiguous_pseudonym(self, source: str, joined: str) -> str:
        """The pseudonym of a patient whose source's name holds a colon.

        Until release 0.1 patient "a:1" of "clinic" and patient "1" of "clinic:a" had one pseudonym.
        This one is made from that, so that `xemplar upgrade` can make it without the patient's id.

        Args:
            source: name of the data set.
            joined: HMAC of source and patient with a colon between them.
        """
        # no text begins with this byte in UTF-8, so nothing else has the same HMAC
        return self._keyed(b"\xff" + length_prefixed(source, joined))

    def _keyed(self, message: bytes) -> str:
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:16]

    @cached_property
    def _key(self) -> bytes:
        if not self.pseudonym_key.exists():
            with writing_files(self.root):
                self._create_key()
        key = self.pseudonym_key.read_bytes()
        if len(key) != KEY_BYTES:
            raise CorruptArtefact(
                f"{self.pseudonym_key} has {len(key)} bytes, not {KEY_BYTES}; restore it from a "
                "backup: with another key the pseudonyms in the catalog belong to nobody"
            )
        return key

    def _create_key(self) -> None:
        """Create the key whole, once: of two processes at the same time the first one wins.

        That is why it is linked into place, which fails where a file exists, and not renamed,
        which would replace a key that the other process has used already.
        """
        make_folder(self.root)
        beside = self.root / f".pseudonym.key.{secrets.token_hex(4)}"
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            self.pseudonym_key.hardlink_to(beside)
        except FileExistsError:
            pass  # another process was first; its key is the store's key
        finally:
            beside.unlink(missing_ok=True)
