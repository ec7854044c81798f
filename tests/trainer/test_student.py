"""What guides a training beside the labels: a teacher's maps, and the average of the weights."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from xemplar_trainer.data import Sample
from xemplar_trainer.losses import FeatureDistillation, outside_box_loss, pkt_loss
from xemplar_trainer.settings import LossWeights
from xemplar_trainer.student import Student, average_told, decay_after, moving_average
from xemplar_trainer.teacher import EfficientNetLite, OpenVinoTeacher, open_teacher, pretrained

from tests.agreement import assert_agree
from tests.images import TINY
from tests.trainer.conftest import NAME, small_teacher
from xemplar.errors import ConfigurationError
from xemplar.imaging.preprocess import PreprocessSpec
from xemplar.model.pytorch import DenseNetwork


class Mirror:
    """A teacher whose maps are fixed functions of the image: its means over cells, and shifted."""

    channels = (1, 1, 2)

    def maps(self, grey: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        image = grey[:, None]
        pooled = [torch.nn.functional.avg_pool2d(image, d) for d in (8, 16, 32)]
        return pooled[0], pooled[1], torch.cat([pooled[2], 3 + 5 * pooled[2]], dim=1)


@pytest.fixture
def network() -> DenseNetwork:
    torch.manual_seed(0)
    return DenseNetwork(TINY, 2, PreprocessSpec(size=64))


@pytest.fixture
def images() -> Tensor:
    """Eight images of four grey squares each."""
    squares = torch.rand(8, 2, 2, generator=torch.Generator().manual_seed(1))
    return squares.repeat_interleave(32, 1).repeat_interleave(32, 2)


def passed(
    student: Student, images: Tensor, distillation: float = 1.0, box: float = 0.0
) -> tuple[Tensor, Tensor]:
    """One pass in which every finding is due in the upper left cell of four."""
    where, all_ = torch.zeros(len(images), 2, 2, 2), torch.ones(len(images), 2)
    where[:, :, 0, 0] = 1
    logits, extra = student(Sample(images, all_, all_, where, all_), LossWeights(distillation, box))
    return logits, extra


def test_without_a_teacher_nothing_is_added_to_the_loss(
    network: DenseNetwork, images: Tensor
) -> None:
    logits, extra = passed(Student(network).eval(), images)
    assert extra == 0
    assert torch.equal(logits, network(images))


def test_a_teacher_changes_no_logit(network: DenseNetwork, images: Tensor) -> None:
    logits, extra = passed(Student(network, Mirror()).eval(), images)
    assert torch.allclose(logits, network(images), atol=1e-6)
    assert extra > 0


def test_the_levels_are_at_strides_8_16_and_32_and_end_in_the_networks_maps(
    network: DenseNetwork, images: Tensor
) -> None:
    network.eval()
    found = network.levels(images)
    assert [one.shape[-1] for one in found] == [8, 4, 2]
    assert torch.equal(found[-1], network.maps(images))


def test_what_is_not_explained_is_a_share_of_the_variance(images: Tensor) -> None:
    """A prediction of 0 explains nothing: every error is 1. The right one explains all: 0."""
    distillation = FeatureDistillation(Mirror(), (1, 1, 2))
    for layer in distillation.predict:
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    targets = Mirror().maps(images)
    assert distillation(images, targets).item() == pytest.approx(1, abs=1e-3)
    for layer, scale, target in zip(distillation.predict, distillation.scale, targets, strict=True):
        torch.nn.init.dirac_(layer.weight)
        deviation = target.var(dim=(0, 2, 3), unbiased=False).add(scale.eps).sqrt()
        layer.weight.data /= deviation.view(-1, 1, 1, 1)
        layer.bias.data = -target.mean(dim=(0, 2, 3)) / deviation
    assert distillation(images, targets).item() == pytest.approx(0, abs=1e-6)


def test_the_teacher_is_neither_trained_nor_saved(network: DenseNetwork) -> None:
    student = Student(network, Mirror())
    names = [name for name, _ in student.named_parameters() if not name.startswith("network.")]
    assert all(name.startswith("distillation.predict.") for name in names)


def test_learning_from_a_teacher_explains_more_of_it(network: DenseNetwork, images: Tensor) -> None:
    student = Student(network, Mirror()).train()
    optimizer = torch.optim.AdamW(student.parameters(), 1e-2)
    first = last = 0.0
    for step in range(30):
        _, extra = passed(student, images)
        optimizer.zero_grad()
        extra.backward()
        optimizer.step()
        first, last = (extra.item() if step == 0 else first), extra.item()
    assert last < 0.6 * first


def test_evidence_all_inside_costs_nothing_and_spread_evenly_its_share() -> None:
    where = torch.zeros(1, 1, 2, 2)
    where[..., 0, 0] = 1
    inside = torch.full((1, 1, 2, 2), -20.0)
    inside[..., 0, 0] = 20
    due = torch.ones(1, 1)
    assert outside_box_loss(inside, where, due).item() == pytest.approx(0, abs=1e-6)
    even = torch.zeros(1, 1, 2, 2)
    assert outside_box_loss(even, where, due).item() == pytest.approx(np.log(4))
    assert outside_box_loss(even + 7, where, due).item() == pytest.approx(
        np.log(4)
    )  # the zero is free
    assert outside_box_loss(-inside, where, due).item() > 5


def test_only_maps_that_are_due_count_by_their_weight() -> None:
    said = torch.zeros(2, 2, 2, 2)
    where = torch.ones(2, 2, 2, 2)
    where[0, 0, 0] = 0  # half of the boxes: log 2
    due = torch.tensor([[0.5, 0.0], [0.0, 1.5]])
    assert outside_box_loss(said, where, due).item() == pytest.approx(0.25 * np.log(2))
    assert outside_box_loss(said, where, torch.zeros(2, 2)).item() == 0


def test_boxes_draw_the_evidence_into_their_place(network: DenseNetwork, images: Tensor) -> None:
    student = Student(network).train()
    optimizer = torch.optim.AdamW(student.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        _, extra = passed(student, images, box=1.0)
        optimizer.zero_grad()
        extra.backward()
        optimizer.step()
        losses.append(extra.item())
    assert losses[-1] < 0.5 * losses[0]


def test_neighbours_as_the_findings_would_have_them_cost_nothing() -> None:
    findings = torch.tensor([[1.0, 0.0], [0.8, 0.2], [0.0, 1.0], [0.1, 0.9], [1.0, 1.0]])
    common = torch.tensor([40.0, -7.0, 3.0])
    turned = torch.tensor([[0.0, 2.0, 0.0], [-2.0, 0.0, 0.0]])  # a rotation, twice as large
    embeddings = findings @ turned + common
    assert pkt_loss(embeddings, findings).item() == pytest.approx(0, abs=1e-5)
    assert pkt_loss(embeddings.flip(0), findings).item() > 0.1
    assert pkt_loss(embeddings[:2], findings[:2]).item() == 0  # two images have no choice


def test_embeddings_are_drawn_to_images_of_like_findings() -> None:
    generator = torch.Generator().manual_seed(0)
    findings = torch.eye(2).repeat(8, 1)
    embeddings = torch.rand(16, 4, generator=generator).requires_grad_()
    optimizer = torch.optim.Adam([embeddings], 0.05)
    for _ in range(60):
        optimizer.zero_grad()
        pkt_loss(embeddings, findings).backward()
        optimizer.step()
    unit = torch.nn.functional.normalize(embeddings.detach(), dim=1)
    cosine = (unit @ unit.T).fill_diagonal_(-1)
    assert (cosine.argmax(dim=1) % 2 == torch.arange(16) % 2).all()


def test_only_images_of_which_all_is_known_count_for_likeness(
    network: DenseNetwork, images: Tensor
) -> None:
    student = Student(network, prevalence=torch.tensor([0.5, 0.1])).eval()
    target = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(4, 1)
    where, due = torch.ones(8, 2, 2, 2), torch.zeros(8, 2)
    some = torch.ones(8, 2)
    some[4:, 1] = 0
    whole = Sample(images, target, some, where, due)
    first = Sample(*(part[:4] for part in whole))
    likeness = LossWeights(pkt=1.0)
    with torch.no_grad():
        among_four = student(first, likeness)[1].item()
        assert student(whole, likeness)[1].item() == pytest.approx(among_four, 1e-4)
    assert among_four > 0


def test_a_doubted_images_neighbours_count_less() -> None:
    generator = torch.Generator().manual_seed(3)
    embeddings, findings = (torch.rand(5, 3, generator=generator) for _ in range(2))
    each = [
        pkt_loss(embeddings, findings, torch.eye(5)[n] + 1e-9).item() for n in range(5)
    ]  # of one image
    weight = torch.tensor([1.0, 0.5, 1.0, 0.25, 0.25])
    expected = float(np.dot(weight.numpy(), each)) / 3
    assert pkt_loss(embeddings, findings, weight).item() == pytest.approx(expected, rel=1e-4)
    assert pkt_loss(embeddings, findings).item() == pytest.approx(np.mean(each), rel=1e-4)


def test_the_average_forgets_the_random_beginning(network: DenseNetwork) -> None:
    average = moving_average(network, 0.9)
    average.update_parameters(network)  # the first step is copied
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1.0)
    for _ in range(100):
        average.update_parameters(network)
    assert all(torch.allclose(p, torch.ones(()), atol=1e-3) for p in average.parameters())


def test_the_average_follows_by_the_decay(network: DenseNetwork) -> None:
    average = moving_average(network, 0.5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.0)
        average.update_parameters(network)
        for parameter in network.parameters():
            parameter.fill_(1.0)
    # the second step: kept min(0.5, (1 + 1) / (10 + 1)) of 0, the rest of 1
    average.update_parameters(network)
    assert next(average.parameters()).flatten()[0].item() == pytest.approx(1 - 2 / 11)


def test_an_average_that_does_not_reach_its_decay_is_told() -> None:
    assert decay_after(10_000, 0.998) == 0.998
    assert average_told(0.998, 10_000) == average_told(0.0, 1) == ""
    said = average_told(0.998, 858)
    # (1 + s) / (10 + s) = 0.998 at s = 4490; after 858 steps it is 859 / 868
    assert "its decay of 0.998 after 4,490 steps and has 858: it ends at 0.9896" in said
    assert said.endswith("about the last 96 steps")


def test_efficientnet_lite_gives_maps_of_three_depths_and_stays_frozen() -> None:
    teacher = pretrained(NAME)
    maps = teacher.maps(torch.rand(2, 64, 64))
    assert teacher.channels == (48, 120, 1280)
    assert [tuple(one.shape) for one in maps] == [
        (2, 48, 8, 8),
        (2, 120, 4, 4),
        (2, 1280, 2, 2),
    ]
    assert not any(one.requires_grad for one in maps)


@pytest.mark.parametrize(
    "network",
    [small_teacher, pytest.param(pretrained, marks=pytest.mark.long)],
    ids=["small", "whole"],
)
def test_on_a_processor_the_teacher_says_what_pytorch_says_each_time(
    request: pytest.FixtureRequest, network: Callable[[str], EfficientNetLite]
) -> None:
    if network is pretrained:
        request.getfixturevalue("_whole_teacher")
    teacher, grey = open_teacher(NAME, "cpu"), torch.rand(2, 64, 64)
    assert isinstance(teacher, OpenVinoTeacher)
    wanted = network(NAME)
    assert teacher.channels == wanted.channels
    for found, again, map_ in zip(
        teacher.maps(grey), teacher.maps(grey), wanted.maps(grey), strict=True
    ):
        assert torch.equal(found, again)
        assert_agree(found.numpy(), map_.numpy())


def test_an_unknown_teacher_is_refused_naming_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="is none of efficientnet-lite2"):
        open_teacher("densenet", "cpu")
