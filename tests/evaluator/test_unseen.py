"""Images that are called unseen are of patients whom the checkpoint was not trained on."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xemplar_evaluator.unseen import check_unseen
from xemplar_trainer.data import frontal_images
from xemplar_trainer.settings import TrainingSettings

from xemplar.data.datasets import Dataset, DatasetImage
from xemplar.data.splits import PatientSplit, development_digest, patient_key
from xemplar.errors import DatasetError, Mismatch
from xemplar.model.checkpoint import Card

NOT_TRAINED_ON = "The checkpoint was not trained on patients of the held-out images."
AS_THEN = (
    "That holds as long as patients (or files without one) are called as in the training: the "
    "label files have changed since."
)
CHANGED = "The label files have changed since the training; its patients have not."
RULE = PatientSplit(seed=3, val=0.2, test=0.3)


def dataset(splits: Sequence[str | None], name: str = "ours", digest: str = "d") -> Dataset:
    """One image of each patient, in these splits."""
    images = (
        DatasetImage(Path(f"{n}.png"), name, f"{n}.png", patient=str(n), view="PA", split=split)
        for n, split in enumerate(splits)
    )
    return Dataset(name, Path(), tuple(images), (), digest)


NAMED = dataset(["train", "train", "val", "test", "test", "box"])
UNNAMED = dataset([None] * 60)


def trained_on(known: Dataset, rule: PatientSplit = RULE) -> Card:
    """The card of a training on a data set."""
    training: dict[str, Any] = {
        "seed": 1,
        "split": asdict(rule),
        "datasets": {known.name: known.digest},
        "learnt": {known.name: development_digest(known.images, rule)},
        "whose": {known.name: sorted({patient_key(image)[0] for image in known.images})},
    }
    return Card(("Mass",), training=training)


def trained_long_ago(known: Dataset, seed: int = 1) -> Card:
    """The card of a training by a release that kept no split."""
    return Card(("Mass",), training={"seed": seed, "datasets": {known.name: known.digest}})


def said(card: Card, evaluated: Dataset, *splits: str) -> str:
    asked = [f for f in evaluated.images if card.split.of(f) in (splits or ("test", "box"))]
    return check_unseen(card, evaluated, asked)


@pytest.mark.parametrize("known", [NAMED, UNNAMED], ids=["named", "by patient"])
def test_held_out_images_of_the_same_data_set_were_not_trained_on(known: Dataset) -> None:
    assert said(trained_on(known), known) == NOT_TRAINED_ON
    assert said(trained_long_ago(known), known) == NOT_TRAINED_ON


@given(
    then=st.lists(st.sampled_from(["train", "val", "test", None]), min_size=1, max_size=12),
    now=st.lists(st.sampled_from(["train", "val", "test", None]), min_size=1, max_size=12),
    seed=st.integers(0, 3),
)
def test_no_patient_of_the_training_ever_counts_as_not_trained_on(
    then: list[str | None], now: list[str | None], seed: int
) -> None:
    """Whatever the splits were, and whatever they are: it is told, or refused."""
    card = trained_on(dataset(then), PatientSplit(seed, val=0.3, test=0.3))
    evaluated = dataset(now, digest="another")
    rule = card.split
    taught = {f.patient for f in dataset(then).images if rule.of(f) in ("train", "val")}
    asked = [f for f in evaluated.images if rule.of(f) == "test"]
    try:
        sentence = check_unseen(card, evaluated, asked)
    except Mismatch:
        return
    assert not taught & {image.patient for image in asked}
    assert sentence in (
        {f"{NOT_TRAINED_ON} {CHANGED}", f"{NOT_TRAINED_ON} {AS_THEN}"} if asked else {""}
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_trainer_and_evaluator_split_alike_whatever_the_trainings_seed(seed: int) -> None:
    images = [replace(image, labels={"Mass": 1}) for image in UNNAMED.images]
    known = replace(UNNAMED, images=tuple(images))
    settings = TrainingSettings(findings=("Mass",), seed=seed)
    taught = frontal_images([known], settings)
    card = Card(settings.findings, training=json.loads(json.dumps(settings.as_json())))
    assert [image for image in images if card.split.of(image) == "test"] == taught["test"]
    assert taught["test"]


def test_another_name_or_folder_of_an_unnamed_set_changes_nothing() -> None:
    renamed = dataset([None] * 60, name="copy")
    assert said(trained_on(UNNAMED), renamed) == NOT_TRAINED_ON


def test_new_images_to_test_on_change_nothing() -> None:
    grown = dataset([*(f.split for f in NAMED.images), "test", "box"], digest="another")
    assert said(trained_on(NAMED), grown) == f"{NOT_TRAINED_ON} {CHANGED}"
    unnamed = dataset([None] * 80, digest="another")
    assert said(trained_on(UNNAMED), unnamed) == f"{NOT_TRAINED_ON} {AS_THEN}"


@pytest.mark.parametrize(
    ("known", "evaluated"),
    [
        (NAMED, dataset(["test", "train", "val", "train", "test", "box"])),
        (NAMED, dataset([None] * 20)),
        (UNNAMED, dataset(["test"] * 60)),
    ],
    ids=["changed", "no longer named", "named since"],
)
def test_other_splits_than_those_of_the_training_are_refused(
    known: Dataset, evaluated: Dataset
) -> None:
    with pytest.raises(Mismatch, match="splits of ours are others than in the training"):
        check_unseen(trained_on(known), evaluated, evaluated.images)


def test_a_patient_in_two_splits_is_refused() -> None:
    images = tuple(replace(image, patient="7") for image in NAMED.images)
    both = replace(NAMED, images=images)
    with pytest.raises(DatasetError, match="1 patients of the queried images are also in train"):
        said(trained_on(both), both)


def test_images_of_the_training_are_not_called_unseen() -> None:
    for split in ("train", "val"):
        assert "figures on them are too good" in said(trained_on(NAMED), NAMED, split)
    both = said(trained_on(NAMED), NAMED, "test", "val")
    assert both.startswith(NOT_TRAINED_ON)
    assert both.endswith("too good.")


def test_of_a_data_set_that_had_no_part_in_the_training_all_splits_are_new() -> None:
    other = dataset(["train", "val"], name="theirs", digest="another")
    card = trained_on(NAMED)
    assert said(card, other, "train") == (
        "The checkpoint was trained on ours; theirs is none of them by name, label files or "
        "splits. Whether it shows patients of theirs is not known."
    )


def test_a_checkpoint_that_tells_nothing_is_said_to_tell_nothing() -> None:
    assert said(Card(("Mass",)), NAMED) == "The checkpoint does not tell what it was trained on."


def test_images_that_were_split_by_file_and_have_patients_since_are_refused() -> None:
    by_file = replace(UNNAMED, images=tuple(replace(f, patient=None) for f in UNNAMED.images))
    with pytest.raises(Mismatch, match=r"split by file in the training.* by patient now"):
        said(trained_on(by_file), replace(UNNAMED, digest="another"))
    with pytest.raises(Mismatch, match=r"split by patient in the training.* by file now"):
        said(trained_on(UNNAMED), replace(by_file, digest="another"))


# ---- Trainings that began with a checkpoint -----------------------------------------------------


def going_on_from(earlier: Card, later: Card) -> Card:
    return replace(later, training={**later.training, "initial_training": earlier.training})


@pytest.mark.parametrize(
    "earlier",
    [trained_on(UNNAMED, replace(RULE, seed=4)), trained_long_ago(UNNAMED, seed=4)],
    ids=["now", "long ago"],
)
def test_what_an_earlier_training_learnt_from_is_not_unseen(earlier: Card) -> None:
    card = going_on_from(earlier, trained_on(UNNAMED))
    with pytest.raises(Mismatch, match="learnt from"):
        said(card, UNNAMED)
    with pytest.raises(Mismatch, match="learnt from"):
        said(going_on_from(card, trained_on(UNNAMED)), UNNAMED)


def test_patients_are_in_the_identity_domain_of_the_training() -> None:
    card = trained_on(NAMED)
    domain = replace(card, training=card.training | {"patients": {"ours": "town"}})
    with pytest.raises(Mismatch, match="domain 'town', and they are in 'ours' now; give --pat"):
        said(domain, NAMED)
    theirs = replace(NAMED, images=tuple(replace(i, patients="town") for i in NAMED.images))
    assert said(domain, theirs) == said(card, NAMED)
    later = Card(("Mass",), training={"seed": 2, "initial_training": domain.training})
    with pytest.raises(Mismatch, match="give --patients town"):
        said(later, NAMED)


def test_an_earlier_training_with_other_named_splits_is_refused() -> None:
    earlier = trained_on(dataset(["test", "test", "val", "train", "train", "box"]))
    with pytest.raises(Mismatch, match="others than in the training"):
        said(going_on_from(earlier, trained_on(NAMED)), NAMED)


def test_an_earlier_training_that_was_split_alike_takes_nothing_away() -> None:
    card = going_on_from(trained_on(UNNAMED), trained_on(UNNAMED))
    assert said(card, UNNAMED) == (
        f"{NOT_TRAINED_ON} A checkpoint that its training began with was not trained on patients "
        "of the held-out images."
    )


def test_weights_that_tell_nothing_are_said_to_tell_nothing() -> None:
    card = trained_on(NAMED)
    unknown = replace(card, training={**card.training, "initial": "sha256:0"})
    assert "weights that do not tell what they learnt from" in said(unknown, NAMED)


# ---- Checkpoints that kept no split -------------------------------------------------------------


def test_an_older_checkpoint_tells_nothing_of_named_splits_once_the_labels_changed() -> None:
    edited = replace(NAMED, digest="another")
    assert "too old to tell" in said(trained_long_ago(NAMED), edited)


@pytest.mark.parametrize(
    "evaluated",
    [replace(UNNAMED, digest="another"), dataset([None] * 60, name="copy")],
    ids=["other labels", "another name"],
)
def test_where_an_older_training_may_have_split_otherwise_it_is_refused(
    evaluated: Dataset,
) -> None:
    with pytest.raises(Mismatch, match="may have learnt from them"):
        said(trained_long_ago(UNNAMED), evaluated)
