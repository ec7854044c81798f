"""`Postings`: the cases that have a term in their report, kept in memory for terms asked before."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from threading import Lock

import numpy as np
from sqlalchemy import Connection, select

from xemplar.catalog.changes import last_change, later
from xemplar.catalog.tables import CaseRow, RemovalRow, ReportRow
from xemplar.catalog.term_index import Ids, posting

MOST_IDS = 8_000_000
"""Ids kept, of all terms together, of 8 bytes each: all terms of some 200,000 reports."""

MOST_CHANGED = 1_000
"""Cases changed since a term was asked, at most: beyond that, reading the term again is quicker."""


@dataclass(frozen=True, eq=False)
class _Posting:
    """Ids of the cases that have a term, int64 (n,), ascending, as of a change or newer."""

    ids: Ids
    version: int


class Postings:
    """Answers with what the database holds now, of which it reads only what it must. Thread-safe.

    The terms asked last are kept, and brought up to date by the numbers of changes when they are
    asked again.
    """

    def __init__(self, most_ids: int = MOST_IDS) -> None:
        """Keep nothing yet.

        Args:
            most_ids: of cases that are kept, of all terms together.
        """
        self._most_ids = most_ids
        self._kept: OrderedDict[str, _Posting] = OrderedDict()
        self._keeping = Lock()

    def of(self, connection: Connection, terms: Sequence[str]) -> list[Ids]:
        """Return for each term the ids of the cases whose report has it.

        Args:
            connection: to the database, always the same one.
            terms: distinct.

        Returns:
            int64 (n,) each, ascending, read-only.
        """
        version = last_change(connection)  # first: what is read later is as of then, or newer
        with self._keeping:
            found = {term: self._kept[term] for term in terms if term in self._kept}
        old = {term: one for term, one in found.items() if one.version < version}
        if old:
            said = said_since(connection, min(one.version for one in old.values()))
            for term, one in old.items():
                if said is None:
                    del found[term]
                else:
                    found[term] = _Posting(_changed(one.ids, term, said), version)
        for term in terms:
            if term not in found:
                found[term] = _Posting(_read_only(posting(connection, term)), version)
        self._keep(found)
        return [found[term].ids for term in terms]

    def _keep(self, found: Mapping[str, _Posting]) -> None:
        """Keep postings in place of the ones asked longest ago."""
        with self._keeping:
            for term, one in found.items():
                self._kept[term] = one
                self._kept.move_to_end(term)
            size = sum(len(one.ids) for one in self._kept.values())
            while size > self._most_ids:
                _, gone = self._kept.popitem(last=False)
                size -= len(gone.ids)


def said_since(connection: Connection, since: int) -> Mapping[int, AbstractSet[str]] | None:
    """Read the terms of all cases changed after a change, none of removed ones, by their ids.

    Returns None if these are more than `MOST_CHANGED`.
    """
    changed = select(CaseRow.id).where(later(CaseRow.change, since))
    removed = select(RemovalRow.case).where(later(RemovalRow.change, since))
    said: dict[int, AbstractSet[str]] = {}
    for query in (changed, removed):
        ids = connection.scalars(query.limit(MOST_CHANGED + 1)).all()
        if len(ids) > MOST_CHANGED:
            return None
        said.update(dict.fromkeys(ids, frozenset[str]()))
    reports = select(ReportRow.case, ReportRow.terms).where(ReportRow.case.in_(said))
    said.update((row.case, {*row.terms.split()}) for row in connection.execute(reports))
    return said


def _changed(ids: Ids, term: str, said: Mapping[int, AbstractSet[str]]) -> Ids:
    """Return a term's ids with those of changed cases put right."""
    those = np.fromiter(said, np.int64, len(said))
    others = ids[~np.isin(ids, those, assume_unique=True)]
    having = np.sort(np.array([case for case, terms in said.items() if term in terms], np.int64))
    # stable: two sorted parts take one pass
    return _read_only(np.sort(np.concatenate([others, having]), kind="stable"))


def _read_only(ids: Ids) -> Ids:
    ids.flags.writeable = False
    return ids
