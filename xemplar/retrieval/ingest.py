"""Taking a case in and letting it go: pictures and catalog, in an order that survives a kill.

Both the index job and the service embed images through `embed`, so there is one way from an image
to what the catalog keeps of it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from xemplar.archive.media import Media
from xemplar.catalog import Case, Catalog, Description, Entry, case_id_of
from xemplar.errors import CorruptArtefact, NotARadiograph, NotFound, PicturesRemain, StorageError
from xemplar.imaging import Radiograph
from xemplar.imaging.preprocess import PreprocessSpec, preprocess
from xemplar.model.checkpoint import Checkpoint
from xemplar.model.encoder import Encoder
from xemplar.model.explain import grad_cam

BLANK = "the network sees nothing in it"

ORPHAN_GRACE_SECONDS = 24 * 60 * 60


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """An image ready for the network, and what is kept of its header.

    Attributes:
        sha256: hex digest of the image's original bytes.
        inputs: uint8 (size, size), from `preprocess`.
        source_size: (height, width) of the upright image in pixels.
        view: as the header tells it, None where it does not; sex and age likewise.
        sex: "F" or "M".
        age: in whole years.
        photometric: DICOM's PhotometricInterpretation, None for other formats.
        spacing_mm: (row, column) distance of its pixels in millimetres, None where unknown.
    """

    sha256: str
    inputs: npt.NDArray[np.uint8]
    source_size: tuple[int, int]
    view: str | None
    sex: str | None
    age: int | None
    photometric: str | None
    spacing_mm: tuple[float, float] | None

    @classmethod
    def of(cls, image: Radiograph, inputs: npt.NDArray[np.uint8]) -> Self:
        """A decoded image and its input; the image's pixels are let go of."""
        return cls(
            sha256=image.sha256,
            inputs=inputs,
            source_size=image.source_size,
            view=image.view,
            sex=image.sex,
            age=image.age,
            photometric=image.photometric,
            spacing_mm=image.spacing_mm,
        )

    def completed(self, description: Description) -> Description:
        """What a data set says of the image; where it leaves something open, the header's word."""
        return replace(
            description,
            view=description.view or self.view,
            sex=description.sex or self.sex,
            age=self.age if description.age is None else description.age,
        )


def embed(
    encoder: Encoder, images: Sequence[tuple[PreparedImage, Description]]
) -> tuple[Entry | None, ...]:
    """One forward pass, and all of it that the catalog keeps.

    Args:
        encoder: of the checkpoint that the embeddings will belong to.
        images: at least one. Where a description tells no view, sex or age, the header's stands.

    Returns:
        An entry for each image, in their order; None where the network sees nothing at all.
    """
    features = encoder.encode(np.stack([image.inputs for image, _ in images]))
    cams = grad_cam(features.maps, encoder.checkpoint.weights["classifier.weight"])
    return tuple(
        Entry(
            image_sha256=image.sha256,
            description=image.completed(description),
            height=image.source_size[0],
            width=image.source_size[1],
            spacing_mm=image.spacing_mm,
            photometric=image.photometric,
            vector=features.embedding[place],
            logits=features.logits[place],
            cams=cams[place],
        )
        if features.embedding[place].any()
        else None
        for place, (image, description) in enumerate(images)
    )


def embed_stored(
    ids: Collection[int], encoder: Encoder, catalog: Catalog, media: Media
) -> tuple[str, ...]:
    """Embed cases from their stored inputs, in one forward pass, and put that into the catalog.

    Args:
        ids: of cases; those that are gone are passed over.
        encoder: of a checkpoint that has not embedded them.
        catalog: where they are, and where to.
        media: with their inputs.

    Returns:
        Case ids of those whose input is missing or damaged; they are left out. So are those in
        which the network sees nothing at all.
    """
    spec = encoder.checkpoint.card.spec
    read = [(case, _stored(case, media, spec)) for case in catalog.cases(ids).values()]
    usable = [(case, image) for case, image in read if image is not None]
    if usable:
        entries = embed(encoder, [(image, case) for case, image in usable])
        made = {
            case.id: entry
            for (case, _), entry in zip(usable, entries, strict=True)
            if entry is not None
        }
        catalog.put_embeddings(encoder.checkpoint.digest, made)
    return tuple(case.case_id for case, image in read if image is None)


def _stored(case: Case, media: Media, spec: PreprocessSpec) -> PreparedImage | None:
    """A case's stored input; None where it is missing or damaged."""
    try:
        inputs = media.input(case.image_sha256, spec)
    except (NotFound, CorruptArtefact):
        return None
    return PreparedImage(
        sha256=case.image_sha256,
        inputs=inputs,
        source_size=(case.height, case.width),
        view=case.view,
        sex=case.sex,
        age=case.age,
        photometric=case.photometric,
        spacing_mm=case.spacing_mm,
    )


