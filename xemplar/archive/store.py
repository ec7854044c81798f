"""The store: the folder of all data derived from images. Defines all of its paths.

::

    catalog.sqlite             the catalog, unless a database URL names another one
    media/                     stored images, named by the sha256 of the original radiograph
    generations/<name>/        index generations, immutable, with validator.safetensors, the input
                               validator fitted to their images (refitted if missing)
    generations/CURRENT        the name of the current generation
    checkpoints/<sha256>.safetensors   checkpoints of the generations
    had-keys                   marks that an API key was created; from then on keys are required
    pseudonym.key              32 random bytes, the secret of the patient pseudonyms, of remembered
                               queries in PostgreSQL and of references to studies
"""

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from xemplar.archive.artefact import length_prefixed, write_file
from xemplar.archive.permissions import make_folder
from xemplar.archive.storage_errors import writing_files
from xemplar.errors import CorruptArtefact, Mismatch

KEY_BYTES = 32
NONCE_BYTES = 12


@dataclass(frozen=True)
class Store:
    """A store folder. Folders and files are created on first write.

    Attributes:
        root: the folder.
        index_url: of the Milvus server that holds the index generations; empty if they are in the
            folder (see `xemplar.index.engine`).
    """

    root: Path
    index_url: str = ""

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the catalog in the store."""
        return f"sqlite:///{self.root.resolve() / 'catalog.sqlite'}"

    @property
    def media(self) -> Path:
        """Folder of the stored images."""
        return self.root / "media"

    @property
    def generations(self) -> Path:
        """Folder of the index generations."""
        return self.root / "generations"

    @property
    def current(self) -> Path:
        """File with the name of the current generation."""
        return self.generations / "CURRENT"

    @property
    def restoring(self) -> Path:
        """File that marks a restore in progress; becomes `current`."""
        return self.root / ".restoring"

    @property
    def had_keys(self) -> Path:
        """File that marks that an API key was created for this store."""
        return self.root / "had-keys"

    def remember_keys(self) -> None:
        """Record that API keys exist, so that a service that finds none rejects all requests.

        Raises:
            StorageError: the store cannot be written.
        """
        if not self.had_keys.exists():
            with writing_files(self.root):
                self.root.mkdir(parents=True, exist_ok=True)
            write_file(self.had_keys, b"")

    def checkpoint(self, digest: str) -> Path:
        """Path of the copy of the checkpoint with this sha256 hex digest."""
        return self.root / "checkpoints" / f"{digest}.safetensors"

    @property
    def pseudonym_key(self) -> Path:
        """File with the secret key of the pseudonyms."""
        return self.root / "pseudonym.key"

    def pseudonym(self, domain: str, patient: str) -> str:
        """Compute a patient's pseudonym: 16 hex digits, HMAC-SHA256 with the store's key.

        A plain hash could be reversed by trying all patient ids.

        Args:
            domain: within which patient ids are unique: the data set's name, or the identity
                domain that it shares with others (`DatasetImage.domain`).
            patient: the data set's own patient id.

        Raises:
            CorruptArtefact: the key file is damaged.
            StorageError: the key does not exist yet and cannot be written.
        """
        joined = self._keyed(f"{domain}:{patient}".encode())
        # joining with a colon is unambiguous only if the domain contains none
        return self.unambiguous_pseudonym(domain, joined) if ":" in domain else joined

    def unambiguous_pseudonym(self, source: str, joined: str) -> str:
        """Compute the pseudonym of a patient whose source contains a colon.

        Until release 0.1, patient "a:1" of "clinic" and patient "1" of "clinic:a" had the same
        pseudonym. It is the input here, so that `xemplar upgrade` does not need the patient's id.

        Args:
            source: name of the data set.
            joined: HMAC of source and patient with a colon between them.
        """
        # no UTF-8 text begins with this byte, so the message is distinct from all others
        return self._keyed(b"\xff" + length_prefixed(source, joined))

    def keyed_digest(self, kind: str, value: str) -> str:
        """Compute a keyed digest of an identifying value: 32 hex digits, HMAC-SHA256.

        Whoever has no key can neither compute nor reverse it.

        Args:
            kind: of the value; equal values of two kinds have different digests.
            value: as the UID of an image.

        Raises:
            CorruptArtefact: the key file is damaged.
            StorageError: the key does not exist yet and cannot be written.
        """
        # no UTF-8 text begins with this byte, so the message is distinct from all others
        message = b"\xfd" + length_prefixed(kind, value)
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:32]

    def shift(self, patient: str) -> int:
        """Compute the number of days by which all days of a patient are moved, 0 to 2**30 - 1.

        Differences stay, and whoever has no key learns nothing of the days themselves.

        Args:
            patient: the pseudonym.

        Raises:
            CorruptArtefact, StorageError: see `keyed_digest`.
        """
        return int(self.keyed_digest("days of a patient", patient), 16) % 2**30

    def seal(self, content: bytes, name: str) -> bytes:
        """Encrypt content that is kept outside the store (AES-256-GCM, RFC 5116).

        The key is derived from the store's, so that the other place alone reveals nothing.

        Args:
            content: to encrypt.
            name: under which it is kept; needed again to open it.

        Raises:
            CorruptArtefact: the key file is damaged.
            StorageError: the key does not exist yet and cannot be written.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)  # 2**32 of them are safe with one key
        return nonce + self._cipher.encrypt(nonce, content, name.encode())

    def unseal(self, sealed: bytes, name: str) -> bytes:
        """Decrypt what `seal` returned for this name.

        Raises:
            Mismatch: it was sealed by a store with another key, for another name, or changed.
        """
        nonce, content = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, content, name.encode())
        except (InvalidTag, ValueError) as error:
            raise Mismatch(
                f"what is kept as {name!r} was not sealed with the key {self.pseudonym_key}; "
                "services of one database need the same key file in their stores"
            ) from error

    @cached_property
    def _cipher(self) -> AESGCM:
        return AESGCM(hmac.digest(self._key, b"\xfe remembered queries", hashlib.sha256))

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
                "backup: with another key the pseudonyms in the catalog match no patient"
            )
        return key

    def _create_key(self) -> None:
        """Create the key atomically; of two concurrent processes, the first one wins.

        A hard link fails if the file exists, whereas a rename would replace a key that the other
        process may already have used.
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
            pass  # another process was first; use its key
        finally:
            beside.unlink(missing_ok=True)
