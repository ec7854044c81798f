"""Asks about received images, indexes them, or both, one after another, by one thread.

The question is asked in this process, of a retriever of its own, as `xemplar dicom results` does: a
result is drawn from maps and pictures that no HTTP answer has.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from xemplar.api.search import Search
from xemplar.catalog import Description, case_id_of
from xemplar.errors import BurnedInText, InputError, NotARadiograph, StorageError, XemplarError
from xemplar.imaging.preprocess import preprocess
from xemplar.index import current
from xemplar.operations.audit import Audit, AuditEntry
from xemplar.retrieval.references import StudyReferences
from xemplar.retrieval.result import Answer
from xemplar.retrieval.retriever import Retriever

from ..metrics import NodeMetrics
from ..outbox.backoff import Backoff
from ..outbox.outbox import Item, NewResult, Outbox
from ..outbox.schedule import Schedule
from ..results import secondary_capture, structured_report
from ..results.objects import KINDS, result_objects
from ..results.source import SourceImage, read_source
from ..settings import NodeSettings
from .faults import place_of

ASK, INDEX = "ask", "index"

WANTED = {
    "all": KINDS,
    "report": (structured_report.KIND,),
    "picture": (secondary_capture.KIND,),
}
"""Kinds of result by the setting `send`."""

LOG = logging.getLogger("xemplar.pacs.answering")


class Answering:
    """Does what waits in the stages "ask" and "index"."""

    def __init__(
        self,
        outbox: Outbox,
        retriever: Retriever,
        settings: NodeSettings,
        metrics: NodeMetrics,
        backoff: Callable[[float], Backoff] = Backoff,
        references: StudyReferences | None = None,
    ) -> None:
        self._outbox = outbox
        self._retriever = retriever
        self._settings = settings
        self._metrics = metrics
        self._references = references
        self._audit = Audit(retriever.catalog.engine)
        self._schedule = Schedule(settings.retry_seconds, backoff)
        self._unusable = ""

    def work(self) -> bool:
        """Take the oldest image that is due one stage further; return False if there is none."""
        due = self._schedule.due(self._outbox.waiting(ASK, INDEX, limit=1000))
        if not due:
            return False
        item = due[0]
        try:
            self._follow()
            self._take(item)
        except InputError as error:
            # `errors` promises that these messages quote nothing of a header
            outcome = type(error).__name__
            LOG.warning("image %s is not taken (%s): %s", item.id, outcome, error)
            self._finish(item, outcome)
        except StorageError as error:
            LOG.warning("image %s waits: %s", item.id, error)
            self._schedule.failed(item)
            self._outbox.postpone(item, error.reason)
        except Exception as error:  # noqa: BLE001 -- one image must not stop the node
            self._failed(item, error)
        else:
            self._schedule.done(item)
        return True

    def _take(self, item: Item) -> None:
        data = self._outbox.path(item).read_bytes()
        if item.stage == ASK:
            self._ask(item, data)
        else:
            self._index(data)
            self._finish(item, "indexed")

    def _ask(self, item: Item, data: bytes) -> None:
        """Put the results of an image into the outbox."""
        began, retriever = time.perf_counter(), self._retriever
        excluded = self._own_cases(read_source(data))
        search = Search(k=self._settings.cases, exclude_patient_of=excluded)
        answer = retriever.ask(data, search)
        if (same := answer.archived_as) is not None and same not in excluded:
            # a case that shows this very image is no past case
            search = search.model_copy(update={"exclude_patient_of": (*excluded, same)})
            answer = retriever.again(answer, search)
        live, now = retriever.live, datetime.now(UTC)
        kinds = WANTED[self._settings.send]
        made = result_objects(data, live, retriever.media, answer, now, kinds)
        results = [NewResult(one.kind, one.sop_class, one.uid, one.data) for one in made]
        self._audit.add([_entry("dicom ask", answer)])
        both = self._settings.do == "both"
        self._outbox.answered(item, results, INDEX if both else None)
        if not both:
            self._metrics.image("answered")
        self._metrics.answered(time.perf_counter() - began)

    def _index(self, data: bytes) -> None:
        """Make a case of an image, unless one shows it already.

        Raises:
            InputError: it may not, or cannot, be one.
        """
        retriever = self._retriever
        image = retriever.decode(data)
        if image.body_part is not None:
            raise NotARadiograph(f"its header says that it shows {image.body_part}, not a chest")
        if image.burned_in:
            raise BurnedInText("its header says that text is burnt into the picture")
        live = retriever.live
        live.judge(preprocess(image, live.checkpoint.card.spec)).require_accepted()
        source = self._settings.source
        patient = self._pseudonym(read_source(data))
        day = self._references.shifted_day(data, patient) if self._references else None
        about = Description(source=source, patient=patient, shifted_day=day)
        taken = retriever.put(image, about)
        if self._references is not None and taken.case.case_id == case_id_of(image.sha256):
            self._references.keep(data, image.sha256, retriever.catalog)
        self._audit.add([AuditEntry.of_command("dicom index", subject=taken.case.case_id)])

    def _own_cases(self, source: SourceImage) -> tuple[str, ...]:
        """Return the id of a case of the same patient, which stands for all; empty for none."""
        patient = self._pseudonym(source)
        ids = self._retriever.catalog.patient_ids(patient)[:1] if patient else ()
        return tuple(case.case_id for case in self._retriever.catalog.cases(ids).values())

    def _pseudonym(self, source: SourceImage) -> str | None:
        """Return the patient's pseudonym; None without a patient id."""
        patient = str(source.header.get("PatientID") or "").strip()
        if not patient:
            return None
        issuer = str(source.header.get("IssuerOfPatientID") or "").strip()
        domain = f"{self._settings.source}:{issuer}" if issuer else self._settings.source
        return self._retriever.store.pseudonym(domain, patient)

    def _follow(self) -> None:
        """Use the generation that is live now, and all cases; an unusable one changes nothing."""
        retriever = self._retriever
        retriever.update()
        live = current(retriever.store)
        if live in (retriever.generation.name, self._unusable):
            return
        try:
            retriever.refresh()
        except StorageError:
            raise
        except XemplarError as error:
            self._unusable = live
            LOG.warning("generation %s cannot be used: %s", live, error)
        else:
            LOG.warning("generation %s answers from now on", live)

    def _finish(self, item: Item, outcome: str) -> None:
        self._outbox.finish(item, outcome)
        self._schedule.done(item)
        self._metrics.image(outcome)

    def _failed(self, item: Item, error: Exception) -> None:
        """Count a failure that nobody expected; try again later, and hold the image in the end."""
        self._schedule.failed(item)
        place = place_of(error)
        LOG.error("image %s failed: %s", item.id, place)
        if self._outbox.fail(item, type(error).__name__, most=self._settings.tries):
            LOG.error("image %s is held; see `xemplar dicom outbox list`", item.id)


def _entry(action: str, answer: Answer) -> AuditEntry:
    """Return the audit trail's entry: whose pictures went into a result."""
    shown = tuple(one.case.case_id for one in (*answer.neighbours, *answer.counter_examples))
    return AuditEntry(
        at=datetime.now(UTC),
        request_id="",
        action=action,
        status=200,
        subject=answer.image_id,
        generation=answer.generation,
        results=shown,
    )
