"""The recipe: every setting of a training, with the poster's value as default."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from xemplar.errors import ConfigurationError, CorruptArtefact
from xemplar.findings import NIH14, UncertainPolicy, canonical
from xemplar.preprocess import PreprocessSpec
from xemplar.splits import PatientSplit

FOLDS = 5
"""Parts of the patients in cross-fitting."""


class Guidance(NamedTuple):
    """Weights of what guides a training, beside the loss of the labels.

    Attributes:
        hint: of the teacher.
        boxes: of the evidence outside its place.
        metric: of likeness that is not that of the findings.
    """

    hint: float = 0.0
    boxes: float = 0.0
    metric: float = 0.0


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a training film. The defaults are mild: a film stays a plausible film.

    Attributes:
        flip: chance of a horizontal flip.
        brightness: grey values are multiplied by up to 1 +- this.
        contrast: likewise, about the mean.
        elastic: strength of the elastic transformation in pixels of a 224-pixel input
            (displacements are smoothed over about 5 pixels).
        elastic_chance: chance of it.
        blur: largest standard deviation of the Gaussian blur, in pixels.
        blur_chance: chance of it.
        rotation: up to this many degrees to either side.
        translation: up to this share of the side, in both directions.
        scale: sizes from 1 - this to 1 + this.
        shear: up to this many degrees.
        crop: smallest share of the area that a random crop keeps.
        hide: chance that corners and margins are covered, so that text there, or the black
            rectangle where it was, tells nothing. The poster's recipe has it not.
    """

    flip: float = 0.5
    brightness: float = 0.2
    contrast: float = 0.2
    elastic: float = 30.0
    elastic_chance: float = 0.3
    blur: float = 1.0
    blur_chance: float = 0.3
    rotation: float = 10.0
    translation: float = 0.05
    scale: float = 0.1
    shear: float = 5.0
    crop: float = 0.8
    hide: float = 0.0


