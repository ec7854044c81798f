"""Images laid over each other: what is known of both is mixed, what is known of one counts less."""

from dataclasses import replace

import torch
from xemplar_trainer.data import Sample
from xemplar_trainer.mixup import mixed, mixer

from tests.trainer.drawn import RECIPE

OTHERS = torch.tensor([1, 0])


def pair(known: list[list[float]], due: list[list[float]]) -> Sample:
    """A black image with finding 0, and a white one with finding 1."""
    grey = torch.stack([torch.zeros(32, 32), torch.ones(32, 32)])
    where = torch.stack([torch.zeros(2, 1, 1), torch.ones(2, 1, 1)])
    return Sample(grey, torch.eye(2), torch.tensor(known), where, torch.tensor(due))


def test_images_and_labels_are_mixed_by_the_same_share() -> None:
    batch = mixed(pair([[1, 1], [1, 1]], [[1, 0], [0, 1]]), 0.75, OTHERS)
    assert torch.allclose(batch.image[0], torch.tensor(0.25))
    assert torch.allclose(batch.target, torch.tensor([[0.75, 0.25], [0.25, 0.75]]))
    assert torch.allclose(batch.known, torch.ones(2, 2))


def test_what_is_known_of_one_image_only_keeps_its_label_and_counts_less() -> None:
    batch = mixed(pair([[1, 1], [1, 0]], [[0, 0], [0, 0]]), 0.75, OTHERS)
    # of finding 1 only the first image knows something: that it is absent
    assert torch.allclose(batch.target[:, 1], torch.zeros(2))
    assert torch.allclose(batch.known[:, 1], torch.tensor([0.75, 0.25]))
    assert torch.isfinite(batch.location).all()


def test_evidence_is_due_where_the_image_that_shows_it_has_it() -> None:
    batch = mixed(pair([[1, 1], [1, 1]], [[1, 0], [0, 1]]), 0.75, OTHERS)
    assert torch.allclose(batch.location[:, 0], torch.zeros(2, 1, 1))  # the first image's place
    assert torch.allclose(batch.location[:, 1], torch.ones(2, 1, 1))  # the second's
    assert torch.allclose(batch.location_weight, torch.tensor([[0.75, 0.25], [0.25, 0.75]]))


def test_an_epoch_is_mixed_alike_whenever_it_is_run_and_each_epoch_otherwise() -> None:
    settings = replace(RECIPE, mixup=0.4)
    batch = pair([[1, 1], [1, 1]], [[1, 0], [0, 1]])

    def greys(epoch: int) -> list[float]:
        mix = mixer(settings, epoch, rank=0)
        assert mix is not None
        return [mix(batch).image[0, 0, 0].item() for _ in range(3)]

    assert greys(1) == greys(1)
    assert greys(1) != greys(2)
    assert len(set(greys(1))) > 1


def test_no_strength_is_no_mixing() -> None:
    assert mixer(RECIPE, 1, rank=0) is None
