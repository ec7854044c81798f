"""Named recipes: defaults of a training's settings."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from xemplar.errors import ConfigurationError

from .augmentation import Augmentation
from .settings import TrainingSettings

RECIPES: Mapping[str, TrainingSettings] = {
    # the poster: fine-tuning from ImageNet weights, on many images
    "poster": TrainingSettings(),
    # the shipped checkpoint: no ImageNet weights of this network, few images, a GPU for ten
    # minutes (without one: crossfit 0 and soft_label_weight 0)
    "guided": TrainingSettings(
        initial="none",
        contradicted_weight=0.5,
        teacher="efficientnet-lite2",
        crossfit=5,
        soft_label_weight=0.7,
        mixup=0.4,
        pkt_weight=0.3,
        projection=256,
        small_epochs=31,
        epochs=66,
        patience=66,
        images_per_epoch=1600,
        batch_size=128,
        learning_rate=2e-3,
        weight_decay=0.05,
        schedule="cosine",
        ema_decay=0.998,
        box_weight=0.15,
        warmup_epochs=26,
        augmentation=Augmentation(crop=0.7, erasing_chance=0.6),
    ),
    # no GPU: the classifier and projection of a trained checkpoint (--initial), on more images and
    # soft labels (--soft-labels) than it was trained with
    "head": TrainingSettings(
        head_penalty=0.1,
        contradicted_weight=0.5,
        box_weight=0.1,
        projection=256,
        epochs=3,
        augmentation=Augmentation(crop=0.75),
    ),
}


def recipe(name: str, **changed: Any) -> TrainingSettings:
    """Returns a recipe's settings, with some of them changed.

    Args:
        name: of the recipe.
        changed: fields of `TrainingSettings`, or of its `Augmentation`; None leaves the recipe's.

    Raises:
        ConfigurationError: there is no such recipe, or the settings cannot work.
    """
    if name not in RECIPES:
        raise ConfigurationError(f"--recipe {name!r} is none of {', '.join(RECIPES)}")
    settings = RECIPES[name]
    given = {field: value for field, value in changed.items() if value is not None}
    if given.get("soft_labels"):
        given.setdefault("crossfit", 0)  # which they take the place of
    changes = {f: given.pop(f) for f in Augmentation.__dataclass_fields__ if f in given}
    return replace(settings, augmentation=replace(settings.augmentation, **changes), **given)
