"""Adds and deletes cases in media and catalog, in an order that survives a kill.

The index job and the service both embed images with `embed`, so there is one path from an image to
its catalog entry.
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
    """An image preprocessed for the network, with metadata from its header.

    Attributes:
        sha256: hex digest of the image's original bytes.
        inputs: uint8 (size, size), from `preprocess`.
        source_size: (height, width) of the oriented image in pixels.
        view: from the header, None if missing; likewise sex and age.
        sex: "F" or "M".
        age: in whole years.
        photometric: DICOM PhotometricInterpretation; None for other formats.
        spacing_mm: (row, column) pixel spacing in millimetres; None where unknown.
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
        """Combine a decoded image's metadata with its network input; drop its pixels."""
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
        """Complete a data set's description with metadata from the header."""
        return replace(
            description,
            view=description.view or self.view,
            sex=description.sex or self.sex,
            age=self.age if description.age is None else description.age,
        )


def embed(
    encoder: Encoder, images: Sequence[tuple[PreparedImage, Description]]
) -> tuple[Entry | None, ...]:
    """Embed images in one forward pass.

    Args:
        encoder: of the checkpoint that the embeddings will belong to.
        images: at least one. The header completes view, sex and age missing from a description.

    Returns:
        A catalog entry for each image, in order; None if the embedding is zero.
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
            vector=features.embedding[row],
            logits=features.logits[row],
            cams=cams[row],
        )
        if features.embedding[row].any()
        else None
        for row, (image, description) in enumerate(images)
    )


def embed_stored(
    ids: Collection[int], encoder: Encoder, catalog: Catalog, media: Media
) -> tuple[str, ...]:
    """Embed cases from their stored inputs in one forward pass, and store the embeddings.

    Args:
        ids: of cases; removed ones are skipped.
        encoder: of a checkpoint that has not embedded them.
        catalog: contains the cases and receives the embeddings.
        media: contains their inputs.

    Returns:
        Case ids of those skipped as their input is missing or damaged. Cases with a zero embedding
        are skipped as well.
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
    """Load a case's stored input; return None if it is missing or damaged."""
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
    """Result of ingesting an image.

    Attributes:
        case: its case, or the existing case that shows the same image.
        is_new: whether the case is new.
    """

    case: Case
    is_new: bool


def embed_image(
    image: Radiograph, description: Description, encoder: Encoder
) -> tuple[npt.NDArray[np.uint8], Entry]:
    """Embed one image.

    Returns:
        The network's input, uint8 (size, size), and the catalog entry.

    Raises:
        NotARadiograph: the embedding is zero.
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
    """Store one image in media and catalog, durably even across a power cut.

    Pictures are on disk before the catalog refers to them, so a case never lacks them.

    Args:
        image: decoded. An existing case keeps its id and description.
        inputs: the network's input.
        entry: the catalog entry.
        checkpoint: of the network.
        catalog: destination.
        media: destination.

    Raises:
        ConfigurationError: the catalog cannot be written to.
        OSError: the pictures cannot be written.
        InputError: the caller may not add it (`Catalog.check_addition`); nothing is written.
    """
    catalog.check_addition(entry)
    spec = checkpoint.card.spec
    media.write(image, inputs, spec, durable=True)
    new = catalog.add(checkpoint.digest, [entry])
    if not media.has(image.sha256, spec):
        # an earlier removal of the same image was deleting its pictures; now that the catalog
        # contains the case, it cannot delete them again
        media.write(image, inputs, spec, durable=True)
    return Ingested(catalog.case(case_id_of(image.sha256)), image.sha256 in new)


def add_case(
    image: Radiograph, description: Description, encoder: Encoder, catalog: Catalog, media: Media
) -> Case:
    """Embed and store an image, without looking for duplicates."""
    inputs, entry = embed_image(image, description, encoder)
    return store_case(image, inputs, entry, encoder.checkpoint, catalog, media).case


def delete_case(case_id: str, catalog: Catalog, media: Media) -> None:
    """Remove a case from the catalog, which records the pending deletion, then delete its pictures.

    If interrupted, `delete_pictures` or a repeated call completes it.

    Raises:
        NotFound: there is no such case.
        PicturesRemain: the case is removed, but its pictures could not be deleted yet.
        StorageError: the case could not be removed.
    """
    if not _pending(case_id, catalog):
        catalog.case(case_id)  # read first: writes may be refused
        if not catalog.remove([case_id]):
            raise NotFound(f"there is no case {case_id[:64]!r} in the catalog")
    try:
        for sha256 in _pending(case_id, catalog):
            catalog.delete_removed_picture(sha256, media.remove)
    except StorageError as error:
        raise PicturesRemain(f"the pictures of case {case_id} remain: {error}") from error


def _pending(case_id: str, catalog: Catalog) -> list[str]:
    """Return the image digest of a removed case while its pictures are pending deletion."""
    return [sha256 for sha256 in catalog.removed_pictures() if case_id_of(sha256) == case_id]


def delete_pictures(catalog: Catalog, media: Media) -> int:
    """Delete the pictures of all removed cases; return the number of images.

    Called when a service starts, every minute while it runs, and before a reindex, to complete
    deletions interrupted by a kill or a full disk.
    """
    pending = catalog.removed_pictures()
    for sha256 in pending:
        catalog.delete_removed_picture(sha256, media.remove)
    return len(pending)


def delete_orphans(catalog: Catalog, media: Media) -> None:
    """Delete stored images without a case, left by a kill before the catalog was written.

    Called before each reindex. Pictures newer than `ORPHAN_GRACE_SECONDS` are kept, as a running
    index job may be about to add their cases.
    """
    for digests in media.untouched_for(ORPHAN_GRACE_SECONDS):
        catalog.delete_unknown_pictures(digests, media.remove)