@dataclass(frozen=True)
class Ingested:
    """What became of an image.

    Attributes:
        case: the one that it is by now, or that showed the same image before.
        is_new: whether that case came with it.
    """

    case: Case
    is_new: bool


def embed_image(
    image: Radiograph, description: Description, encoder: Encoder
) -> tuple[npt.NDArray[np.uint8], Entry]:
    """Embed one image.

    Returns:
        What the network saw of it, uint8 (size, size), and what the catalog keeps of it.

    Raises:
        NotARadiograph: the network sees nothing in it.
    """
    inputs = preprocess(image, encoder.checkpoint.card.spec)
    (entry,) = embed(encoder, [(PreparedImage.of(image, inputs), description)])
    if entry is None:
        raise NotARadiograph(f"this image cannot be compared with others: {BLANK}")
    return inputs, entry


def store_case(
    image: Radiograph,
    inputs: npt.NDArray[np.uint8],
    entry: Entry,
    checkpoint: Checkpoint,
    catalog: Catalog,
    media: Media,
) -> Ingested:
    """Put one image into media and catalog. When this returns, a power cut takes nothing of it.

    The pictures are on the disk before the catalog speaks of them, so a case never lacks them.

    Args:
        image: decoded. One that is a case keeps its id and its description.
        inputs: what the network saw of it.
        entry: what the network made of it.
        checkpoint: of that network.
        catalog: where to.
        media: where to.

    Raises:
        ConfigurationError: the catalog cannot be written to.
        OSError: the pictures cannot be written.
        InputError: the caller may not put it in (`Catalog.check_addition`); nothing is written.
    """
    catalog.check_addition(entry)
    spec = checkpoint.card.spec
    media.write(image, inputs, spec, durable=True)
    new = catalog.add(checkpoint.digest, [entry])
    if not media.has(image.sha256, spec):
        # an earlier removal of the same radiograph was deleting its pictures; it deletes none of a
        # case that the catalog holds, and so cannot come between again
        media.write(image, inputs, spec, durable=True)
    return Ingested(catalog.case(case_id_of(image.sha256)), image.sha256 in new)


def add_case(
    image: Radiograph, description: Description, encoder: Encoder, catalog: Catalog, media: Media
) -> Case:
    """`embed_image`, and `store_case`, whatever the archive holds."""
    inputs, entry = embed_image(image, description, encoder)
    return store_case(image, inputs, entry, encoder.checkpoint, catalog, media).case


def delete_case(case_id: str, catalog: Catalog, media: Media) -> None:
    """Remove a case: first from the catalog, which remembers what is left to do, then its pictures.

    Killed in between, `delete_pictures` finishes it, and so does the same call.

    Raises:
        NotFound: there is no such case.
        PicturesRemain: it is removed, and its pictures are not deleted yet.
        StorageError: it could not be removed.
    """
    if not _pending(case_id, catalog):
        catalog.case(case_id)  # asked before anything is written: that may be refused
        if not catalog.remove([case_id]):
            raise NotFound(f"there is no case {case_id[:64]!r} in the catalog")
    try:
        for sha256 in _pending(case_id, catalog):
            catalog.delete_removed_picture(sha256, media.remove)
    except StorageError as error:
        raise PicturesRemain(f"the pictures of case {case_id} remain: {error}") from error


def _pending(case_id: str, catalog: Catalog) -> list[str]:
    """Digests of the radiograph of a case that was removed, while its pictures are there."""
    return [sha256 for sha256 in catalog.removed_pictures() if case_id_of(sha256) == case_id]


def delete_pictures(catalog: Catalog, media: Media) -> int:
    """Delete the pictures of all cases that were removed; returns of how many radiographs.

    Called when a service starts, every minute while it runs, and before a reindex: that finishes
    what a kill or a full disk interrupted.
    """
    pending = catalog.removed_pictures()
    for sha256 in pending:
        catalog.delete_removed_picture(sha256, media.remove)
    return len(pending)


def delete_orphans(catalog: Catalog, media: Media) -> None:
    """Delete stored images of no case: a kill came before the catalog knew of the radiograph.

    Called before each reindex. Pictures of the last `ORPHAN_GRACE_SECONDS` stay, as an index job that
    runs may be about to put their cases in.
    """
    for digests in media.untouched_for(ORPHAN_GRACE_SECONDS):
        catalog.delete_unknown_pictures(digests, media.remove)
