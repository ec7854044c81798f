"""Membership: digests of the patients and pictures that a checkpoint was developed on.

With them an evaluation finds what the training has seen under any name of data set or file. They
stay in the checkpoint, so whoever has it can try somebody's id, or a picture (docs/decisions/0033):

- A *patient* is the beginning of a salted SHA-256 of `xemplar.data.splits.patient_key`, short
  enough that one stranger in 1,024 to 2,048 has one of the digests, too. So a hit does not prove
  that a patient was there; many hits prove that some were.
- A *picture* is the signs of `BITS` random projections of its local contrast, whose share of
  unequal signs estimates the angle between two contrasts (Charikar, STOC 2002). A picture cannot be
  made from them; one that is at hand is recognised, re-encoded and rescaled copies included.

The salt, which also makes the projections, is another one for each checkpoint, so that the digests
of two cannot be joined.
"""

import base64
import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from xemplar.archive.artefact import length_prefixed
from xemplar.data.datasets import TRAIN, VAL, Dataset, DatasetImage
from xemplar.data.splits import PatientSplit, patient_key
from xemplar.errors import CorruptArtefact, InputError
from xemplar.imaging import decode
from xemplar.imaging.local_contrast import SIDE, local_contrast
from xemplar.imaging.preprocess import PreprocessSpec, preprocess

BITS = 256
"""Projections of a picture: 32 bytes each."""

SAME_SIGNS = 0.75
"""Minimum share of equal signs of two copies of a picture; see `benchmarks/near_duplicates.py`."""

STRANGERS = 10
"""Bits of a patient's digest beyond those that number the patients: one stranger in 2**10 hits."""

READERS = 8
"""Threads that decode images."""

