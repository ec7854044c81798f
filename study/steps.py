"""The steps of a study, each an xemplar command in a process of its own.

So each step can be repeated by hand, and training, FAISS and OpenVINO never share a process.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from xemplar.archive.artefact import digest_of, write_file
from xemplar.errors import ConfigurationError, Mismatch

from .choices import Choices
from .inspection import Inspection
from .requirements import evaluated_folders

RECORD = "study.json"

Words: TypeAlias = tuple[str, ...]
"""Part of a command."""


@dataclass(frozen=True)
class Step:
    """A command of a study.

    Attributes:
        name: such as "index".
        words: the command, without ``xemplar``.
        result: file that is there when it has finished.
        tolerated: exit statuses other than 0 with which the result counts.
    """

    name: str
    words: Words
    result: Path
    tolerated: tuple[int, ...] = ()


@dataclass(frozen=True)
class Place:
    """Files of a study in its folder."""

    root: Path

    @property
    def choices(self) -> Path:
        """The choices."""
        return self.root / "study.toml"

    @property
    def record(self) -> Path:
        """Digest, and what the steps took."""
        return self.root / RECORD

    @property
    def store(self) -> Path:
        """The archive that is made."""
        return self.root / "archive"

    @property
    def trained(self) -> Path:
        """Checkpoint of the training."""
        return self.root / "training" / "checkpoint.safetensors"

    def evaluation(self, name: str) -> Path:
        """Folder of a data set's evaluation."""
        return self.root / "evaluation" / name.replace("/", "_")


def steps_of(choices: Choices, seen: Inspection, place: Place) -> list[Step]:
    """List the steps of a study."""
    train = [_train(choices, place)] if choices.train.run else []
    measured = evaluated_folders(choices, seen)
    evaluate = [_evaluate(choices, place, *one) for one in measured]
    return [*train, _index(choices, place), *evaluate]


def _train(choices: Choices, place: Place) -> Step:
    split, chosen = choices.split, choices.train
    words: Words = ("train", *_data(choices), "--out", str(place.trained.parent))
    words += ("--split-seed", f"{split.seed}", "--val-share", f"{split.val:g}")
    words += ("--test-share", f"{split.test:g}", "--recipe", chosen.recipe)
    if choices.index.checkpoint:
        words += ("--initial", choices.index.checkpoint)
    words += chosen.options  # the last one of an option counts
    return Step("train", words, place.trained)


def _index(choices: Choices, place: Place) -> Step:
    chosen = choices.index
    words = ("index", *_data(choices), *_stored(choices, place), *_each("--split", chosen.splits))
    return Step("index", (*words, *chosen.options), place.store / "generations" / "CURRENT")


def _evaluate(choices: Choices, place: Place, folder: Path, name: str, domain: str) -> Step:
    chosen, out = choices.evaluate, place.evaluation(name)
    words: Words = ("evaluate", chosen.study, str(folder), "--source", name, "--patients", domain)
    words += ("--unknown-findings", choices.data.unknown_findings, "--out", str(out))
    words += (*_stored(choices, place), *_each("--split", chosen.splits))
    words += (*_each("--index-split", choices.index.splits), "--tuning-split", chosen.tuning_split)
    words += ("--leaks", chosen.leaks, *chosen.options)
    # 1: the report is whole, and says what must not be released
    return Step(f"evaluate {name}", words, out / "report.json", (1,))


def _data(choices: Choices) -> Words:
    data = choices.data
    named = (*_each("--source", data.sources), *_each("--patients", data.patients))
    return (*data.folders, *named, "--unknown-findings", data.unknown_findings)


def _stored(choices: Choices, place: Place) -> Words:
    """Name the store, and the checkpoint unless it is the shipped one."""
    named = str(place.trained) if choices.train.run else choices.index.checkpoint
    return ("--store", str(place.store), *(("--checkpoint", named) if named else ()))


def digest_of_study(choices: Choices, seen: Inspection, checkpoint: str) -> str:
    """Compute one digest of all that figures depend on, the same in whatever folder.

    Args:
        choices: of the study; names of folders do not count.
        seen: inspection, whose data sets' digests count.
        checkpoint: digest of the network that a training begins with or that is indexed with.
    """
    chosen = asdict(choices)
    del chosen["data"]["folders"]
    datasets = {f.dataset.name: f.dataset.digest for f in seen.folders if f.dataset}
    return digest_of({"choices": chosen, "data": datasets, "checkpoint": checkpoint})


def read_record(place: Place, digest: str) -> dict[str, Any]:
    """Read what a study has done; begin the record where there is none.

    Raises:
        Mismatch: it was begun with other data or choices.
    """
    if not place.record.is_file():
        return {"digest": digest, "steps": {}}
    record: dict[str, Any] = json.loads(place.record.read_text())
    if record["digest"] != digest:
        raise Mismatch(
            f"{place.root} holds study {record['digest'][:12]}, and data, network and choices make "
            f"{digest[:12]} now: label files or study.toml have changed since; take a new folder"
        )
    return record


def run_steps(
    steps: Sequence[Step], place: Place, record: dict[str, Any], tell: Callable[[str], None]
) -> None:
    """Run the steps that are not finished, and record each.

    Raises:
        ConfigurationError: a step failed; it has said why.
    """
    for number, step in enumerate(steps, 1):
        if step.name in record["steps"] and step.result.is_file():
            tell(f"{number}/{len(steps)} {step.name}: done before")
            continue
        tell(f"{number}/{len(steps)} {step.name}")
        began = time.monotonic()
        # -P: a numpy.py of the working directory is not imported
        command = [sys.executable, "-P", "-m", "xemplar", *step.words]
        status = subprocess.run(command).returncode  # noqa: S603 - our own command
        if status and not (status in step.tolerated and step.result.is_file()):
            raise ConfigurationError(
                f"the step {step.name!r} ended with status {status}; mend what it says above, then "
                f"`xemplar study --out {place.root}` goes on"
            )
        record["steps"][step.name] = {
            "command": ["xemplar", *step.words],
            "seconds": round(time.monotonic() - began, 1),
        }
        write_file(place.record, json.dumps(record, indent=2).encode())


def _each(option: str, values: Sequence[str]) -> Words:
    return tuple(word for value in values for word in (option, value))
