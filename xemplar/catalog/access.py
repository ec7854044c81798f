"""`Access`: a caller's limits. A catalog bound to them applies them to every read and change."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement

from xemplar.catalog.tables import CaseRow
from xemplar.errors import InvalidArgument


@dataclass(frozen=True, kw_only=True)
class Access:
    """Limits of a caller; without any, it may see and change every case.

    Attributes:
        sources: names of the sources whose cases the caller can see; None for all.
        writer: id of the API key whose patient changes are counted; None for no limit.
    """

    sources: frozenset[str] | None = None
    writer: str | None = None

    def sees(self, source: str) -> bool:
        """Return whether the caller can see cases of a source."""
        return self.sources is None or source in self.sources

    def conditions(self) -> list[ColumnElement[bool]]:
        """Build conditions on `CaseRow` for ``select(...).where``; none without limits."""
        return [] if self.sources is None else [CaseRow.source.in_(sorted(self.sources))]

    def check_source(self, source: str) -> None:
        """Refuse a source outside the caller's limits.

        Raises:
            InvalidArgument: names the value and the sources that are allowed.
        """
        if not self.sees(source):
            raise InvalidArgument(
                f"source is {source[:60]!r}; this key can add and change cases of these sources "
                f"only: {self._listed}"
            )

    def source_of(self, given: str) -> str:
        """Return the given source, or else the caller's only one.

        Raises:
            InvalidArgument: no source is given, and the caller does not have exactly one.
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
