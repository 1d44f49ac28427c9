"""diag.watch on embeddings whose way is made up: what it says, when it stops, and that the two agree."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

import diag
from diag.forecasts.model import FIRST_STOP, Probability, limit_words, percent, read_model
from diag.forecasts.rest import AT_REST, LEAST_REST, Rest
from diag.forecasts.watch import Watch

Floats = NDArray[np.float64]
UPDATES = 8000
MODEL = read_model()
BASE = np.random.default_rng(0).normal(size=(31, 2)) * [1.0, 0.7]


def mirrored(base: Floats) -> Floats:
    return np.asarray(base * np.array([-1.0, *[1.0] * (base.shape[1] - 1)]))


def watched(
    at: Callable[[float], Floats], base: Floats = BASE, steps: Iterable[int] = range(UPDATES)
) -> tuple[Watch, int | None]:
    """The watch after a loop that stops when it says so, and the step at which it did."""
    watch = diag.watch(base, updates=UPDATES, model=MODEL, quiet=True)
    for step in steps:
        if watch(step, lambda done=(step + 1) / UPDATES: at(done)):  # type: ignore[misc]
            return watch, step
    return watch, None


def hovering(x: Floats, by: float) -> Callable[[float], Floats]:
    """An embedding that is somewhere near x at each look, by so much of the base's spread."""
    spread = float(np.square(BASE - BASE.mean(0)).sum(1).mean()) ** 0.5

    def at(done: float) -> Floats:
        noise = np.random.default_rng(round(done * UPDATES)).normal(size=x.shape)
        return np.asarray(x + by * spread * noise / np.sqrt(x.shape[1]))

    return at


@pytest.mark.parametrize(
    ("dimensions", "rows"),
    [
        (2, 31),
        (16, 200),
        pytest.param(2, 200, marks=pytest.mark.long),
        pytest.param(5, 60, marks=pytest.mark.long),
    ],
)
def test_an_exact_mirror_image_is_stopped(dimensions: int, rows: int) -> None:
    """Whatever the models make of it, which in 16 dimensions take it for one that lands."""
    base = np.random.default_rng(1).normal(size=(rows, dimensions))
    watch, stopped = watched(lambda done: mirrored(base), base)
    assert stopped == UPDATES // 10 - 1
    last = watch.looks[-1]
    assert (last.share, last.stop) == (0.1, True)
    assert last.rest is not None
    assert (last.rest.relation, last.rest.axes, last.rest.since) == ("flipped", (0,), 0.01)
    assert str(last).startswith(
        "10% of the updates: stop. The embedding lies flipped (negated: 0), and has not"
    )
    assert "since 1% of them" in str(last)


@pytest.mark.long
def test_the_chance_of_what_stands_elsewhere_does_not_rise() -> None:
    """84% → 2% → 6% says that less time helps."""
    watch = diag.watch(BASE, updates=UPDATES, model=MODEL, quiet=True)
    for step in range(UPDATES):
        watch(step, lambda: mirrored(BASE))  # a loop that takes no advice
    chances = [look.probability for look in watch.looks]
    assert len(chances) == len(MODEL.shares)
    raw = [MODEL.probability(look.measures, look.share).value for look in watch.looks]
    assert any(later > before for before, later in pairwise(raw))
    for before, later in pairwise(chances):
        assert later.value <= before.value
        assert later.high <= before.high
    assert all(p.low <= p.value <= p.high for p in chances)
    assert [look.stop for look in watch.looks] == [look.share >= FIRST_STOP for look in watch.looks]


@pytest.mark.long
def test_the_chance_of_what_stands_matched_does_not_fall() -> None:
    watch, stopped = watched(lambda done: BASE + 0.001)
    assert stopped is None
    chances = [look.probability for look in watch.looks]
    assert all(later.value >= before.value for before, later in pairwise(chances))
    assert all(look.rest is not None and look.rest.relation == "matched" for look in watch.looks[1:])
    assert all(look.moved == 0 for look in watch.looks[1:])
    assert chances[-1].value > 0.9


@pytest.mark.parametrize("leaves", [0.2, 0.4])
def test_a_mirror_image_that_hovers_and_escapes_later_is_not_stopped_as_one_at_rest(leaves: float) -> None:
    """It moves by 5% of the spread between looks, as transfers of the maze do that escape."""
    stays, lands = hovering(mirrored(BASE), 0.05), hovering(BASE, 0.05)
    watch, stopped = watched(lambda done: stays(done) if done < leaves else lands(done))
    assert stopped is None
    assert all(look.rest is None for look in watch.looks)
    assert all(look.moved is not None and look.moved > AT_REST for look in watch.looks[1:])
    assert watch.looks[-1].probability.value > 0.9


@pytest.mark.long
def test_one_that_escapes_from_rest_is_forecast_afresh() -> None:
    """The advice was to stop, and was not taken; what was said of the place that it has left is forgotten."""
    watch = diag.watch(BASE, updates=UPDATES, model=MODEL, quiet=True)
    for step in range(UPDATES):
        watch(step, lambda done=step / UPDATES: mirrored(BASE) if done < 0.2 else BASE)  # type: ignore[misc]
    assert [look.stop for look in watch.looks] == [False, False, False, True, True, False, False, False]
    landed = watch.looks[5]
    assert landed.rest is None
    assert landed.probability == MODEL.probability(landed.measures, landed.share)
    assert watch.looks[-1].probability.value > 0.9


