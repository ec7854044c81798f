"""Description of a training: what its checkpoint tells, and what a resumed run must agree with."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xemplar.data.datasets import Dataset, DatasetImage
from xemplar.data.membership import Membership, development_images
from xemplar.data.splits import development_digest, patient_key
from xemplar.errors import ConfigurationError

from .crossfit import SOFT_LABELS
from .initialisation import earlier_training, weights_origin
from .label_weights import disagreements
from .settings import TrainingSettings
from .state import progress_of, with_present_names

STATE, SETTINGS = "state.safetensors", "settings.json"
"""Files in the folder of a run."""


def description(
    settings: TrainingSettings,
    datasets: Sequence[Dataset],
    records: Sequence[DatasetImage],
    left_out: int,
) -> dict[str, Any]:
    """Describes a training for its checkpoint, as JSON values.

    Args:
        settings: of the training.
        datasets: that are pooled.
        records: of the training images.
        left_out: number of images that could not be decoded.
    """
    return settings.as_json() | {
        "initial": weights_origin(settings.initial),
        "soft_labels": weights_origin(settings.soft_labels),
        "datasets": {d.name: d.digest for d in datasets},
        "learnt": {d.name: development_digest(d.images, settings.split) for d in datasets},
        "patients": {i.source: i.domain for d in datasets for i in d.images if i.patients},
        "contradicted": disagreements(records, settings.findings),
        "left_out": left_out,
        "whose": {d.name: sorted({patient_key(image)[0] for image in d.images}) for d in datasets},
        "initial_training": earlier_training(settings.initial),
    }


def membership(
    described: Mapping[str, Any], settings: TrainingSettings, datasets: Sequence[Dataset], out: Path
) -> dict[str, Any]:
    """Digests of the patients and pictures that are learnt from, for `xemplar evaluate`.

    The salt is made of the description, so that the same training gives the same file, and any
    other one another salt. A resumed run keeps what it had.

    Args:
        described: the training, see `description`.
        settings: likewise.
        datasets: that are pooled.
        out: folder of the run.
    """
    kept = progress_of(out / STATE)["settings"] if (out / STATE).is_file() else {}
    if "membership" in kept:
        found: dict[str, Any] = kept["membership"]
        return found
    salt = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).digest()[:16]
    images = development_images(datasets, settings.split)
    return Membership.of(images, settings.spec, salt).to_json()


def check_same(out: Path, described: dict[str, Any]) -> None:
    """Refuses to resume a run with other settings, except those that fit it to the machine.

    A run that was killed in its cross-fitting has no state yet, but predictions that depend on its
    settings; it is known by these.

    Args:
        out: folder of the run; nothing is refused if there is none in it.
        described: the training that is asked for.

    Raises:
        ConfigurationError: naming each setting, what it was and what it is.
    """
    if (out / STATE).is_file():
        found = progress_of(out / STATE)["settings"]
    elif (out / SOFT_LABELS).is_file():
        found = json.loads((out / SETTINGS).read_bytes())
    else:
        return
    stored, defaults = with_present_names(found), TrainingSettings().as_json()
    # settings that the run did not know yet, by whose defaults it went
    stored["augmentation"] = defaults["augmentation"] | stored["augmentation"]
    before = {"patients": {}, "left_out": 0} | defaults | stored
    # the last four follow from the data sets' digests and from the file of "initial"
    free = {"workers", "threads", "patience"}
    free |= {"whose", "contradicted", "initial_training", "membership"}
    free |= {"resident", "batch_size"}  # where a device's memory is too small for the larger images
    if described["schedule"] != "cosine":  # which reaches 0 with the last epoch
        free.add("epochs")
    changed = [
        f"{key} was {before.get(key)!r}, is {value!r}"
        for key, value in described.items()
        if key not in free and before.get(key) != value
    ]
    if changed:
        raise ConfigurationError(
            f"{out} holds a run with other settings ({'; '.join(changed)}); "
            "choose another --out folder, or remove this one to begin anew"
        )
