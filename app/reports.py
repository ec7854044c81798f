"""Reports that come with cases over HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xemplar.api import CaseChange
from xemplar.api.cases import REPORTS
from xemplar.catalog import Case, Catalog
from xemplar.catalog.removal import CHANGED
from xemplar.errors import InvalidArgument
from xemplar.reports.report import ReceivedReport, StoredReport


@dataclass(frozen=True)
class NewReport:
    """Scrubbed sections of a request; None for one that it does not name."""

    findings: str | None
    impression: str | None

    def over(self, old: StoredReport) -> StoredReport:
        """Return a report with these sections in place of its own."""
        return StoredReport(
            old.findings if self.findings is None else self.findings,
            old.impression if self.impression is None else self.impression,
        )


def scrubbed(given: CaseChange, *, taken: bool) -> NewReport | None:
    """Scrub the report of a request; None if it names none.

    Args:
        given: the request.
        taken: whether the service takes reports.

    Raises:
        InvalidArgument: it does not, or the text cannot be used.
    """
    named = REPORTS & given.model_fields_set
    if not named:
        return None
    if not taken and any(getattr(given, name) for name in named):
        raise InvalidArgument(
            f"{min(named)} is given, and this service takes no reports; leave it out, or ask "
            "whoever runs the service to set XEMPLAR_REPORTS"
        )
    whole = ReceivedReport.read(given.report) if given.report else ReceivedReport()
    findings = given.findings_text if "findings_text" in named else whole.findings
    impression = given.impression if "impression" in named else whole.impression
    clean = ReceivedReport(findings, impression).scrubbed()
    every = "report" in named
    return NewReport(
        clean.findings if every or "findings_text" in named else None,
        clean.impression if every or "impression" in named else None,
    )


def put_report(
    catalog: Catalog, case: Case, new: NewReport | None, *, labelled: bool
) -> Mapping[str, Any]:
    """Store a case's report, and forget that its labels were mined if it was labelled anew.

    Args:
        catalog: of the case.
        case: whose report it is.
        new: sections to store; None to leave the report as it is.
        labelled: whether the request sets the labels.

    Returns:
        Details for the audit trail, without any text.
    """
    known = catalog.reports.of([case.id]).get(case.id)
    if new is None and not (labelled and known is not None and known.mined):
        return {}
    old = StoredReport() if known is None else known.report
    report = old if new is None else new.over(old)
    still_mined = known is not None and known.mined and not labelled
    catalog.reports.put({case.image_sha256: report}, mined=[case.image_sha256] * still_mined)
    return {} if report == old else {"report": CHANGED}
