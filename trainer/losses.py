"""Losses of a training: classification, boxes, neighbours, and a teacher's feature maps."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .teacher import Teacher

TEMPERATURE = 0.15
"""Softmax temperature of similarities: a cosine that is higher by this is e times as near."""


def masked_bce(
    logits: Tensor, target: Tensor, known: Tensor, total: Tensor | None = None
) -> Tensor:
    """Binary cross-entropy with logits, weighted mean over the known labels.

    Args:
        logits: float (N, F).
        target: float (N, F) in [0, 1].
        known: float (N, F) in [0, 1], weight of each label.
        total: what the weighted sum is divided by; None for the sum of the weights. One of several
            processes gives the mean of all their sums (`Distributed.mean_sum`): the mean of their
            gradients is then that of all their labels.
    """
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (each * known).sum() / (known.sum() if total is None else total).clamp(min=1e-6)


def pkt_loss(embeddings: Tensor, findings: Tensor, weight: Tensor | None = None) -> Tensor:
    """Probabilistic knowledge transfer (Passalis & Tefas, ECCV 2018) from findings to embeddings.

    For each image, the similarities to all others become a distribution by a softmax, once from
    embeddings and once from findings; the loss is the divergence of the two. Similarity is the
    cosine of centred features, as in a search (docs/decisions/0015): what all images have in
    common says nothing of neighbours.

    Args:
        embeddings: float (N, C).
        findings: float (N, F) >= 0, probabilities of the findings, weighted by their rarity.
        weight: float (N,) > 0, of each image's distribution; None for 1.

    Returns:
        Kullback-Leibler divergence, weighted mean over the images, >= 0; 0 for fewer than three
        images, which have no choice of neighbours.
    """
    count = len(embeddings)
    if count < 3:
        return embeddings.sum() * 0
    itself = torch.eye(count, dtype=torch.bool, device=embeddings.device)

    def log_neighbours(rows: Tensor) -> Tensor:
        unit = F.normalize(rows - rows.mean(dim=0), dim=1)
        return (unit @ unit.T / TEMPERATURE).masked_fill(itself, -1e4).log_softmax(dim=1)

    found, wanted = log_neighbours(embeddings), log_neighbours(findings)
    each = F.kl_div(found, wanted, reduction="none", log_target=True).sum(dim=1)
    return each.mean() if weight is None else (each * weight).sum() / weight.sum()


def outside_box_loss(
    evidence: Tensor, location: Tensor, weight: Tensor, total: Tensor | None = None
) -> Tensor:
    """Penalises evidence outside its location: -log of the softmax that falls inside.

    The softmax goes over the cells of a map, so it does not matter where the map's zero lies: the
    classifier's bias has no part in it.

    Args:
        evidence: float (N, F, g, g), contribution of each cell to a logit.
        location: float (N, F, g, g), share of each cell that counts as inside, in [0, 1].
        weight: float (N, F), weight of each map.
        total: as in `masked_bce`.

    Returns:
        Weighted mean over the maps, >= 0; 0 where all weights are 0.
    """
    shares = evidence.float().flatten(2).softmax(dim=2)
    inside = (shares * location.flatten(2)).sum(dim=2).clamp(min=1e-4)
    return -(inside.log() * weight).sum() / (weight.sum() if total is None else total).clamp(min=1)


def outside_mass_loss(evidence: Tensor, location: Tensor, weight: Tensor) -> Tensor:
    """Penalises positive evidence outside its location: -log of the share that lies inside.

    A map draws positive evidence alone. The outside-box loss weighs its peaks, this one all of it.

    Args:
        evidence: float (N, F, g, g), of a standard deviation of about 1.
        location: float (N, F, g, g), share of each cell that counts as inside, in [0, 1].
        weight: float (N, F), weight of each map.

    Returns:
        Weighted mean over the maps, >= 0; 0 where all weights are 0.
    """
    positive = F.softplus(evidence, beta=4).flatten(2)  # smooth, as L-BFGS asks for
    inside = (positive * location.flatten(2)).sum(dim=2) / positive.sum(dim=2).clamp(min=1e-9)
    return -(inside.clamp(min=1e-3).log() * weight).sum() / weight.sum().clamp(min=1)


def evidence_maps(weight: Tensor, maps: Tensor) -> Tensor:
    """Contributions of each cell to the logits, (N, F, g, g).

    Args:
        weight: float (F, C), of the linear layer.
        maps: float (N, C, g, g), rectified.
    """
    return torch.einsum("fc,nchw->nfhw", weight, maps)


class FeatureDistillation(nn.Module):
    """Distance of the student's feature maps to a teacher's (FitNets: Romero et al., ICLR 2015).

    A linear layer at each of three depths predicts the teacher's map from the student's, cell by
    cell, which teaches *where* things are without any label. The deepest is also compared pooled.
    """

    def __init__(self, teacher: Teacher, channels: Sequence[int]) -> None:
        super().__init__()
        self._teacher = [teacher]  # in a list, so that it is neither trained nor saved
        pairs = list(zip(channels, teacher.channels, strict=True))
        self.predict = nn.ModuleList(nn.Conv2d(own, theirs, 1) for own, theirs in pairs)
        # targets of mean 0 and variance 1: then the error is the unexplained share of the variance
        self.scale = nn.ModuleList(nn.BatchNorm2d(theirs, affine=False) for _, theirs in pairs)

    def forward(self, images: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Mean share of the teacher's variance that the student's maps do not explain.

        Args:
            images: float (N, s, s) in [0, 1].
            maps: the student's, as the network's `levels` gives them.
        """
        errors = []
        targets = self._teacher[0].maps(images)
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
