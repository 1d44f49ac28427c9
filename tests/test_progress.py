"""How far long work is: a bar that moves steadily, and few lines in a log."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from diag.commands.progress import _lines, in_percent, progress_bar
from diag.commands.timing import Pace


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def log(steps: list[tuple[float, int]], total: int, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of work that does so much after so many seconds each."""
    clock = Clock()
    with _lines("training", total, clock) as advance:
        for seconds, count in steps:
            clock.now += seconds
            advance(count)
    return capsys.readouterr().err.splitlines()


def test_a_log_gets_a_beginning_quarters_and_an_end_with_the_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert log([(1.0, 1)] * 100, 100, capsys) == [
        "training: begun",
        "training: 25%, about 1 min 15 s left",
        "training: 50%, about 50 s left",
        "training: 75%, about 25 s left",
        "training: done in 1 min 40 s",
    ]


def test_what_is_counted_has_a_rate(capsys: pytest.CaptureFixture[str]) -> None:
    assert log([(10.0, 20_000)] * 4, 80_000, capsys)[1] == "training: 25%, 2,000/s, about 30 s left"


def test_short_work_has_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert log([(0.1, 1)] * 40, 40, capsys) == ["training: begun", "training: done in 4 s"]


def test_one_leap_has_no_line_for_each_quarter(capsys: pytest.CaptureFixture[str]) -> None:
    assert log([(10.0, 80), (10.0, 20)], 100, capsys) == [
        "training: begun",
        "training: 80%, about 2 s left",
        "training: done in 20 s",
    ]


def test_work_that_was_stopped_is_not_called_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert log([(30.0, 40)], 100, capsys)[-1] == "training: ended at 40% after 30 s"


def test_nothing_is_said_of_brief_or_quiet_work(capsys: pytest.CaptureFixture[str]) -> None:
    for quiet, brief in ((True, False), (False, True)):
        with progress_bar("work", 100, quiet, brief) as advance:
            advance(100)
    assert capsys.readouterr().err == ""


def drawn(
    reports: Iterator[tuple[float, int]], total: int, until: float
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """What a bar shows, ten times a second."""
    pace, told, now, seen = Pace(total, 0.0), list(reports), 0.0, []
    while now < until:
        while told and told[0][0] <= now:
            pace.report(told.pop(0)[1], now)
        seen.append(pace.shown(now))
        now += 0.1
    return np.array(seen)


def test_a_bar_moves_steadily_between_reports_that_are_far_apart() -> None:
    """Ten steps of 10, one every 6 seconds: after the first it never stands still, leaps, or goes back."""
    seen = drawn(((6.0 * k, 10) for k in range(1, 11)), 100, 66.0)
    moves = np.diff(seen[70:595])
    assert (np.diff(seen) >= 0).all()
    assert (moves > 0).mean() > 0.9
    assert moves.max() < 1.5
    assert seen[-1] == 100


def test_a_bar_is_never_a_step_ahead_nor_full_before_its_end() -> None:
    seen = drawn(iter([(5.0, 20), (10.0, 20)]), 100, 300.0)
    assert seen.max() < 60
    assert seen[-1] == pytest.approx(58, abs=0.1)


def test_percent_of_any_count() -> None:
    told: list[int] = []
    step = in_percent(told.append)
    for done in range(1, 8):
        step(done, 7)
    assert sum(told) == 100


def test_time_left_is_that_at_the_mean_speed() -> None:
    pace = Pace(100, 0.0)
    assert pace.left(5.0) is None
    pace.report(25, 10.0)
    assert pace.left(10.0) == pytest.approx(30.0)
    assert pace.left(16.0) == pytest.approx(24.0)
    assert pace.time_in_words(16.0) == "16 s, about 24 s left"
