"""Splits by patient: stable, and independent of other images and of the data set's name."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xemplar.data.datasets import DatasetImage
from xemplar.data.splits import (
    OLDEST_SCHEME,
    PatientSplit,
    development_digest,
    patient_key,
    patient_number,
)
from xemplar.errors import ConfigurationError, CorruptArtefact
from xemplar.model.checkpoint import Card, Checkpoint

SPLITS = ("train", "val", "test")
OF_RELEASE_0_1 = "tttttxtttxvttttttvttttvxxtttvttxtvxtttxt"
"""Splits of patients 0 to 39 by seed 3, test written x."""


def images(count: int, **fields: str) -> list[DatasetImage]:
    """One of each of so many patients."""
    return [DatasetImage(Path("1.png"), "ours", patient=str(n), **fields) for n in range(count)]


@given(
    patient=st.text(min_size=1, max_size=9),
    seed=st.integers(0, 99),
    names=st.lists(st.text("abc", min_size=1, max_size=3), max_size=5),
)
def test_all_images_of_a_patient_are_in_one_split(
    patient: str, seed: int, names: list[str]
) -> None:
    same = [DatasetImage(Path(name), "ours", patient=patient) for name in ["first", *names]]
    assert len({PatientSplit(seed).of(image) for image in same}) == 1


def test_the_splits_have_the_requested_shares() -> None:
    rule = PatientSplit(val=0.2, test=0.1)
    splits = [rule.of(image) for image in images(4000)]
    # binomial: 4000 patients, standard deviation below 0.7 %
    assert splits.count("val") / 4000 == pytest.approx(0.2, abs=0.03)
    assert splits.count("test") / 4000 == pytest.approx(0.1, abs=0.02)


def test_another_seed_gives_another_split() -> None:
    one, other = ([PatientSplit(seed, val=0.4).of(f) for f in images(100)] for seed in (0, 1))
    assert one != other


def test_a_split_named_by_the_data_set_is_kept() -> None:
    assert PatientSplit().of(DatasetImage(Path("1.png"), "ours", patient="7", split="box")) == "box"


def test_images_without_a_patient_are_patients_of_their_own() -> None:
    alone = [DatasetImage(Path(f"{n}.png"), "ours") for n in range(60)]
    assert {PatientSplit(val=0.4, test=0.2).of(image) for image in alone} == set(SPLITS)
    # a name that is also a patient's id, and equal names in two folders, are not run together
    named = DatasetImage(Path("7"), "ours"), DatasetImage(Path("7"), "ours", patient="7")
    apart = DatasetImage(Path("7"), "ours", file="a/7"), DatasetImage(Path("7"), "ours", file="b/7")
    numbers = [patient_number(image, "split", 0) for image in (*named, *apart)]
    assert len(set(numbers)) == 4


def test_the_split_does_not_depend_on_the_data_sets_name() -> None:
    rule = PatientSplit(val=0.4)
    renamed = [replace(image, source="copy") for image in images(100)]
    assert [rule.of(image) for image in renamed] == [rule.of(image) for image in images(100)]


def test_the_file_name_of_an_image_may_be_any_bytes() -> None:
    image = DatasetImage(Path("\udcff.png"), "ours")  # no UTF-8, as Python names such a file
    for scheme in (1, 2):
        assert PatientSplit(scheme=scheme).of(image) in SPLITS


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"val": 0.5, "test": 0.5}, "less than 1"),
        ({"val": -0.1}, "at least 0"),
        ({"test": float("nan")}, "are impossible"),
        ({"scheme": 3}, "install the version"),
    ],
)
def test_an_impossible_rule_is_rejected(fields: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        PatientSplit(**fields)  # type: ignore[arg-type]


def test_a_patient_of_an_identity_domain_is_the_same_in_each_of_its_data_sets() -> None:
    one = DatasetImage(Path("1.png"), "ours", file="1.png", patient="7")
    two = replace(one, source="theirs")
    assert patient_key(one) != patient_key(two)
    in_domain = [replace(image, patients="town") for image in (one, two)]
    assert len({patient_key(image) for image in in_domain}) == 1
    # images without a patient stay different images
    unknown = [replace(image, patient=None) for image in in_domain]
    assert len({patient_key(image) for image in unknown}) == 2


def test_an_identity_domain_changes_no_split_and_no_digest() -> None:
    named, rule = images(30, split="train"), PatientSplit(val=0.4)
    for some in (images(100), named):
        domain = [replace(image, patients="town") for image in some]
        assert [rule.of(image) for image in domain] == [rule.of(image) for image in some]
        assert development_digest(domain, rule) == development_digest(some, rule)


# ---- In the checkpoint --------------------------------------------------------------------------


def test_a_checkpoint_gives_the_split_of_its_training_for_any_training_seed() -> None:
    rule = PatientSplit(seed=7, val=0.2, test=0.3)
    assert Card(("Mass",), training={"seed": 1, "split": asdict(rule)}).split == rule


def test_an_older_checkpoint_split_by_the_seed_of_its_training() -> None:
    rule = Card(("Mass",), training={"seed": 3}).split
    assert rule == PatientSplit(3, scheme=OLDEST_SCHEME)
    splits = [rule.of(image) for image in images(40)]
    assert "".join(split[0] if split != "test" else "x" for split in splits) == OF_RELEASE_0_1


def test_a_checkpoint_without_a_rule_has_the_default(tiny: Checkpoint) -> None:
    assert tiny.card.split == PatientSplit()


@pytest.mark.parametrize("split", [{"scheme": 9}, {"seeds": 1}, {"val": 2}])
def test_a_checkpoint_with_an_unknown_rule_is_rejected(split: dict[str, int]) -> None:
    with pytest.raises(CorruptArtefact, match="split cannot be used"):
        _ = Card(("Mass",), training={"split": split}).split


# ---- Whom a training learns from ----------------------------------------------------------------


def test_the_development_digest_depends_only_on_its_patients() -> None:
    rule = PatientSplit()
    train, test = images(5, split="train"), images(9, split="test")[5:]
    digest = development_digest([*train, *test], rule)
    assert digest == development_digest([*reversed(train), *test[1:]], rule)
    assert digest == development_digest(
        [*(replace(f, labels={"Mass": 1}) for f in train), *test], rule
    )
    assert digest != development_digest([*train[1:], *test], rule)
    assert digest != development_digest([*train, *(replace(f, split="val") for f in test)], rule)


def test_without_named_splits_there_is_no_development_digest() -> None:
    assert development_digest(images(5), PatientSplit()) is None
