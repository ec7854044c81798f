"""Answer to a search by the words of reports alone, without an image."""

from xemplar.errors import InvalidArgument
from xemplar.retrieval.result import Stopwatch, WordsAnswer, WordsMatch
from xemplar.retrieval.selection import Scope
from xemplar.retrieval.words import ranked_by_words


def answer_by_words(scope: Scope, watch: Stopwatch) -> WordsAnswer:
    """Find the cases whose reports have most of the words of a search's text.

    Args:
        scope: the candidates, and their ranking by words.
        watch: measures from before the scope was made.

    Raises:
        InvalidArgument: the search has no text.
        DatabaseUnreachable: the catalog does not answer.
    """
    words = scope.words
    if words is None:
        raise InvalidArgument("a search without an image needs words in text")
    found = scope.by_words(words)
    watch.stage("search")
    cases = [one.case for one in found]
    reports, more = scope.reports_of(cases), scope.more_of_patient(cases)
    # a report may have been removed after the cases were ranked
    there = [one for one in found if one.case.id in reports]
    neighbours = tuple(
        WordsMatch(
            rank=rank,
            case=one.case,
            more_of_patient=more.get(one.case.case_id, ()),
            fused=ranked_by_words(one.case.id, words),
            report=reports[one.case.id],
            marks=scope.marks(reports[one.case.id]),
        )
        for rank, one in enumerate(there, start=1)
    )
    watch.stage("describe")
    return WordsAnswer(
        generation=scope.generation.name,
        neighbours=neighbours,
        prevalence=scope.prevalence(there, None),
        matched=scope.matched,
        words=words,
        timings_ms=watch.timings_ms,
    )
