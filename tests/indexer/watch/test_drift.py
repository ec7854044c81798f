"""Drift: found where there is some, named, and silent where there is none."""

import numpy as np
import pytest
from xemplar_indexer.watch.drift import ALL_VIEWS, Drift, Images, drift
from xemplar_indexer.watch.metrics import DriftMetrics

from xemplar.errors import InvalidArgument

DIMENSION = 16


def images(
    count: int,
    seed: int,
    *,
    shift: float = 0.0,
    views: tuple[str, ...] = ("AP", "PA"),
    age: float = 50.0,
    source: str = "ward",
    sex_known: bool = True,
) -> Images:
    """Images whose embeddings differ by view; ``shift`` moves all of them."""
    draw = np.random.default_rng(seed)
    of_view = np.array([views[n % len(views)] for n in range(count)])
    vectors = draw.normal(size=(count, DIMENSION))
    vectors[:, 0] += np.where(of_view == "PA", 3.0, -3.0)
    vectors[:, 1] += shift
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Images(
        vectors.astype(np.float32),
        of_view,
        {"age": draw.normal(age, 15, count), "brightness": draw.normal(120, 10, count)},
        {
            "sex": np.array(["FM"[n % 2] if sex_known else "" for n in draw.permutation(count)]),
            "source": np.full(count, source),
        },
    )


def of_view(found: list[Drift], view: str) -> Drift:
    (one,) = [one for one in found if one.view == view]
    return one


def test_images_like_those_indexed_are_no_alarm() -> None:
    found = drift(images(600, 0), images(40, 1), draws=199)
    assert [one.view for one in found] == [ALL_VIEWS, "AP", "PA"]
    assert not any(one.alarm for one in found)


def test_alarms_without_drift_are_as_rare_as_promised() -> None:
    reference = images(600, 0, views=("PA",))
    alarms = [
        of_view(drift(reference, images(20, seed, views=("PA",)), draws=199), "PA").alarm
        for seed in range(1, 101)
    ]
    assert sum(alarms) <= 6  # of 100, where 1 is expected: more happens once in 10,000 times


def test_images_of_another_kind_are_an_alarm_in_their_view() -> None:
    found = drift(images(600, 0), images(40, 1, shift=2.0), draws=199)
    for view in ("AP", "PA"):
        one = of_view(found, view)
        assert one.alarm
        assert one.distance is not None
        assert one.distance > 1
    assert not of_view(found, ALL_VIEWS).alarm  # the mix of views is as before


def test_what_moved_is_named_with_its_values() -> None:
    changed = images(60, 1, age=20.0, source="clinic")
    one = of_view(drift(images(2000, 0), changed, draws=999), "PA")
    moved = {each.name: each for each in one.moved}
    assert moved.keys() == {"age", "source"}
    assert (moved["source"].before, moved["source"].now) == ("ward 100%", "clinic 100%")
    assert float(moved["age"].before) == pytest.approx(50, abs=3)
    assert float(moved["age"].now) == pytest.approx(20, abs=8)


def test_another_mix_of_views_is_named_and_is_no_alarm_within_a_view() -> None:
    found = drift(images(600, 0), images(40, 1, views=("PA",)), draws=199)
    mix = of_view(found, ALL_VIEWS)
    assert mix.alarm
    assert mix.moved[0].name == "view"
    assert mix.moved[0].now == "PA 100%"
    assert not of_view(found, "PA").alarm


def test_a_view_that_was_never_indexed_cannot_be_judged_and_is_told_by_the_mix() -> None:
    found = drift(images(600, 0), images(40, 1, views=("LL",)), draws=199)
    assert of_view(found, ALL_VIEWS).alarm
    assert of_view(found, "LL") == Drift("LL", 40, 0)


def test_what_is_unknown_of_the_window_is_not_named() -> None:
    arrived = images(60, 1, age=20.0)
    arrived.numbers["age"][:] = np.nan
    one = of_view(drift(images(2000, 0), arrived), "PA")
    assert "age" not in {each.name for each in one.moved}


def test_a_few_images_are_not_judged() -> None:
    found = drift(images(600, 0), images(6, 1), draws=199)
    assert [one.p for one in found] == [None, None, None]
    assert not any(one.alarm for one in found)


def test_the_seed_decides_the_result() -> None:
    one, again = (drift(images(200, 0), images(20, 1), seed=3, draws=99) for _ in range(2))
    assert one == again


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="0 images arrived and 20 are indexed"):
        drift(images(20, 0), images(0, 1))


def test_metrics_tell_each_view_and_what_moved() -> None:
    metrics = DriftMetrics()
    metrics.show(drift(images(600, 0), images(40, 1, shift=2.0), draws=199), at=1000.0)
    value = metrics.registry.get_sample_value
    assert value("xemplar_drift_alarm", {"view": "PA"}) == 1
    assert value("xemplar_drift_alarm", {"view": ALL_VIEWS}) == 0
    assert value("xemplar_drift_moved", {"view": "PA", "property": "age"}) == 0
    assert value("xemplar_drift_images", {"view": "PA"}) == 20
    assert value("xemplar_drift_compared_timestamp_seconds") == 1000
    metrics.show([], at=2000.0)
    assert value("xemplar_drift_alarm", {"view": "PA"}) is None