Contrasts: TypeAlias = npt.NDArray[np.float32]
Inputs: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Membership:
    """Digests of P patients and N pictures.

    Attributes:
        salt: of this checkpoint.
        bits: length of a patient's digest.
        patients: uint32 (P,), ascending.
        pictures: uint8 (N, BITS / 8), signs of the projections.
        domains: names of the identity domains of the patients; ids of others cannot be compared.
    """

    salt: bytes
    bits: int
    patients: npt.NDArray[np.uint32]
    pictures: npt.NDArray[np.uint8]
    domains: tuple[str, ...]

    @classmethod
    def of(
        cls, images: Sequence[DatasetImage], spec: PreprocessSpec, salt: bytes | None = None
    ) -> Self:
        """Compute the digests of images, see `development_images`; their files are read.

        Args:
            images: of one or several data sets. Unreadable files have no picture.
            spec: of the network's input.
            salt: 16 bytes; None to draw them.
        """
        salt = salt or secrets.token_bytes(16)
        known = [image for image in images if image.patient]
        keys = {patient_key(image) for image in known}
        bits = min(max(len(keys), 1).bit_length() + STRANGERS, 32)
        projections = projections_of(salt)

        def signs(image: DatasetImage) -> npt.NDArray[np.uint8] | None:
            try:
                inputs = preprocess(decode(image.path.read_bytes()), spec)
            except (OSError, InputError):
                return None
            return signs_of(contrasts([inputs]), projections)

        with ThreadPoolExecutor(READERS, "reader") as pool:
            read = [one for one in pool.map(signs, images) if one is not None]
        return cls(
            salt=salt,
            bits=bits,
            patients=np.unique(np.array([_digest(key, salt, bits) for key in keys], np.uint32)),
            pictures=np.concatenate([np.empty((0, BITS // 8), np.uint8), *read]),
            domains=tuple(sorted({image.domain for image in known})),
        )

    @property
    def strangers(self) -> float:
        """Chance of a patient who was not there to have one of the digests, in [0, 1]."""
        return len(self.patients) / 2.0**self.bits

    def has_patients(self, images: Iterable[DatasetImage]) -> npt.NDArray[np.bool_]:
        """Return of which images the patient's digest is among these, bool (n,).

        False where the patient is unknown, or called as in another identity domain.
        """
        digests = set(self.patients.tolist())
        return np.array(
            [
                bool(image.patient)
                and image.domain in self.domains
                and _digest(patient_key(image), self.salt, self.bits) in digests
                for image in images
            ],
            np.bool_,
        )

    def has_pictures(self, seen: Contrasts) -> npt.NDArray[np.bool_]:
        """Return which pictures are among these, bool (n,); ``seen`` comes from `contrasts`."""
        if not len(self.pictures) or not len(seen):
            return np.zeros(len(seen), np.bool_)
        equal = equal_signs(signs_of(seen, projections_of(self.salt)), self.pictures)
        return np.asarray((equal.max(axis=1) >= SAME_SIGNS) & seen.any(axis=1))

    def to_json(self) -> dict[str, Any]:
        """Return what a checkpoint's card keeps as ``training["membership"]``."""
        parts = {
            "salt": self.salt,
            "patients": self.patients.astype("<u4").tobytes(),
            "pictures": self.pictures.tobytes(),
        }
        text = {name: base64.b64encode(part).decode() for name, part in parts.items()}
        return text | {"bits": self.bits, "domains": list(self.domains)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Read `to_json`.

        Raises:
            CorruptArtefact: the fields are not of this software, or damaged.
        """
        try:
            salt, patients, pictures = (
                base64.b64decode(fields[name], validate=True)
                for name in ("salt", "patients", "pictures")
            )
            return cls(
                salt=salt,
                bits=int(fields["bits"]),
                patients=np.frombuffer(patients, "<u4").astype(np.uint32),
                pictures=np.frombuffer(pictures, np.uint8).reshape(-1, BITS // 8),
                domains=tuple(fields["domains"]),
            )
        except (LookupError, TypeError, ValueError) as error:
            raise CorruptArtefact(
                "the checkpoint's digests of its training patients and pictures are damaged, or of "
                "another version of this software; take another copy"
            ) from error


def development_images(datasets: Iterable[Dataset], rule: PatientSplit) -> list[DatasetImage]:
    """List the images that a training on data sets learns from or chooses by."""
    return [image for d in datasets for image in d.images if rule.of(image) in (TRAIN, VAL)]


def contrasts(inputs: Sequence[Inputs] | Inputs) -> Contrasts:
    """Compute the local contrasts of n network inputs, float32 (n, SIDE * SIDE)."""
    if not len(inputs):
        return np.empty((0, SIDE * SIDE), np.float32)
    return np.stack([local_contrast(one).ravel() for one in inputs])


def projections_of(salt: bytes) -> Contrasts:
    """Draw the projections, float32 (BITS, SIDE * SIDE), each value 1 or -1.

    They are an extendable hash of the salt, and so the same in every version of numpy.
    """
    drawn = hashlib.shake_256(b"membership" + salt).digest(BITS * SIDE * SIDE // 8)
    halves = np.unpackbits(np.frombuffer(drawn, np.uint8)).reshape(BITS, SIDE * SIDE)
    return halves.astype(np.float32) * 2 - 1


def signs_of(seen: Contrasts, projections: Contrasts) -> npt.NDArray[np.uint8]:
    """Compute the signs of contrasts' projections, packed, uint8 (n, BITS / 8)."""
    return np.packbits(seen @ projections.T > 0, axis=1)


def equal_signs(
    one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float32]:
    """Compute the shares of equal signs, float32 (n, m) in [0, 1], of packed signs of n and m."""
    ours, theirs = (np.unpackbits(s, axis=1).astype(np.float32) * 2 - 1 for s in (one, other))
    share: npt.NDArray[np.float32] = 0.5 + ours @ theirs.T / np.float32(2 * BITS)
    return share


def _digest(key: Sequence[str], salt: bytes, bits: int) -> int:
    """Hash a patient to an integer of so many bits."""
    hashed = hashlib.sha256(length_prefixed("membership", salt.hex(), *key)).digest()
    return int.from_bytes(hashed[:4], "big") >> (32 - bits)
