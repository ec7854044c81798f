"""Detects data leakage: a checkpoint that was trained on the patients it is evaluated on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from xemplar.data.datasets import TRAIN, VAL, Dataset, DatasetImage
from xemplar.data.splits import development_digest, development_patients, patient_key
from xemplar.errors import DatasetError, Mismatch
from xemplar.model.checkpoint import Card

SEEN = (TRAIN, VAL)
"""Splits that a training learns from or chooses by."""

REMEDY = (
    "evaluate with the label files that it was trained with, or train again, split alike; if "
    "this is another data set of the same name, give it one of its own with --source"
)


def check_unseen(card: Card, dataset: Dataset, asked: Sequence[DatasetImage]) -> str:
    """Refuse images that count as unseen although the checkpoint could be trained on them.

    Args:
        card: of the checkpoint, which keeps what it was trained on and how patients were split; and
            the same of each checkpoint that its training began with.
        dataset: whose images are evaluated.
        asked: the queries. Images of the splits "train" and "val" count as seen.

    Returns:
        What the training has to do with these images, for the report.

    Raises:
        DatasetError: a patient is in "train" or "val" too, by the data set's own splits.
        Mismatch: patients were, or could have been, split otherwise in the training, or were in
            another identity domain.
    """
    _check_domain(card, dataset)
    unseen = [image for image in asked if card.split.of(image) not in SEEN]
    sentences = []
    subject = "The checkpoint"
    for one in card.trainings():
        sentences += _of_a_training(one, dataset, asked, unseen, subject)
        subject = "A checkpoint that its training began with"
    return " ".join(dict.fromkeys(sentences))


def _check_domain(card: Card, dataset: Dataset) -> None:
    """Refuse a data set that was trained on in another identity domain, and forgets it now."""
    now = dataset.images[0].domain
    for one in card.trainings():
        then = one.training.get("patients", {}).get(dataset.name, now)
        if then != now:
            raise Mismatch(
                f"the checkpoint was trained on {dataset.name} with its patients in the identity "
                f"domain {then!r}, and they are in {now!r} now; give --patients {then}"
            )


def _of_a_training(
    card: Card,
    dataset: Dataset,
    asked: Sequence[DatasetImage],
    unseen: Sequence[DatasetImage],
    subject: str,
) -> list[str]:
    """Relate one training to the images; raises as `check_unseen` does."""
    training = card.training
    trained: Mapping[str, str] | None = training.get("datasets")
    if trained is None:
        return [f"{subject} does not tell what it was trained on."]
    sentences = []
    if training.get("initial", "").startswith("sha256:") and not training.get("initial_training"):
        sentences.append(f"{subject} began with weights that do not tell what they learnt from.")
    name = _trained_as(card, dataset, trained)
    if name is None:
        return [
            f"{subject} was trained on {', '.join(trained)}; {dataset.name} is none of them by "
            "name, label files or splits. Whether it shows patients of theirs is not known.",
            *sentences,
        ]
    if unseen:
        if "learnt" in training:
            _check_splits(card, dataset, training["learnt"][name], unseen, subject)
            sentences.append(f"{subject} was not trained on patients of the held-out images.")
            if trained[name] != dataset.digest:
                sentences.append(_changed_since(dataset, training, name, unseen))
        else:
            sentences.append(_by_an_older_training(card, dataset, name, unseen, subject))
        _check_patients(card, dataset, unseen)
    if len(unseen) < len(asked):
        sentences.append(
            f"{subject} was trained on images of train and chosen by images of val: figures on "
            "them are too good."
        )
    return sentences


def _changed_since(
    dataset: Dataset,
    training: Mapping[str, Any],
    name: str,
    unseen: Sequence[DatasetImage],
) -> str:
    """Say that the label files are not those of the training, and what that means."""
    if training["learnt"][name] is not None:
        return "The label files have changed since the training; its patients have not."
    _check_whose(dataset, training.get("whose", {}).get(name), unseen)
    return (
        "That holds as long as patients (or files without one) are called as in the training: the "
        "label files have changed since."
    )


def was_trained_on(card: Card, dataset: Dataset) -> bool:
    """Return True if a data set had a part in a training, by name, label files or splits."""
    return any(
        _trained_as(one, dataset, one.training.get("datasets") or {}) is not None
        for one in card.trainings()
    )


def _trained_as(card: Card, dataset: Dataset, trained: Mapping[str, str]) -> str | None:
    """Name of the data set in the training; None if it was no part of it."""
    if dataset.name in trained:
        return dataset.name
    learnt = development_digest(dataset.images, card.split)
    others = card.training.get("learnt", {})
    for name, digest in trained.items():
        if digest == dataset.digest or (learnt and others.get(name) == learnt):
            return name
    return None


def _check_patients(card: Card, dataset: Dataset, unseen: Sequence[DatasetImage]) -> None:
    both = development_patients(dataset.images, card.split) & {
        patient_key(image) for image in unseen
    }
    if both:
        raise DatasetError(
            f"{len(both):,} patients of the queried images are also in train or val of "
            f"{dataset.name}; put all images of a patient into one split"
        )


def _check_splits(
    card: Card, dataset: Dataset, learnt: str | None, unseen: Sequence[DatasetImage], subject: str
) -> None:
    """Refuse other splits than those of the training: named ones, or by patient alone (None)."""
    if learnt is None:
        changed = _learnt_by_rule(card, unseen)
    else:
        changed = learnt != development_digest(dataset.images, card.split)
    if changed:
        raise Mismatch(
            f"the splits of {dataset.name} are others than in the training of "
            f"{subject[0].lower()}{subject[1:]}, which may have learnt from the queried images; "
            f"{REMEDY}"
        )


def _learnt_by_rule(card: Card, unseen: Sequence[DatasetImage]) -> bool:
    return any(card.split.of(replace(image, split=None)) in SEEN for image in unseen)


def _check_whose(
    dataset: Dataset, then: Sequence[str] | None, unseen: Sequence[DatasetImage]
) -> None:
    """Refuse images that the training told apart otherwise: by file, and now by patient."""
    now = {patient_key(image)[0] for image in unseen}
    if then is not None and not now <= set(then):
        raise Mismatch(
            f"the images of {dataset.name} were split by {' and '.join(then)} in the training of "
            f"the checkpoint, and are split by {' and '.join(sorted(now))} now, so it may have "
            f"learnt from the queried images; {REMEDY}"
        )


def _by_an_older_training(
    card: Card, dataset: Dataset, name: str, unseen: Sequence[DatasetImage], subject: str
) -> str:
    """Statement on a training whose checkpoint keeps only its seed and the label files' digests."""
    same = card.training["datasets"][name] == dataset.digest
    if any(card.split.of(image) in SEEN for image in unseen):
        raise Mismatch(
            f"{subject} split the patients of {dataset.name} otherwise, and learnt from some of "
            f"the queried images; {REMEDY}"
        )
    if not all(image.split for image in unseen) and (not same or name != dataset.name):
        remedy = f"name it as in the training, with --source {name}" if same else REMEDY
        raise Mismatch(
            f"{dataset.name} does not name the split of all queried images, and the checkpoint "
            "was trained on it under another name or with other label files, so it may have learnt "
            f"from them; {remedy}"
        )
    if same:
        return f"{subject} was not trained on patients of the held-out images."
    return (
        "The label files are not those of the training, and the checkpoint is too old to tell "
        "whether the splits are the same."
    )
