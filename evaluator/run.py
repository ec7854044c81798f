"""The studies one after another, each kept when it is finished, then the report.

Beside the report's folder lies a hidden work folder while a run is under way, named by everything
that the figures depend on. Killed and started again with the same arguments, a run takes over what
is in it; it is removed when the report is whole.
"""

import json
import os
import platform
import resource
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from xemplar import __version__
from xemplar.archive.artefact import digest_of, file_digest, write_file
from xemplar.errors import ConfigurationError
from xemplar.index import current
from xemplar.model.encoder import Encoder

from .classification import classification
from .data import EvaluationData
from .faithfulness.study import faithfulness
from .loading import EvaluationSource, load_evaluation_data
from .localisation.study import localisation
from .probability.study import probability
from .ranking.study import ranking
from .report.document import Report, write
from .section import Section
from .settings import EvaluationSettings
from .shortcuts.study import shortcuts

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""

PACKAGES = ("quantus", "grad-cam", "xaitk-saliency", "openvino", "torch", "scikit-learn", "numpy")


class Study(StrEnum):
    """Studies in the order of reading; ALL is everything that the data set allows."""

    RANKING = "ranking"
    LOCALISATION = "localisation"
    FAITHFULNESS = "faithfulness"
    CLASSIFICATION = "classification"
    PROBABILITY = "probability"
    SHORTCUTS = "shortcuts"
    ALL = "all"


@dataclass(frozen=True)
class EvaluationResult:
    """Result of a run.

    Attributes:
        report: as written.
        unreadable: images that were left out, each with the reason.
    """

    report: Report
    unreadable: Sequence[tuple[Path, str]]


def evaluate(
    study: Study,
    source: EvaluationSource,
    encoder: Encoder,
    out: Path,
    settings: EvaluationSettings,
    *,
    experts: Path | None = None,
    on_progress: Progress = lambda _what, _done, _total: None,
) -> EvaluationResult:
    """Run one study or all, and write the report to the folder ``out``.

    Raises:
        ConfigurationError: ``out`` exists already.
        DatasetError: the data set, the boxes or the ratings cannot be used.
        Mismatch: the index was built by another checkpoint, or patients were split otherwise.
        NothingIndexed: there is no index, or no case of this data set in it.
    """
    if out.exists():
        raise ConfigurationError(f"{out} exists already; choose another folder or remove it")
    identity = _identity(source, encoder, settings, experts)
    work = out.with_name(f".{out.name}.{digest_of(identity)[:12]}")
    seconds: dict[str, float] = {}
    began = time.monotonic()
    data, unreadable = load_evaluation_data(source, encoder, settings, work, on_progress)
    seconds["images"] = round(time.monotonic() - began, 1)
    sections = []
    for name in _wanted(study, source):
        section, seconds[name] = _kept(
            work / f"{name}.json", partial(_study, name, data, experts, work, on_progress)
        )
        sections.append(section)
    report = Report(sections, _about(identity, data, len(unreadable), seconds))
    write(out, report)
    shutil.rmtree(work)
    return EvaluationResult(report, unreadable)


def _wanted(study: Study, source: EvaluationSource) -> tuple[Study, ...]:
    """The studies to run; `all` leaves out localisation where nobody drew boxes."""
    if study is not Study.ALL:
        return (study,)
    every = tuple(s for s in Study if s is not Study.ALL)
    return every if source.box_file else tuple(s for s in every if s is not Study.LOCALISATION)


def _study(
    name: Study, data: EvaluationData, experts: Path | None, work: Path, on_progress: Progress
) -> Section:
    match name:
        case Study.CLASSIFICATION:
            total = len(data.findings)
            return classification(data, lambda done: on_progress(name, done, total))
        case Study.PROBABILITY:
            return probability(data, lambda done: on_progress(name, done, 3))
        case Study.RANKING:
            total = len(data.queries)
            return ranking(data, experts, lambda done: on_progress(name, done, total))
        case Study.LOCALISATION:
            total = len(data.queries.boxes)
            return localisation(data, lambda done: on_progress(name, done, total))
        case Study.SHORTCUTS:
            total = len(data.queries)
            return shortcuts(data, work, lambda done: on_progress(name, done, total))
        case _:
            return faithfulness(data, lambda done: on_progress(name, done, 100))


def _kept(file: Path, run: Callable[[], Section]) -> tuple[Section, float]:
    """A finished study from the work folder, or a new one, kept there; and its seconds."""
    pictures = file.with_suffix(".pictures")
    if file.is_file():
        stored = json.loads(file.read_bytes())
        drawn = {name: (pictures / name).read_bytes() for name in stored["pictures"]}
        return Section.from_dict(stored["section"], drawn), stored["seconds"]
    began = time.monotonic()
    section = run()
    seconds = round(time.monotonic() - began, 1)
    for picture in section.pictures:
        write_file(pictures / picture.name, picture.data)
    names = [picture.name for picture in section.pictures]
    content = {"section": section.to_dict(), "seconds": seconds, "pictures": names}
    write_file(file, json.dumps(content).encode())  # last: what it names is there
    return section, seconds


def _identity(
    source: EvaluationSource, encoder: Encoder, settings: EvaluationSettings, experts: Path | None
) -> dict[str, Any]:
    """Everything that the figures depend on."""
    card = encoder.checkpoint.card
    return {
        "software": {"xemplar": __version__} | {name: version(name) for name in PACKAGES},
        "checkpoint": {
            "digest": encoder.checkpoint.digest,
            "preprocessing": card.spec.digest,
            "code_version": card.code_version,
        },
        "index": {"generation": current(source.store)},
        "data": {
            "name": source.dataset.name,
            "labels": source.dataset.digest,
            "split by patient": asdict(card.split),
            "boxes": _digest(source.box_file),
            "experts": _digest(experts),
        },
        "settings": asdict(settings),
    }


def _digest(file: Path | None) -> str | None:
    if file is not None and not file.is_file():
        raise ConfigurationError(f"there is no file {file}")
    return file_digest(file) if file else None


def _about(
    identity: Mapping[str, Any], data: EvaluationData, unreadable: int, seconds: Mapping[str, float]
) -> dict[str, Any]:
    queries = data.queries
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **identity,
        "index": {"generation": data.generation, "cases": len(data.candidates)},
        "queries": {
            "images": len(queries),
            "patients": len(set(queries.patients)),
            "with boxes": len(queries.boxes),
            "unreadable": unreadable,
            "for tuning": len(data.tuning),
            "training": data.trained,
            "leaks": dict(data.leaks),
        },
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
            "system": platform.system(),
        },
        "seconds": dict(seconds) | {"all": round(sum(seconds.values()), 1)},
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _processor() -> str:
    """Reads the processor's name from Linux."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
