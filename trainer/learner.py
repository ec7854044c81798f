"""What is trained: the network, and what guides it beside the labels."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from trainer.teacher import Teacher
from xemplar.network.pytorch import DenseNetwork


class Learner(nn.Module):
    """The network with its guide; one forward pass serves both.

    Attributes:
        network: what the checkpoint will hold.
    """

    def __init__(self, network: DenseNetwork, teacher: Teacher | None = None) -> None:
        super().__init__()
        self.network = network
        self.hints = None if teacher is None else Hints(teacher, _channels(network))

    def forward(
        self, grey: Tensor, where: Tensor, due: Tensor, hint: float, boxes: float
    ) -> tuple[Tensor, Tensor]:
        """One pass.

        Args:
            grey: films, float (N, s, s) in [0, 1].
            where: float (N, F, s/32, s/32), share of each cell that shows a finding, or may.
            due: float (N, F), how much each finding's evidence is due there; 0 for none.
            hint: weight of the teacher.
            boxes: weight of the evidence outside its place.

        Returns:
            (logits (N, F), what to add to the loss of the labels).
        """
        maps = levels(self.network, grey)
        classifier = self.network.dense.classifier
        logits, guidance = classifier(maps[-1].mean(dim=(2, 3))), grey.new_zeros(())
        if self.hints is not None:
            guidance = guidance + hint * self.hints(grey, maps)
        if boxes:
            said = torch.einsum("fc,nchw->nfhw", classifier.weight, maps[-1])
            guidance = guidance + boxes * outside(said, where, due)
        return logits, guidance


def outside(said: Tensor, where: Tensor, due: Tensor) -> Tensor:
    """How much of the evidence lies outside its place: -log of the softmax that falls inside.

    The softmax goes over the places of a map, so it does not matter where the map's zero lies: the
    classifier's bias has no part in it.

    Args:
        said: float (N, F, g, g), what each place adds to a logit.
        where: float (N, F, g, g), share of each place that counts as inside, in [0, 1].
        due: float (N, F), weight of each map.

    Returns:
        Mean over the maps that are due, >= 0; 0 where none is.
    """
    shares = said.float().flatten(2).softmax(dim=2)
    inside = (shares * where.flatten(2)).sum(dim=2).clamp(min=1e-4)
    return -(inside.log() * due).sum() / due.sum().clamp(min=1)


class Hints(nn.Module):
    """How far our maps are from those of a teacher (FitNets: Romero et al., ICLR 2015).

    A linear layer at each of three depths predicts the teacher's map from ours, place by place,
    which teaches *where* things are without any label. The deepest is compared pooled, too.
    """

    def __init__(self, teacher: Teacher, channels: Sequence[int]) -> None:
        super().__init__()
        self._teacher = [teacher]  # in a list, so that it is neither trained nor saved
        pairs = list(zip(channels, teacher.channels, strict=True))
        self.predict = nn.ModuleList(nn.Conv2d(own, theirs, 1) for own, theirs in pairs)
        # targets of mean 0 and variance 1: then the error is the share that is not explained
        self.scale = nn.ModuleList(nn.BatchNorm2d(theirs, affine=False) for _, theirs in pairs)

    def forward(self, grey: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Mean share of the teacher's variance that our maps do not explain, at all depths.

        Args:
            grey: films, float (N, s, s) in [0, 1].
            maps: ours, as `levels` gives them.
        """
        errors = []
        targets = self._teacher[0].maps(grey)
        for own, target, predict, scale in zip(
            maps, targets, self.predict, self.scale, strict=True
        ):
            wanted = scale(F.adaptive_avg_pool2d(target.float(), own.shape[-1]))
            found = predict(own).float()
            errors.append(F.mse_loss(found, wanted))
        pooled = wanted.mean(dim=(2, 3))
        spread = pooled.var(dim=0, unbiased=False).mean().clamp(min=1e-6)
        errors.append(F.mse_loss(found.mean(dim=(2, 3)), pooled) / spread)
        return torch.stack(errors).mean()


def levels(network: DenseNetwork, grey: Tensor) -> list[Tensor]:
    """Maps after the second and third dense block, and the rectified last ones: strides 8, 16, 32.

    Args:
        network: ours.
        grey: films, float (N, s, s) in [0, 1].
    """
    found = []
    x = network.normalise(grey)
    for name, layer in network.dense.features.named_children():
        x = layer(x)
        if name in ("denseblock2", "denseblock3"):
            found.append(x)
    return [*found, F.relu(x)]


def averaged(network: DenseNetwork, decay: float) -> AveragedModel:
    """A copy of the network that follows it: an exponential moving average of its weights.

    Its decay rises from 0.1 to ``decay``, so that the random weights of the beginning are soon
    forgotten.
    """

    def follow(average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        steps = float(count)
        kept = min(decay, (1 + steps) / (10 + steps))
        return average + (current - average) * (1 - kept)

    return AveragedModel(network, avg_fn=follow, use_buffers=True)


def _channels(network: DenseNetwork) -> list[int]:
    """Of the maps that `levels` gives."""
    training = network.training
    network.eval()
    with torch.no_grad():
        device = next(network.parameters()).device
        found = levels(network, torch.zeros(1, 64, 64, device=device))
    network.train(training)
    return [one.shape[1] for one in found]
