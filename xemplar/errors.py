"""Every error of the domain. Each message says what was wrong, with which value, and what to do.

XemplarError
├── InputError                  the caller's image or question
│   ├── UnreadableImage         the bytes are no picture that can be decoded
│   ├── UnsupportedImage        a picture, but not one this software works on
│   ├── ImageTooLarge           more bytes or pixels than the limit
│   ├── NotARadiograph          decoded, but surely no radiograph
│   ├── BurnedInText            a radiograph with text in the picture, as its header says
│   ├── UnknownFinding          a finding the checkpoint does not know
│   ├── InvalidArgument         any other value outside its range
│   ├── CaseIdTaken             another image has the case id that this one would get
│   ├── CaseElsewhere           the image is a case of a source that the caller does not see
│   ├── TooManyPatientChanges   the limit of changes of a case's patient is reached
│   ├── PseudonymTaken          a reader's pseudonym belongs to another API key
│   └── TooManyRatings          one API key has saved as much as one may
├── NotFound                    no such case, picture or query
├── DatasetError                a data set's label file or folder cannot be used
├── ConfigurationError          settings or installation cannot work
├── StorageError                disk or database as they are now; may pass without a restart
│   ├── StorageFull             no room, or no quota, for what is to be written
│   ├── ReadOnlyStorage         may be read, but not written
│   ├── StorageFailed           the disk itself fails
│   ├── PicturesRemain          a case is removed, and its pictures are not deleted yet
│   ├── DatabaseUnreachable     the catalog's database does not answer now
│   └── DatabaseIncomplete      it answers, and lacks tables or rights
├── ArtefactError               a file that this software wrote
│   ├── CorruptArtefact         its content is not what its digest or schema says
│   ├── Mismatch                two artefacts do not fit together
│   └── NothingIndexed          there is no published generation yet
└── ServiceError                `xemplar.Client` asked a service, in vain
    ├── ServiceProblem          it answered with a problem, which says why
    └── ServiceUnreachable      nothing answered, or something else than the service
"""


class XemplarError(Exception):
    """Base of all errors that this software raises on purpose."""


class InputError(XemplarError):
    """The caller's image or question cannot be used; the caller can mend it."""


class UnreadableImage(InputError):
    """The bytes are no picture that can be decoded (empty, truncated, another kind of file)."""


class UnsupportedImage(InputError):
    """A picture or DICOM object of a kind that this software does not work on."""


class ImageTooLarge(InputError):
    """More bytes or pixels than the limit. Raised before anything is decoded."""


class NotARadiograph(InputError):
    """Decoded, but surely no radiograph (colour photograph, constant, too small)."""


class BurnedInText(InputError):
    """A radiograph with burned-in text, which may name the patient: not to be indexed."""


class UnknownFinding(InputError):
    """A finding that the vocabulary or the checkpoint does not know."""


class InvalidArgument(InputError):
    """A value outside its range."""


class CaseIdTaken(InputError):
    """Another image is the case of the id that this one would get: their digests begin alike.

    By chance that takes billions of cases, so somebody has made the image for it.
    """


class CaseElsewhere(InputError):
    """The image is a case already, of a source that the caller does not see."""


class TooManyPatientChanges(InputError):
    """The patient of a case was changed too often, or a key changed too many."""


class PseudonymTaken(InputError):
    """A reader's pseudonym belongs to another API key."""


class TooManyRatings(InputError):
    """One API key has saved as many ratings, or under as many pseudonyms, as one may."""


class NotFound(XemplarError):
    """No such case, picture or query."""


class DatasetError(XemplarError):
    """A data set's label file or folder cannot be used."""


class ConfigurationError(XemplarError):
    """Settings, arguments of a job, or the installation cannot work."""


class StorageError(XemplarError):
    """Disk or database do not do what they should now; they may later, without a restart.

    Attributes:
        reason: the cause, for whoever asks: names no path and no address, as the message does.
        action: what failed; empty where whoever tells of it knows.
    """

    reason: str
    action = ""


class StorageFull(StorageError):
    """No room, or no quota, is left for what is to be written."""

    reason = "no room is left on the disk of the store or of its database"


class ReadOnlyStorage(StorageError):
    """Store or database can be read but not written, as a standby or a read-only file system."""

    reason = "the store or its database is read-only"


class StorageFailed(StorageError):
    """The disk of the store reports an error of its own."""

    reason = "the disk of the store fails"


class PicturesRemain(StorageError):
    """A case was removed from the catalog, but its pictures could not be deleted yet."""

    reason = (
        "the case is removed and no search finds it any more, but its pictures could not be "
        "deleted yet"
    )


class DatabaseUnreachable(StorageError):
    """The catalog's database does not answer; it may later, without a restart."""

    reason = "the catalog's database does not answer"


class DatabaseIncomplete(StorageError):
    """The catalog's database lacks tables, columns, or rights on them; others were there."""

    reason = "the catalog's database lacks tables, or rights on them"


class ArtefactError(XemplarError):
    """A file that this software wrote cannot be used."""


class CorruptArtefact(ArtefactError):
    """The content of an artefact is not what its digest or schema says."""


class Mismatch(ArtefactError):
    """Two artefacts do not fit together, as an index built by another checkpoint."""


class NothingIndexed(ArtefactError):
    """There is no published index generation yet."""


class ServiceError(XemplarError):
    """A service did not do what `xemplar.Client` asked for."""


class ServiceProblem(ServiceError):
    """The service answered with a problem (RFC 9457).

    Attributes:
        kind: what went wrong, mostly a class of this module, as "UnknownFinding" or "NotFound".
        status: of the HTTP answer.
        title: what that status means.
        detail: what was wrong, with which value and limit, what to do.
        request_id: names the request in the service's log.
    """

    def __init__(self, kind: str, status: int, title: str, detail: str, request_id: str) -> None:
        super().__init__(kind, status, title, detail, request_id)
        self.kind, self.status, self.title = kind, status, title
        self.detail, self.request_id = detail, request_id

    def __str__(self) -> str:
        return f"{self.detail} ({self.status} {self.title}; {self.kind}, request {self.request_id})"


class ServiceUnreachable(ServiceError):
    """No answer came, or none of the service's: a wrong address, or something stands between."""
