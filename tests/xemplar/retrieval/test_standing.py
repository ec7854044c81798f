"""What is bold and what is grey agrees with the numbers beside it, whatever a checkpoint's are."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from xemplar.retrieval.result import LIKELY, Prediction

shares = st.floats(0.001, 0.999)


@st.composite
def predictions(draw: st.DrawFn, *, one_threshold: bool) -> list[Prediction]:
    """Predictions for one image, with decision 32's threshold or any at all."""
    known, rates = draw(st.booleans()), draw(st.lists(shares, min_size=2, max_size=14))
    common = draw(st.floats(max(rates), 1))
    found = []
    for rate in rates:
        probability = draw(shares)
        threshold = common if one_threshold else draw(st.none() | st.floats(0, 1))
        called = None if threshold is None else probability >= threshold
        lift = probability / rate if known else None
        found.append(Prediction("x", probability, rate if known else None, lift, threshold, called))
    return found


@given(predictions(one_threshold=False))
def test_no_bold_finding_has_a_lower_lift_than_a_grey_one(found: list[Prediction]) -> None:
    for bold, grey in product(of(found, "called"), of(found, "usual")):
        assert (bold.lift or bold.probability) > (grey.lift or grey.probability)


@given(predictions(one_threshold=False))
def test_nothing_that_is_unlikely_is_bold(found: list[Prediction]) -> None:
    for bold in of(found, "called"):
        assert bold.called
        assert bold.probability >= (LIKELY if bold.base_rate is None else bold.base_rate)


@given(predictions(one_threshold=True))
def test_with_one_threshold_no_bold_finding_has_a_lower_probability_than_a_grey_one(
    found: list[Prediction],
) -> None:
    for bold, grey in product(of(found, "called"), of(found, "usual")):
        assert bold.probability > grey.probability


def of(found: list[Prediction], standing: str) -> list[Prediction]:
    return [one for one in found if one.standing == standing]
