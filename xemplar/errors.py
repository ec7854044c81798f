"""Exceptions of the domain; doubts about images that are accepted.

Each message states the problem, the value, the limit and the remedy.

XemplarError
├── InputError                  the caller's image or query
│   ├── UnreadableImage         the bytes cannot be decoded as an image
│   ├── UnsupportedImage        an image of a kind that is not supported
│   ├── ImageTooLarge           more bytes or pixels than the limit
│   ├── NotARadiograph          decoded, but clearly not a radiograph
│   ├── BurnedInText            the header states that the image contains text
│   ├── UnknownFinding          a finding outside the checkpoint's vocabulary
│   ├── InvalidArgument         another argument is out of range
│   ├── CaseIdTaken             another image already has this case id
│   ├── CaseElsewhere           the image is a case of a source hidden from the caller
│   ├── TooManyPatientChanges   the limit of patient changes is reached
│   ├── PseudonymTaken          a reader's pseudonym belongs to another API key
│   ├── TooManyRatings          an API key has saved as many ratings as allowed
│   ├── ReadingGiven            a reading of a reader study does not change
│   └── TooManySaved            an API key has as many collections or saved queries as allowed
├── NotFound                    no such case, image or query
├── DatasetError                a data set's label file or folder cannot be used
├── ConfigurationError          invalid settings or installation
├── StorageError                disk or database failed; may recover without a restart
│   ├── StorageFull             disk full or quota exceeded
│   ├── ReadOnlyStorage         readable, but not writable
│   ├── StorageFailed           the disk reports an I/O error
│   ├── PicturesRemain          a case is removed, but its images are not yet deleted
│   ├── DatabaseUnreachable     the catalog's database does not respond
│   ├── DatabaseIncomplete      the database lacks tables or privileges
│   └── IndexUnreachable        the index engine (Milvus) does not answer
├── ArtefactError               a file written by this software cannot be used
│   ├── CorruptArtefact         its content does not match its digest or schema
│   ├── Mismatch                two artefacts do not fit together
│   └── NothingIndexed          no index generation has been published
└── ServiceError                a request to another program failed
    ├── ServiceProblem          the service answered `xemplar.Client` with a problem (RFC 9457)
    ├── ServiceUnreachable      no response to it, or not from the service
    └── ArchiveUnreachable      a hospital's archive does not answer
"""

from typing import Literal, TypeAlias

Doubt: TypeAlias = Literal[
    "turned_right",
    "upside_down",
    "turned_left",
    "inverted",
    "unlike",
    "not_frontal",
    "other_part",
    "text",
]
"""The input validator finds the first five: turned by a quarter clockwise or anticlockwise, or by a
half; bones dark; unlike everything indexed, as a child among adults, an animal or a photograph. A
DICOM header states the others: not frontal, not a chest, text burnt into the picture, which the
pixels may show, too."""

TURNED: tuple[Doubt, ...] = ("turned_right", "upside_down", "turned_left")
"""By one, two and three quarter turns clockwise."""


class XemplarError(Exception):
    """Base class of all errors that this software raises deliberately."""


class InputError(XemplarError):
    """The caller's image or query cannot be used; the caller can correct it."""


class UnreadableImage(InputError):
    """The bytes cannot be decoded as an image (empty, truncated, another file type)."""


class UnsupportedImage(InputError):
    """An image or DICOM object of a kind that is not supported."""


class ImageTooLarge(InputError):
    """The image exceeds the limit of bytes or pixels. Raised before decoding."""


class NotARadiograph(InputError):
    """Decoded, but clearly not a radiograph (colour photograph, constant, too small)."""


class BurnedInText(InputError):
    """A radiograph with burned-in text, which may identify the patient; it must not be indexed."""


class UnknownFinding(InputError):
    """A finding that is not in the vocabulary or not among the checkpoint's outputs."""


class InvalidArgument(InputError):
    """An argument is out of range."""


class CaseIdTaken(InputError):
    """Another image already has the case id derived from this one: their digests share a prefix.

    By chance that takes billions of cases; more likely, the image was crafted to collide.
    """


class CaseElsewhere(InputError):
    """The image is already a case of a source that is hidden from the caller."""


class TooManyPatientChanges(InputError):
    """A case's patient was changed too often, or an API key made too many such changes."""


class PseudonymTaken(InputError):
    """A reader's pseudonym belongs to another API key."""


class TooManyRatings(InputError):
    """An API key has reached its limit of ratings or of reader pseudonyms."""


class ReadingGiven(InputError):
    """A reading of a study was given already, or is not the next one: readings do not change."""


class TooManySaved(InputError):
    """An API key has reached its limit of collections, their entries or saved queries."""


class NotFound(XemplarError):
    """No such case, image or query."""


class DatasetError(XemplarError):
    """A data set's label file or folder cannot be used."""


class ConfigurationError(XemplarError):
    """Settings, job arguments or the installation are invalid."""


class StorageError(XemplarError):
    """The disk or the database failed; it may recover without a restart.

    Attributes:
        reason: the cause, fit for API users: unlike the message, it contains no path or address.
        action: the operation that failed; empty where the reporting code adds it.
    """

    reason: str
    action = ""


class StorageFull(StorageError):
    """The disk is full or the quota is exceeded."""

    reason = "no room is left on the disk of the store or of its database"


class ReadOnlyStorage(StorageError):
    """Store or database is read-only, such as a standby or a read-only file system."""

    reason = "the store or its database is read-only"


class StorageFailed(StorageError):
    """The disk of the store reports an I/O error."""

    reason = "the disk of the store fails"


class PicturesRemain(StorageError):
    """A case was removed from the catalog, but its images could not be deleted yet."""

    reason = (
        "the case is removed and no search finds it any more, but its pictures could not be "
        "deleted yet"
    )


class DatabaseUnreachable(StorageError):
    """The catalog's database does not respond; it may recover without a restart."""

    reason = "the catalog's database does not answer"


class DatabaseIncomplete(StorageError):
    """The catalog's database lacks tables, columns or privileges; part of the schema exists."""

    reason = "the catalog's database lacks tables, or rights on them"


class IndexUnreachable(StorageError):
    """The engine that holds the index does not answer; it may recover without a restart."""

    reason = "the index engine does not answer"


class ArtefactError(XemplarError):
    """A file written by this software cannot be used."""


class CorruptArtefact(ArtefactError):
    """The content of an artefact does not match its digest or schema."""


class Mismatch(ArtefactError):
    """Two artefacts are incompatible, such as an index built with another checkpoint."""


class NothingIndexed(ArtefactError):
    """No index generation has been published yet."""


class ServiceError(XemplarError):
    """A request of `xemplar.Client`, or to a hospital's archive, failed."""


class ServiceProblem(ServiceError):
    """The service answered with a problem (RFC 9457).

    Attributes:
        kind: type of the problem, usually a class of this module: "UnknownFinding", "NotFound".
        status: HTTP status code.
        title: reason phrase of the status.
        detail: the problem, the value and limit concerned, and the remedy.
        request_id: identifies the request in the service's log.
    """

    def __init__(self, kind: str, status: int, title: str, detail: str, request_id: str) -> None:
        super().__init__(kind, status, title, detail, request_id)
        self.kind, self.status, self.title = kind, status, title
        self.detail, self.request_id = detail, request_id

    def __str__(self) -> str:
        return f"{self.detail} ({self.status} {self.title}; {self.kind}, request {self.request_id})"


class ServiceUnreachable(ServiceError):
    """No response, or not from the service: a wrong address or an intermediary."""


class ArchiveUnreachable(ServiceError):
    """A hospital's archive does not answer, or not as one; it may recover."""