@pytest.mark.long
def test_matched_from_the_beginning_is_not_stopped() -> None:
    for at in (lambda done: BASE, hovering(BASE, 0.05), hovering(BASE, 0.15)):
        watch, stopped = watched(at)
        assert stopped is None
        assert watch.looks[-1].probability.value > 0.5


def test_noise_that_changes_is_not_at_rest_and_noise_that_stays_is() -> None:
    def other(done: float) -> Floats:
        return np.random.default_rng(round(done * UPDATES)).normal(size=BASE.shape)

    assert all(look.rest is None for look in watched(other)[0].looks)
    same = np.random.default_rng(5).normal(size=BASE.shape)
    watch, stopped = watched(lambda done: same)
    rest = watch.looks[-1].rest
    assert rest is not None
    assert rest.relation in ("unrelated", "collapsed", None)
    assert watch.looks[-1].stop or not rest.astray
    assert (stopped is not None) == any(look.stop for look in watch.looks)


@pytest.mark.parametrize(
    "every",
    [
        7,
        800,
        pytest.param(1, marks=pytest.mark.long),
        pytest.param(400, marks=pytest.mark.long),
        pytest.param(2000, marks=pytest.mark.long),
    ],
)
def test_called_rarely_or_often_it_stops_where_the_evidence_is(every: int) -> None:
    """At the first call from 10% on that comes 5% of the budget after one that saw the same place."""
    steps = range(every - 1, UPDATES, every)
    watch, stopped = watched(lambda done: mirrored(BASE), steps=steps)
    assert stopped is not None
    share, first = (stopped + 1) / UPDATES, watch.looks[0].share
    assert share >= FIRST_STOP - 1e-9
    assert share - first >= LEAST_REST - 1e-9
    assert all(not look.stop for look in watch.looks[:-1])
    assert len(watch.looks) <= len(MODEL.shares)


def test_an_array_that_is_written_over_is_seen_to_move() -> None:
    place = mirrored(BASE).copy()

    def embed(done: float) -> Floats:
        place[:] = hovering(mirrored(BASE), 0.05)(done)
        return place

    assert all(look.moved is not None and look.moved > AT_REST for look in watched(embed)[0].looks[1:])


def test_it_drifts_slowly_and_is_not_at_rest() -> None:
    """Each look within 1% of the one before, but not of where it was: the way is counted from there."""
    looks = {share: number for number, share in enumerate(MODEL.shares)}

    def at(done: float) -> Floats:
        return np.asarray(mirrored(BASE) + [0.009 * looks[round(done, 2)], 0.0])

    watch = watched(at)[0]
    assert [look.rest is not None for look in watch.looks[:4]] == [False, True, False, True]


@pytest.mark.parametrize("relation", ["matched", "affine", "rescaled", None])
def test_only_what_lies_surely_elsewhere_is_stopped(relation: str | None) -> None:
    rest = Rest(0.1, relation, ())  # type: ignore[arg-type]
    assert not rest.stops(0.9)
    assert Rest(0.1, "permuted", ()).stops(0.15)
    assert not Rest(0.1, "permuted", ()).stops(0.14)
    assert not Rest(0.01, "permuted", ()).stops(0.09)


def test_bounds_keep_an_interval_around_its_value() -> None:
    before, now = Probability(0.1, 0.05, 0.2), Probability(0.4, 0.3, 0.6)
    assert Rest(0.1, "flipped", (0,)).bounded(now, before, "matched") == Probability(0.1, 0.1, 0.2)
    assert Rest(0.1, "matched", ()).bounded(before, now, "matched") == Probability(0.4, 0.3, 0.4)
    assert Rest(0.1, "matched", ()).bounded(before, now, "succeeded") == before
    assert Rest(0.1, "affine", ()).bounded(now, before, "matched") == now


@pytest.mark.long
def test_every_look_shows_its_limit_and_its_words_are_its_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    for at in (hovering(mirrored(BASE), 0.3), hovering(BASE, 0.05), lambda done: mirrored(BASE)):
        watch = diag.watch(BASE, updates=UPDATES, model=MODEL)
        for step in range(UPDATES):
            watch(step, lambda done=(step + 1) / UPDATES, at=at: at(done))  # type: ignore[misc]
        lines = capsys.readouterr().err.splitlines()
        assert lines == [str(look) for look in watch.looks] == str(watch).splitlines()
        for look in watch.looks:
            words, p = str(look), look.probability
            assert words.startswith(f"{look.share:.0%} of the updates: ")
            assert f"{percent(p.value)} [{percent(p.low)}, {percent(p.high)}]" in words
            assert look.stop_below == (MODEL.stop_below[look.share] or None)
            at_rest = look.rest is not None and look.rest.stops(look.share)
            below = look.stop_below is not None and p.value < look.stop_below
            assert look.stop == (at_rest or below)
            assert bool(re.search(r"\bstop\b", words)) == look.stop
            if not look.stop:
                assert words.endswith(limit_words(look.stop_below))
            elif not at_rest:
                assert f"which is below {percent(look.stop_below or 0)}; stop" in words


def test_it_says_what_it_is() -> None:
    watch = diag.watch(BASE, updates=UPDATES, model=MODEL, quiet=True)
    assert repr(watch) == "<diag.watch of 31 states in 2 dimensions over 8,000 updates: 0 looks>"
    assert str(watch) == "No look yet: the first is at 1% of the 8,000 updates."
    watch(799, lambda: mirrored(BASE))
    assert repr(watch).startswith(
        "<diag.watch of 31 states in 2 dimensions over 8,000 updates: 1 look, the last: 10%"
    )
    assert "\n" not in repr(watch)