@dataclass(frozen=True)
class Settings:
    """One training.

    Attributes:
        findings: the network's outputs.
        uncertain: what an uncertain label (-1) becomes.
        size: side of the network's input in pixels, a multiple of 32.
        small_size: side of the input in the first ``small_epochs`` epochs: at half the side an
            epoch costs a quarter (progressive resizing: EfficientNetV2, Tan & Le, ICML 2021).
        small_epochs: how many; the best epoch is sought among the others.
        fit: how a film becomes a square: "stretch" or "pad".
        initial: "imagenet" (torchvision's weights, downloaded once), "none" (random), or the path
            of a checkpoint or of a torchvision state dict.
        epochs: at most.
        patience: epochs without a better mean validation AUC after which training stops early.
        batch: films in a step, of one process.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        schedule: of the learning rate: "plateau" (below), or "cosine" from the rate to 0 over all
            epochs.
        teacher: name of a frozen network that knows ImageNet, whose maps ours are drawn to beside
            the labels (`trainer.teacher`); "" for none.
        hint: weight of that beside the labels' loss.
        boxes: weight of what speaks for a finding outside radiologists' boxes, beside the labels'
            loss (`trainer.places`, `trainer.learner.outside`); 0 for none.
        lead: so many first epochs follow the teacher; after them its weight falls to 0 by the end,
            and boxes count. 0: its weight stays, and boxes count from the start.
        crossfit: so many copies of the teacher are fine-tuned first, each without a fifth of the
            patients, and say of those how likely each finding is (`trainer.crossfit`); 0 for none.
        crossfit_epochs: of each of them.
        soft: share of what they say in the targets, from 0 to 1; the rest is the label.
        mixup: films are laid over each other, by shares of Beta(this, this) (`trainer.mixup`); 0
            leaves them as they are.
        metric: weight of likeness of embeddings that is not likeness of findings
            (`trainer.learner.unlike`), after the first ``lead`` epochs; 0 for none.
        projection: numbers of an embedding, to which its channels are projected so that films of
            like findings are neighbours (`trainer.projection`); 0 leaves the channels.
        average: decay of a moving average of the weights; the average is validated and kept. 0
            keeps the weights themselves.
        plateau_factor: ReduceLROnPlateau multiplies the rate by this ...
        plateau_patience: ... after this many epochs without a lower validation loss.
        films_per_epoch: draw so many training films for each epoch, from the data sets in shares
            of equal weight (a smaller set is used up first); 0 takes all.
        weights: of the shares, by the names of data sets; what is not named has 1.
        precision: "auto" takes bfloat16 autocast where the device has it natively, else float32.
        device: "auto", "cpu" or "cuda".
        workers: processes that decode and augment; 0 does it in the training process.
        threads: processor threads of the network; 0 leaves it to PyTorch.
        seed: of everything random, but not of who is trained on.
        split: how patients are split where a data set does not say.
        augmentation: random changes of training films.
    """

    findings: tuple[str, ...] = NIH14
    uncertain: UncertainPolicy = UncertainPolicy.POSITIVE
    size: int = 224
    small_size: int = 128
    small_epochs: int = 0
    fit: str = "stretch"
    initial: str = "imagenet"
    epochs: int = 25
    patience: int = 10
    batch: int = 32
    learning_rate: float = 1e-4
    weight_decay: float = 1e-4
    schedule: str = "plateau"
    teacher: str = ""
    hint: float = 1.0
    boxes: float = 0.0
    lead: int = 0
    crossfit: int = 0
    crossfit_epochs: int = 20
    soft: float = 0.0
    mixup: float = 0.0
    metric: float = 0.0
    projection: int = 0
    average: float = 0.0
    plateau_factor: float = 0.1
    plateau_patience: int = 5
    films_per_epoch: int = 0
    weights: Mapping[str, float] = field(default_factory=dict)
    precision: str = "auto"
    device: str = "auto"
    workers: int = 1
    threads: int = 0
    seed: int = 0
    split: PatientSplit = field(default_factory=PatientSplit)
    augmentation: Augmentation = Augmentation()

    def __post_init__(self) -> None:
        object.__setattr__(self, "findings", tuple(canonical(f) for f in self.findings))
        positive = ("epochs", "patience", "batch", "learning_rate", "size")
        wrong = [name for name in positive if getattr(self, name) <= 0]
        wrong += [n for n in ("films_per_epoch", "workers", "threads") if getattr(self, n) < 0]
        if wrong:
            raise ConfigurationError(
                ", ".join(f"{name} is {getattr(self, name)}" for name in wrong)
                + "; it must be greater than 0 (films_per_epoch, workers and threads: at least 0)"
            )
        if not self.findings or len(set(self.findings)) < len(self.findings):
            raise ConfigurationError(f"findings must be different names, not {self.findings}")
        if self.small_epochs and not 0 <= self.small_epochs < self.epochs:
            raise ConfigurationError(
                f"small_epochs is {self.small_epochs} of {self.epochs}; at least one epoch must "
                "see films at their full size"
            )
        if any(weight <= 0 for weight in self.weights.values()):
            raise ConfigurationError(
                f"the weights of data sets must be greater than 0, not {dict(self.weights)}"
            )
        try:
            self.spec_at(1)  # asked for here, so that a wrong size or fit is refused here
            self.spec_at(self.epochs)
        except CorruptArtefact as error:
            raise ConfigurationError(str(error)) from error
        if self.schedule not in ("plateau", "cosine"):
            raise ConfigurationError(f"schedule {self.schedule!r} is none of plateau, cosine")
        weights = ("hint", "boxes", "lead", "mixup", "metric", "projection")
        wrong = [name for name in weights if getattr(self, name) < 0]
        wrong += [] if 0 <= self.average < 1 else ["average"]
        wrong += [] if 0 <= self.soft <= 1 else ["soft"]
        if wrong:
            raise ConfigurationError(
                ", ".join(f"{name} is {getattr(self, name)}" for name in wrong)
                + "; average must be at least 0 and less than 1, soft from 0 to 1, and "
                f"{', '.join(weights)} at least 0"
            )
        if bool(self.soft) != bool(self.crossfit) or (self.crossfit and not self.teacher):
            raise ConfigurationError(
                f"soft is {self.soft}, crossfit {self.crossfit} and teacher {self.teacher!r}; soft "
                "labels come from copies of a teacher: give all three, or neither soft nor crossfit"
            )
        if self.crossfit and (self.crossfit < FOLDS or self.crossfit_epochs < 1):
            raise ConfigurationError(
                f"crossfit is {self.crossfit} and crossfit_epochs {self.crossfit_epochs}; each "
                f"film is left out by one network of {FOLDS}: at least {FOLDS} and 1 are needed"
            )
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ConfigurationError(
                f"precision {self.precision!r} is none of auto, float32, bfloat16"
            )

    @property
    def spec(self) -> PreprocessSpec:
        """How a film becomes the network's input."""
        return PreprocessSpec.from_dict(
            {
                "size": self.size,
                "fit": self.fit,
                "mean": PreprocessSpec.mean,
                "std": PreprocessSpec.std,
            }
        )

    def spec_at(self, epoch: int) -> PreprocessSpec:
        """The same in an epoch, counted from 1."""
        if epoch > self.small_epochs:
            return self.spec
        return replace(self.spec, size=self.small_size)

    def guidance_at(self, epoch: int) -> Guidance:
        """Weights of what guides beside the labels in an epoch, counted from 1."""
        late = epoch > self.lead
        return Guidance(
            self._hint_at(epoch), self.boxes if late else 0.0, self.metric if late else 0.0
        )

    def _hint_at(self, epoch: int) -> float:
        """Weight of the teacher in an epoch, counted from 1."""
        if not self.lead or epoch <= self.lead:
            return self.hint
        return self.hint * (self.epochs + 1 - epoch) / (self.epochs + 1 - self.lead)

    def as_json(self) -> dict[str, Any]:
        """All settings as JSON values."""
        return {**asdict(self), "findings": list(self.findings), "uncertain": str(self.uncertain)}
