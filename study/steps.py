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
from typing import Any

from xemplar.archive.artefact import digest_of, write_file
from xemplar.errors import ConfigurationError, Mismatch

from .choices import Choices
from .inspection import Inspection
from .requirements import evaluated_folders

RECORD = "study.json"


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
    words: tuple[str, ...]
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
    data, split = choices.data, choices.split
    known = ("--unknown-findings", data.unknown_findings)
    every = (*data.folders, *_each("--source", data.sources), *_each("--patients", data.patients))
    steps = []
    checkpoint: tuple[str, ...] = ()
    if choices.train.run:
        rule = ("--split-seed", f"{split.seed}", "--val-share", f"{split.val:g}")
        rule += ("--test-share", f"{split.test:g}", "--recipe", choices.train.recipe)
        out = str(place.trained.parent)
        words = ("train", *every, *known, "--out", out, *rule, *choices.train.options)
        steps.append(Step("train", words, place.trained))
        checkpoint = ("--checkpoint", str(place.trained))
    elif choices.index.checkpoint:
        checkpoint = ("--checkpoint", choices.index.checkpoint)
    stored = ("--store", str(place.store), *checkpoint)
    splits = _each("--split", choices.index.splits)
    words = ("index", *every, *known, *stored, *splits, *choices.index.options)
    steps.append(Step("index", words, place.store / "generations" / "CURRENT"))
    for folder, name, domain in evaluated_folders(choices, seen):
        chosen = choices.evaluate
        asked = (*_each("--split", chosen.splits), "--tuning-split", chosen.tuning_split)
        found = _each("--index-split", choices.index.splits)
        whose = ("--source", name, "--patients", domain, *known)
        out = str(place.evaluation(name))
        words = ("evaluate", chosen.study, str(folder), "--out", out, *stored, *whose)
        words += (*asked, *found, "--leaks", chosen.leaks, *chosen.options)
        report = place.evaluation(name) / "report.json"
        # 1: the report is whole, and says what must not be released
        steps.append(Step(f"evaluate {name}", words, report, (1,)))
    return steps


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


def _each(option: str, values: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for value in values for word in (option, value))
