"""Training images: which are used, how they are augmented, and what a sample holds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from xemplar_trainer.augment import augment, erase_margins
from xemplar_trainer.box_supervision import PRIOR_WEIGHT
from xemplar_trainer.data import (
    TrainingImages,
    check_readable,
    frontal_images,
    held_out_too,
    loader_of,
)
from xemplar_trainer.settings import Augmentation

from tests.images import drawn_image
from tests.trainer.drawn import RECIPE, drawn_set
from xemplar.data.datasets import Dataset, DatasetImage
from xemplar.data.findings import UncertainPolicy
from xemplar.data.splits import PatientSplit
from xemplar.errors import DatasetError


def image(name: str, **fields: object) -> DatasetImage:
    made = DatasetImage(Path(name), "ours", patient=name, labels={"Mass": 1}, view="PA")
    return replace(made, **fields)


def dataset(*images: DatasetImage) -> Dataset:
    return Dataset("ours", Path(), images, ("Mass",), "")


BOTH = (image("t", split="train"), image("v", split="val"))


def test_only_frontal_images_with_a_known_label_are_learnt_from() -> None:
    splits = frontal_images(
        [
            dataset(
                *BOTH,
                image("lateral", split="train", view="LL"),
                image("nobody knows the view", split="train", view=None),
                image("unknown", split="train", labels={}),
                image("other", split="train", labels={"Hernia": 1}),
            )
        ],
        RECIPE,
    )
    assert splits == {"train": [BOTH[0]], "val": [BOTH[1]]}


def test_an_uncertain_label_counts_as_unknown_where_it_is_ignored() -> None:
    uncertain = image("u", split="train", labels={"Mass": -1})
    sets = [dataset(*BOTH, uncertain)]
    assert uncertain in frontal_images(sets, RECIPE)["train"]
    ignoring = replace(RECIPE, uncertain=UncertainPolicy.IGNORE)
    assert uncertain not in frontal_images(sets, ignoring)["train"]


def test_images_that_are_kept_apart_are_neither_trained_nor_validated_on() -> None:
    splits = frontal_images([dataset(*BOTH, image("b", split="box"))], RECIPE)
    assert splits["train"] + splits["val"] == list(BOTH)


def test_patients_without_a_split_are_split_apart_from_the_seed_of_the_training() -> None:
    many = dataset(*(image(str(n)) for n in range(200)))
    splits, other = (frontal_images([many], replace(RECIPE, seed=seed)) for seed in (0, 1))
    assert splits == other
    rule = PatientSplit(seed=1, val=0.3)
    apart = frontal_images([many], replace(RECIPE, split=rule))
    assert apart["val"] == [image for image in many.images if rule.of(image) == "val"]
    assert apart != splits


def test_a_patient_who_is_trained_and_validated_on_is_refused() -> None:
    twice = image("another", patient=BOTH[0].patient, split="val")
    with pytest.raises(DatasetError, match="1 patients of ours are in train and in val too"):
        frontal_images([dataset(*BOTH, twice)], RECIPE)


def test_equal_ids_in_two_data_sets_are_two_patients() -> None:
    theirs = image("another", patient=BOTH[0].patient, split="val", source="theirs")
    both = [dataset(*BOTH), replace(dataset(theirs), name="theirs")]
    assert theirs in frontal_images(both, RECIPE)["val"]
    with pytest.raises(DatasetError, match="share a name: ours, ours"):
        frontal_images([dataset(*BOTH), dataset(*BOTH)], RECIPE)


def test_one_patient_of_an_identity_domain_is_not_trained_and_validated_on() -> None:
    theirs = image("another", patient=BOTH[0].patient, split="val", source="theirs")
    both = [
        dataset(*(replace(image, patients="town") for image in BOTH)),
        replace(dataset(replace(theirs, patients="town")), name="theirs"),
    ]
    with pytest.raises(DatasetError, match="1 patients of ours, theirs are in train and in val"):
        frontal_images(both, RECIPE)


def test_patients_who_are_in_other_splits_too_are_counted() -> None:
    again = image("again", patient=BOTH[0].patient, split="test")
    splits = frontal_images([dataset(*BOTH, again, image("b", split="box"))], RECIPE)
    assert held_out_too(splits) == {"test": 1}


@pytest.mark.parametrize(("missing", "kept"), [("train", BOTH[1]), ("val", BOTH[0])])
def test_a_split_without_images_is_refused_by_its_name(missing: str, kept: DatasetImage) -> None:
    with pytest.raises(DatasetError, match=f"no frontal image in the split '{missing}'.*Mass, Eff"):
        frontal_images([dataset(kept)], RECIPE)


def test_an_image_that_is_not_there_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"of ours names .*nowhere\.png, and there is no such"):
        check_readable([image(str(tmp_path / "nowhere.png")), image(str(tmp_path))])


# ---- How they are changed -----------------------------------------------------------------------

STRONG = Augmentation(
    elastic_chance=1.0, blur_chance=1.0, brightness=0.9, contrast=0.9, gamma=0.5, noise=0.1
)
STILL = Augmentation(*[0.0] * 11, crop=1.0)


@pytest.mark.parametrize(
    "changes", [Augmentation(), STRONG, STILL, replace(STRONG, erasing_chance=1.0)]
)
@pytest.mark.parametrize("size", [32, 96])
def test_an_augmented_image_keeps_its_shape_and_range(changes: Augmentation, size: int) -> None:
    for seed in range(5):
        generator = np.random.default_rng(seed)
        image = generator.random((size, size), np.float32)
        masks = generator.random((2, 24, 24), np.float32)
        changed, moved = augment(image, masks, changes, generator)
        assert (changed.shape, moved.shape) == (image.shape, masks.shape)
        assert changed.dtype == moved.dtype == np.float32
        assert 0 <= min(changed.min(), moved.min()) <= max(changed.max(), moved.max()) <= 1


def test_augmentation_without_strength_changes_nothing() -> None:
    image = drawn_image(0, 64, 64).astype(np.float32) / 255
    changed, masks = augment(image, image[None], STILL, np.random.default_rng(0))
    np.testing.assert_allclose(changed, image, atol=1e-5)
    np.testing.assert_allclose(masks[0], image, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        replace(STILL, flip=1.0),
        replace(STILL, rotation=20.0, translation=0.1, scale=0.2, shear=10.0),
        replace(STILL, crop=0.5),
        replace(STILL, elastic=60.0, elastic_chance=1.0),
    ],
)
def test_a_plan_moves_as_its_image_does(changes: Augmentation) -> None:
    """A white block and its mask, of half the resolution, stay on each other."""
    image = np.zeros((128, 128), np.float32)
    image[30:60, 70:100] = 1
    mask = image[::2, ::2].copy()
    for seed in range(5):
        changed, moved = augment(image, mask[None], changes, np.random.default_rng(seed))
        assert not np.allclose(changed, image, atol=0.1)
        overlap = np.minimum(changed[::2, ::2], moved[0]).sum()
        assert overlap > 0.85 * max(changed[::2, ::2].sum(), moved.sum())


def test_an_elastic_change_is_as_strong_at_every_size() -> None:
    """Displacements are the same share of the image, whatever its pixels: seen on a grey ramp."""
    bent = replace(STILL, elastic=60.0, elastic_chance=1.0)
    spread = []
    for size in (64, 128, 256):
        ramp = np.tile(np.linspace(0, 1, size, dtype=np.float32), (size, 1))
        inner = slice(size // 4, -size // 4)
        shifts = [
            (augment(ramp, ramp[None], bent, np.random.default_rng(seed))[0] - ramp)[inner, inner]
            for seed in range(5)
        ]
        spread.append(float(np.std(shifts)))
    assert max(spread) < 1.3 * min(spread)
    assert min(spread) > 0.003


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[DatasetImage]:
    return list(drawn_set(tmp_path_factory.mktemp("drawn") / "set", train=6, val=2).images)


def tensors(images: list[DatasetImage], **settings: int) -> TrainingImages:
    chosen = replace(RECIPE, augmentation=STRONG, **settings)
    return TrainingImages(images, chosen, augmented=True)


def test_an_image_becomes_grey_values_targets_and_a_mask(images: list[DatasetImage]) -> None:
    grey, target, known, where, due = TrainingImages(images, RECIPE)[1, 3]  # has both findings
    assert grey.shape == (64, 64)
    assert grey[30, 30] == pytest.approx(250 / 255)
    assert (target.tolist(), known.tolist()) == ([1, 1], [1, 1])
    assert (where == 1).all()  # nothing is known of where: anywhere will do
    assert due.tolist() == pytest.approx([PRIOR_WEIGHT, PRIOR_WEIGHT])


def test_augmentation_depends_on_seed_epoch_and_image_alone(images: list[DatasetImage]) -> None:
    one = tensors(images)[1, 2][0]
    torch.rand(7)  # whatever else draws random numbers
    torch.testing.assert_close(tensors(images)[1, 2][0], one, rtol=0, atol=0)
    assert not torch.equal(tensors(images)[2, 2][0], one)
    assert not torch.equal(tensors(images, seed=9)[1, 2][0], one)


def test_soft_labels_have_their_share_in_the_target_and_none_in_what_is_due(
    images: list[DatasetImage],
) -> None:
    half = replace(RECIPE, teacher="efficientnet-lite2", crossfit=5, soft_label_weight=0.5)
    said = np.full((len(images), 2), 0.2, np.float32)
    batch = TrainingImages(images, half, soft_labels=said)[1, 3]
    assert batch.target.tolist() == pytest.approx([0.6, 0.6])
    assert batch.location_weight.tolist() == pytest.approx([PRIOR_WEIGHT, PRIOR_WEIGHT])


def test_the_first_epochs_may_see_smaller_images(images: list[DatasetImage]) -> None:
    growing = replace(RECIPE, small_size=32, small_epochs=2)
    for augmented in (False, True):
        made = TrainingImages(images, growing, augmented=augmented)
        assert [made[epoch, 0][0].shape[-1] for epoch in (1, 2, 3)] == [32, 32, 64]


def test_workers_do_not_change_what_is_learnt_from(images: list[DatasetImage]) -> None:
    keys = [(1, place) for place in range(6)]
    read = [
        [batch.image for batch in loader_of(tensors(images, batch_size=3, workers=workers), keys)]
        for workers in (0, 1)
    ]
    torch.testing.assert_close(*read, rtol=0, atol=0)


def test_covered_edges_leave_the_middle_and_the_original_as_they_are() -> None:
    image = np.full((80, 80), 0.5, np.float32)
    generator = np.random.default_rng(0)
    covered = [erase_margins(image, generator) for _ in range(50)]
    assert (image == 0.5).all()
    for one in covered:
        assert one.shape == image.shape
        assert (one[20:60, 20:60] == 0.5).all()
    changed = np.mean([one != 0.5 for one in covered], axis=0)
    assert changed[0, 0] > 0.5  # a corner, in most images
    assert 0.05 < changed[0, 40] < 0.5  # the middle of a margin, in some
