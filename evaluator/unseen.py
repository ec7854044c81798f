"""Whether a checkpoint was trained on the patients of the films that it is evaluated on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from xemplar.checkpoint import Card
from xemplar.datasets import TRAIN, VAL, Dataset, Film
from xemplar.errors import DatasetError, Mismatch
from xemplar.splits import learnt_digest, learnt_from, who

SEEN = (TRAIN, VAL)
"""Splits that a training learns from or chooses by."""

REMEDY = (
    "evaluate with the label files that it was trained with, or train again; if this is another "
    "data set of the same name, give it one of its own with --source"
)


def check_unseen(card: Card, dataset: Dataset, asked: Sequence[Film]) -> str:
    """Refuse films that count as unseen although the checkpoint could be trained on them.

    Args:
        card: of the checkpoint, which keeps what it was trained on and how patients were split.
        dataset: whose films are evaluated.
        asked: those that are asked for. Films of the splits "train" and "val" count as seen.

    Returns:
        What the training has to do with these films, for the report.

    Raises:
        DatasetError: a patient is in "train" or "val" too, by the data set's own splits.
        Mismatch: patients were, or could have been, split otherwise in the training.
    """
    trained: Mapping[str, str] | None = card.training.get("datasets")
    if trained is None:
        return "The checkpoint does not tell what it was trained on."
    name = _trained_as(card, dataset, trained)
    if name is None:
        return f"The checkpoint was trained on {', '.join(trained)}, not on {dataset.name}."
    unseen = [film for film in asked if card.split.of(film) not in SEEN]
    sentences = []
    if unseen:
        _check_patients(card, dataset, unseen)
        if "learnt" in card.training:
            _check_splits(card, dataset, card.training["learnt"][name], unseen)
            sentences.append("The checkpoint was not trained on patients of the held-out films.")
        else:
            sentences.append(_by_an_older_training(dataset, name, trained[name], unseen))
    if len(unseen) < len(asked):
        sentences.append(
            "The checkpoint was trained on films of train and chosen by films of val: figures on "
            "them are too good."
        )
    return " ".join(sentences)


def _trained_as(card: Card, dataset: Dataset, trained: Mapping[str, str]) -> str | None:
    """What the data set was called in the training; None if it was no part of it."""
    if dataset.name in trained:
        return dataset.name
    learnt = learnt_digest(dataset.films, card.split)
    others = card.training.get("learnt", {})
    for name, digest in trained.items():
        if digest == dataset.digest or (learnt and others.get(name) == learnt):
            return name
    return None


def _check_patients(card: Card, dataset: Dataset, unseen: Sequence[Film]) -> None:
    both = learnt_from(dataset.films, card.split) & {who(film) for film in unseen}
    if both:
        raise DatasetError(
            f"{len(both):,} patients of the films asked for are also in train or val of "
            f"{dataset.name}; put all films of a patient into one split"
        )


def _check_splits(card: Card, dataset: Dataset, learnt: str | None, unseen: Sequence[Film]) -> None:
    """Refuse other splits than those of the training: named ones, or by patient alone (None)."""
    if learnt is None:
        by_patient = [card.split.of(replace(film, split=None)) for film in unseen]
        changed = any(split in SEEN for split in by_patient)
    else:
        changed = learnt != learnt_digest(dataset.films, card.split)
    if changed:
        raise Mismatch(
            f"the splits of {dataset.name} are others than in the training of the checkpoint, "
            f"which may have learnt from the films asked for; {REMEDY}"
        )


def _by_an_older_training(dataset: Dataset, name: str, digest: str, unseen: Sequence[Film]) -> str:
    """What can be told where the checkpoint keeps only its seed and the label files' digests."""
    same = digest == dataset.digest
    if not all(film.split for film in unseen) and (not same or name != dataset.name):
        remedy = f"name it as in the training, with --source {name}" if same else REMEDY
        raise Mismatch(
            f"{dataset.name} does not name the split of all films asked for, and the checkpoint "
            "was trained on it under another name or with other label files, so it may have learnt "
            f"from them; {remedy}"
        )
    if same:
        return "The checkpoint was not trained on patients of the held-out films."
    return (
        "The label files are not those of the training, and the checkpoint is too old to tell "
        "whether the splits are the same."
    )
