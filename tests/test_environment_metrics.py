"""Environment metrics: the paper's ratios, where they say nothing, levels, and their intervals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from diag.studies import StudyError
from diag.studies.environments.bootstrap import Units, combined, mean
from diag.studies.environments.metrics import NEAR_ZERO, NO_SCRATCH, NO_ZERO, SIGN, metrics_of
from diag.studies.environments.reaching import Run
from tests.environment_runs import curve, everything, found, look, run
from trainers.system import Share

CAUGHT = Share("share of balls caught", 0.5, 0.5)


def test_a_metric_is_the_mean_over_runs_over_the_mean_from_scratch() -> None:
    rows = [run("update-all", base, 0, score) for base, score in enumerate((4.0, 8.0, 3.0))]
    rows += [run("from-scratch", 0, seed, score) for seed, score in enumerate((1.0, 2.0, 6.0))]
    (only,) = metrics_of(found(rows)).looks
    entry = only.entry("update-all")
    assert entry is not None
    ratio = entry.earned["end"].over_scratch
    assert ratio.value == pytest.approx(5 / 3)  # and not the mean of the ratios
    assert ratio.low is not None
    assert ratio.high is not None
    assert ratio.low < 5 / 3 < ratio.high
    random, scratch = only.entry("random"), only.entry("from-scratch")
    assert random is not None
    assert scratch is not None
    assert random.earned["end"].over_scratch.value == pytest.approx(1 / 3)
    assert scratch.earned["end"].over_scratch.value == 1.0
    assert (entry.runs, entry.bases, scratch.runs, scratch.bases) == (3, 3, 3, 0)


def test_from_scratch_is_one_run_a_seed_whatever_base_it_stands_under() -> None:
    rows = [run("from-scratch", base, seed, 2.0 + seed) for base in (0, 1) for seed in (0, 1)]
    (only,) = metrics_of(found([*rows, run("update-all", 0, 0, 5.0)])).looks
    scratch = only.entry("from-scratch")
    assert scratch is not None
    assert scratch.runs == 2


def test_bases_are_resampled_whole() -> None:
    """Many transfers of two bases are two units: their interval is not that of so many runs."""
    two = Units.of([0.0] * 20 + [1.0] * 20, [0] * 20 + [1] * 20)
    single = Units.of([0.0] * 20 + [1.0] * 20, range(40))
    wide, narrow = mean(two), mean(single)
    assert (wide.low, wide.high) == (0.0, 1.0)
    assert narrow.low is not None
    assert narrow.high is not None
    assert narrow.low > 0.25
    assert narrow.high < 0.75


@pytest.mark.numeric
def test_intervals_of_five_cover_what_they_should() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        found_mean = mean(Units.of(rng.normal(1.0, 0.3, size=5).tolist(), range(5)))
        assert found_mean.low is not None
        assert found_mean.high is not None
        covered += found_mean.low <= 1.0 <= found_mean.high
    assert 0.87 < covered / 300 < 0.97


def test_one_unit_has_no_interval_and_none_no_number() -> None:
    one, none = Units.of([2.0], [0]), Units.of([np.nan], [0])
    assert mean(one).low is None
    assert mean(none).value is None
    assert combined(np.divide, one, none, "none").reason == "none"
    assert combined(np.divide, one, Units.of([1.0, 2.0], [0, 1]), "").value == pytest.approx(4 / 3)


def test_ratios_of_returns_that_change_sign_are_refused_and_the_returns_given() -> None:
    rows = [run("update-all", b, 0, 0.7) for b in (0, 1)] + [run("from-scratch", 0, s, 0.5) for s in (0, 1)]
    (only,) = metrics_of(found(rows, looks=[look(random=-0.4)])).looks
    for entry in only.entries:
        assert entry.earned["end"].over_scratch.reason == SIGN
        assert entry.earned["end"].share is None
    assert only.entries[1].earned["end"].score.value == pytest.approx(0.7)


def test_a_denominator_near_zero_is_refused() -> None:
    rows = [run("update-all", b, 0, 3.0) for b in (0, 1)]
    rows += [run("from-scratch", 0, s, v) for s, v in enumerate((0.0, 0.0, 0.3))]
    (only,) = metrics_of(found(rows, looks=[look(random=0.0)])).looks
    assert only.entries[1].earned["end"].over_scratch.reason == NEAR_ZERO


def test_where_the_world_names_a_share_ratios_are_of_it() -> None:
    """All returns are positive here, and yet a ratio of them would say nothing."""
    rows = [run("update-all", b, 0, 0.8) for b in (0, 1)] + [run("from-scratch", 0, s, 0.2) for s in (0, 1)]
    result = metrics_of(found(rows, looks=[look(random=0.1, share=CAUGHT)]))
    earned = result.looks[0].entries[1].earned["end"]
    assert result.share == CAUGHT.name
    assert earned.over_scratch.reason == NO_ZERO
    assert earned.share is not None
    assert earned.share_over_scratch is not None
    assert earned.share.value == pytest.approx(0.9)
    assert earned.share_over_scratch.value == pytest.approx(0.9 / 0.6)
    random = result.looks[0].entries[0].earned["end"].share_over_scratch
    assert random is not None
    assert random.value == pytest.approx(0.55 / 0.6)


def test_a_look_without_runs_from_scratch_has_none_of_their_ratios() -> None:
    rows = [run("update-all", 0, 0, 3.0), run("from-scratch", 0, 0, 2.0)]
    rows.append(run("update-all", 0, 0, 3.0, name="other"))
    result = metrics_of(found(rows, looks=[look(), look("other")]))
    assert result.looks[1].entries[1].earned["end"].over_scratch.reason == NO_SCRATCH
    assert result.looks[1].level.score is None


def test_areas_weigh_points_by_the_updates_since_the_one_before() -> None:
    uneven = Run(np.array([10.0, 40.0, 100.0]), np.array([0.0, 1.0, 2.0]), 100.0)
    assert uneven.area() == pytest.approx((0 * 10 + 1 * 30 + 2 * 60) / 100)
    assert uneven.end() == 2.0


def test_a_level_is_reached_by_an_average_and_not_by_one_lucky_point() -> None:
    step = np.arange(1, 101, dtype=float)
    score = np.where(step == 30, 1.0, np.where(step > 60, 1.0, 0.0))
    assert Run(step, score, 100.0).reached(0.9) == 65.0
    assert Run(step, np.ones(100), 100.0).reached(0.9) == 5.0  # the least that can be told
    assert Run(step, np.zeros(100), 100.0).reached(0.9) is None
    assert Run(np.array([100.0]), np.array([1.0]), 100.0).reached(0.9) == 100.0


def test_frames_to_the_level_and_runs_that_never_reach_it() -> None:
    rows, points = [], []
    for seed in range(3):
        rows.append(run("from-scratch", 0, seed, 3.0))
        points += curve(rows[-1], [1.0] * 10 + [3.0] * 10)
        rows.append(run("update-all", seed, 0, 3.0))
        points += curve(rows[-1], [1.0] * 3 + [3.0] * 17)
        rows.append(run("freeze-head", seed, 0, 3.0))
        points += curve(rows[-1], [1.0] * 20 if seed else [3.0] * 20)
    (only,) = metrics_of(found(rows, points)).looks
    assert only.level.score == pytest.approx(1 + 0.9 * 2)
    all_of, some = only.entry("update-all"), only.entry("freeze-head")
    assert all_of is not None
    assert all_of.reached is not None
    assert (all_of.reached.count, all_of.reached.never, all_of.reached.bound) == (3, 0, "")
    assert all_of.reached.frames.value == 20 * 10
    assert all_of.reached.speed.value == pytest.approx(55 / 20)
    assert some is not None
    assert some.reached is not None
    assert (some.reached.count, some.reached.never, some.reached.bound) == (1, 2, "at most")
    assert some.reached.frames.value == pytest.approx((5 + 100 + 100) * 10 / 3)
    asked = metrics_of(found(rows, points), threshold=9.0).looks[0]
    assert asked.level.score == 9.0
    assert all(e.reached is None or e.reached.speed.value is None for e in asked.entries)


@pytest.mark.parametrize(
    ("scratch", "words"), [(1.0, "not surely better"), (1.05, "next to nothing")], ids=["chance", "hardly"]
)
def test_there_is_no_level_where_scratch_learns_nothing(scratch: float, words: str) -> None:
    rows, points = [], []
    for seed in range(3):
        rows += [run("from-scratch", 0, seed, scratch), run("update-all", seed, 0, 9.0)]
        points += curve(rows[-2], [scratch] * 20) + curve(rows[-1], [9.0] * 20)
    (only,) = metrics_of(found(rows, points)).looks
    assert only.level.score is None
    assert words in only.level.words


def test_what_a_study_lacks_is_said_in_one_line() -> None:
    whole = everything()
    lacking = {
        "no scores": replace(whole, runs=whole.runs.assign(score=np.nan)),
        "from scratch": replace(whole, runs=whole.runs[~whole.runs["fresh"]]),
        "random agent": replace(whole, looks=tuple(replace(one, standards=()) for one in whole.looks)),
    }
    for words, less in lacking.items():
        with pytest.raises(StudyError, match=words) as error:
            metrics_of(less)
        assert "\n" not in str(error.value)
    with pytest.raises(StudyError, match="threshold of nan"):
        metrics_of(whole, float("nan"))


def test_without_curves_the_end_is_judged_and_the_rest_is_missing() -> None:
    result = metrics_of(replace(everything(), curves=found([run("update-all", 0, 0, 1.0)]).curves))
    assert result.curves.empty
    assert list(result.asked) == ["end"]
    assert result.looks[0].entries[1].earned["area"].score.value is None
    assert "no curves" in result.looks[0].level.words
