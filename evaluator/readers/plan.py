"""The plan of a study: its films, their cases, and each reader's order, drawn by the seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xemplar.archive.store import Store
from xemplar.catalog import Case, open_catalog
from xemplar.data.csv_table import read_rows
from xemplar.errors import ConfigurationError, DatasetError
from xemplar.index import current, open_generation
from xemplar.model.checkpoint import Checkpoint
from xemplar.operations.study_plan import CasesShown, StudyFilm, StudyPlan

from .protocol import Films, Protocol

CASES_PER_READ = 5000


@dataclass(frozen=True, eq=False)
class Indexed:
    """The indexed cases whose label tells whether they have the finding.

    Attributes:
        generation: name of the index generation.
        cases: M cases, by case id.
        present: bool (M,).
        vectors: float32 (M, C), unit embeddings.
    """

    generation: str
    cases: Sequence[Case]
    present: npt.NDArray[np.bool_]
    vectors: npt.NDArray[np.float32]


def read_indexed(store: Store, database: str, checkpoint: Checkpoint, finding: str) -> Indexed:
    """Read the indexed cases that are labelled for a finding.

    Raises:
        ArtefactError: there is no index of this checkpoint.
        ConfigurationError: no case is labelled.
    """
    name = current(store)
    with open_catalog(database or store.database_url) as catalog:
        generation = open_generation(store, checkpoint, name, catalog)
        found: dict[int, Case] = {}
        for begin in range(0, len(generation), CASES_PER_READ):
            found |= catalog.cases(generation.ids[begin : begin + CASES_PER_READ])
        known = [case for case in found.values() if case.labels.get(finding) in (0, 1)]
        if not known:
            raise ConfigurationError(
                f"no indexed case is labelled for {finding!r}; index images with labels for it"
            )
        known.sort(key=lambda case: case.case_id)
        vectors = np.stack([generation.vector(case.id) for case in known])
    present = np.array([case.labels[finding] == 1 for case in known], np.bool_)
    return Indexed(name, known, present, vectors)


def make_plan(protocol: Protocol, indexed: Indexed, checkpoint: str, folder: Path) -> StudyPlan:
    """Draw the films, find their cases, and order each reader's sessions.

    Cases are never a film of the study, nor of a patient of one; each is of another patient.

    Args:
        protocol: of the study.
        indexed: the cases labelled for its finding.
        checkpoint: digest of the network.
        folder: of the protocol, where a table of films lies.

    Raises:
        ConfigurationError: too few films or cases.
        DatasetError: the table of films cannot be used.
    """
    draw = np.random.default_rng(protocol.seed)
    truth = _films(protocol.films, indexed, draw, folder)
    rows = {case.case_id: row for row, case in enumerate(indexed.cases)}
    patients = np.array([case.patient or case.case_id for case in indexed.cases])
    film_rows = [rows[case_id] for case_id in truth]
    free = ~np.isin(patients, patients[film_rows])
    kinds = sorted({arm.cases for arm in protocol.arms} - {"none"})
    films = []
    for case_id, row in zip(truth, film_rows, strict=True):
        order = np.argsort(-(indexed.vectors @ indexed.vectors[row]), kind="stable")
        allowed: Mapping[CasesShown, npt.NDArray[np.bool_]] = {
            "similar": free,
            "wrong": free & (indexed.present != truth[case_id]),
        }
        shown: dict[CasesShown, tuple[str, ...]] = {
            kind: tuple(
                indexed.cases[one].case_id
                for one in _first_of_patients(order, allowed[kind], patients, protocol.cases)
            )
            for kind in kinds
        }
        films.append(StudyFilm(case_id=case_id, present=truth[case_id], cases=shown))
    return StudyPlan(
        title=protocol.title,
        question=protocol.question,
        finding=protocol.finding,
        ask_trust=protocol.ask_trust,
        washout_days=protocol.washout_days,
        protocol=protocol.model_dump(mode="json", by_alias=True),
        generation=indexed.generation,
        checkpoint=checkpoint,
        arms=protocol.arms,
        films=tuple(films),
        sessions=_sessions(protocol, [film.present for film in films], draw),
    )


def _films(
    wanted: Films, indexed: Indexed, draw: np.random.Generator, folder: Path
) -> dict[str, bool]:
    """Choose the films: case id -> whether the finding is present."""
    if wanted.table:
        return _tabled(folder / wanted.table, indexed)
    chosen: dict[str, bool] = {}
    seen = set[str]()
    for present, count in ((True, wanted.with_it), (False, wanted.without)):
        possible = [
            case
            for case, has in zip(indexed.cases, indexed.present, strict=True)
            if has == present and case.source == wanted.source and wanted.split in ("", case.split)
        ]
        drawn = 0
        for place in draw.permutation(len(possible)):
            case = possible[int(place)]
            if drawn == count or (case.patient or case.case_id) in seen:
                continue
            seen.add(case.patient or case.case_id)
            chosen[case.case_id] = present
            drawn += 1
        if drawn < count:
            kind = "with" if present else "without"
            raise ConfigurationError(
                f"{count} films {kind} the finding were asked for, and the index has them of "
                f"{drawn} patients in {wanted.source} {wanted.split}".rstrip()
            )
    return chosen


def _tabled(file: Path, indexed: Indexed) -> dict[str, bool]:
    there = {case.case_id for case in indexed.cases}
    chosen: dict[str, bool] = {}
    for line, row in read_rows(file, ("case_id", "present")):
        case_id, present = row["case_id"], row["present"]
        if present not in ("0", "1"):
            raise DatasetError(f"{file}, line {line}: present is {present!r}, and has to be 0 or 1")
        if case_id not in there:
            raise DatasetError(
                f"{file}, line {line}: {case_id!r} is no indexed case that is labelled for the "
                "finding; `GET /cases` lists the cases"
            )
        if case_id in chosen:
            raise DatasetError(f"{file}, line {line}: {case_id} is listed twice")
        chosen[case_id] = present == "1"
    if min(sum(chosen.values()), sum(not one for one in chosen.values())) < 2:
        raise DatasetError(f"{file}: a study needs 2 films with the finding and 2 without at least")
    return chosen


def _first_of_patients(
    order: npt.NDArray[np.intp],
    allowed: npt.NDArray[np.bool_],
    patients: npt.NDArray[np.str_],
    count: int,
) -> list[int]:
    """Take the first allowed rows of an order, one of each patient."""
    chosen: list[int] = []
    seen = set[str]()
    for row in map(int, order[allowed[order]]):
        if patients[row] not in seen:
            seen.add(patients[row])
            chosen.append(row)
        if len(chosen) == count:
            return chosen
    raise ConfigurationError(
        f"{count} cases were asked for beside each film, and the index has {len(chosen)} of other "
        "patients to choose from; index more images, or ask for fewer cases or films"
    )


def _sessions(
    protocol: Protocol, present: Sequence[bool], draw: np.random.Generator
) -> dict[str, tuple[tuple[tuple[int, int], ...], ...]]:
    """Order each reader's sessions.

    As many sessions as arms. In each, a reader reads every film once; films are in as many blocks
    as arms, balanced by the finding, and a Latin square turns the arms of the blocks from session
    to session and from reader to reader. So over its sessions a reader reads every film in every
    arm, and what a session or its order does to readers concerns all arms alike.
    """
    arms, kinds = len(protocol.arms), np.array(present)
    sessions = {}
    for number, reader in enumerate(protocol.readers):
        block = np.empty(len(present), np.int64)
        for kind in (True, False):
            rows = draw.permutation(np.flatnonzero(kinds == kind))
            block[rows] = np.arange(len(rows)) % arms
        sessions[reader] = tuple(
            tuple(
                (int(film), int((block[film] + session + number) % arms))
                for film in draw.permutation(len(present))
            )
            for session in range(arms)
        )
    return sessions
