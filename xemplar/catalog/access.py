"""`Access`: the limits of a caller. Bound to a catalog, every question and change keeps to them."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement

from xemplar.catalog.tables import CaseRow
from xemplar.errors import InvalidArgument


@dataclass(frozen=True, kw_only=True)
class Access:
    """Limits of a caller; without any it may see and change every case.

    Attributes:
        sources: names of the sources whose cases exist for the caller; None for all.
        writer: id of the API key whose changes of patients are counted; None for no limit.
    """

    sources: frozenset[str] | None = None
    writer: str | None = None

    def sees(self, source: str) -> bool:
        """Tell whether cases of a source exist for the caller."""
        return self.sources is None or source in self.sources

    def conditions(self) -> list[ColumnElement[bool]]:
        """For ``select(...).where(*conditions)`` over `CaseRow`; none where all may be seen."""
        return [] if self.sources is None else [CaseRow.source.in_(sorted(self.sources))]

    def check_source(self, source: str) -> None:
        """Refuse a source that the caller's cases may not have.

        Raises:
            InvalidArgument: naming the value and those that would do.
        """
        if not self.sees(source):
            raise InvalidArgument(
                f"source is {source[:60]!r}; cases that this key puts in or changes are of "
                f"{self._listed}"
            )

    def source_of(self, given: str) -> str:
        """The source that is named, or the only one that the caller has.

        Raises:
            InvalidArgument: none is named where there is no only one.
        """
        if given:
            return given
        if self.sources is None:
            raise InvalidArgument("source is missing; name the data set or hospital of the image")
        if len(self.sources) != 1:
            raise InvalidArgument(f"source is missing; name one of this key's: {self._listed}")
        (only,) = self.sources
        return only

    @property
    def _listed(self) -> str:
        return ", ".join(repr(name[:60]) for name in sorted(self.sources or ())) or "no source"


EVERYTHING = Access()
NOTHING = Access(sources=frozenset())
