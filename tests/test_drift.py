"""What training on does to a loss, where training is SGD with noise on a quadratic and all of it is known."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from diag.landscapes.drift import MIN_DRAWS, UPDATES, Walk, drift
from diag.landscapes.place import COUNTS, place
from diag.landscapes.point import SharpnessError
from diag.landscapes.sharpness import sharpness
from probes import Measure
from tests.losses import Loss

EARLY, LATE = range(20, 40), range(100, 120)
GAP = LATE.start - EARLY.start


@dataclass
class Training:
    """θ ← θ − η(Λθ + σξ) on L = level + ½θᵀΛθ; curvature over three decades, as nets have it."""

    p: int = 100
    rate: float = 0.05
    noise: float = 1.0
    level: float = 10.0
    """In units of what the noise ball adds to the loss."""

    def __post_init__(self) -> None:
        self.curvature = torch.logspace(-2.4, 0.6, self.p, dtype=torch.float64)
        self.keep = 1 - self.rate * self.curvature
        self.spread = self.rate * self.noise / (1 - self.keep**2).sqrt()
        self.ball = float((self.curvature * self.spread**2).sum() / 2)

    @property
    def scale(self) -> float:
        return self.level * self.ball

    def loss(self, x: Tensor) -> Tensor:
        return self.scale + (self.curvature * x**2).sum(-1) / 2

    def at_rest(self, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return self.spread * torch.randn(self.p, generator=generator, dtype=torch.float64)

    def walk(self, start: Tensor, m: int, seed: int) -> Walk:
        generator = torch.Generator().manual_seed(seed)
        x = start.expand(m, -1)
        sums = {EARLY: torch.zeros_like(x), LATE: torch.zeros_like(x)}
        for update in range(1, LATE.stop):
            push = torch.randn(x.shape, generator=generator, dtype=x.dtype)
            x = self.keep * x - self.rate * self.noise * push
            for window, total in sums.items():
                if update in window:
                    total += x
        return Walk(sums[EARLY] / len(EARLY), sums[LATE] / len(LATE), GAP)

    def expected(self, start: Tensor) -> float:
        """E [L(late) − L(early)] from ``start``, for UPDATES updates and as a share of the scale."""
        losses = []
        for window in (EARLY, LATE):
            times = torch.tensor(list(window), dtype=torch.float64)[:, None]
            mean = (self.keep**times).mean(0) * start
            # Cov(θ_s, θ_t) = keep^|s−t| · spread² · (1 − keep^2min(s, t)), averaged over the window
            apart, first = abs(times - times.T), torch.minimum(times, times.T)
            of_pairs = self.keep ** apart[..., None] * (1 - self.keep ** (2 * first[..., None]))
            variance = self.spread**2 * of_pairs.mean((0, 1))
            losses.append(float((self.curvature * (mean**2 + variance)).sum() / 2))
        return (losses[1] - losses[0]) / self.scale * UPDATES / GAP


def taken(loss: Loss, walk: Walk, scale: float | None = None) -> Measure:
    return drift(loss, walk.early, walk.late, walk.updates, scale=scale).change


def bounds(change: Measure) -> tuple[float, float, float]:
    assert change.value is not None
    assert change.low is not None
    assert change.high is not None
    return change.value, change.low, change.high


@pytest.mark.long
def test_a_training_at_rest_is_not_taken_for_a_descent() -> None:
    """The checkpoint is one draw of the noise, from which most of the loss of the ball could be taken."""
    training, called, values, below = Training(400), 0, [], []
    for seed in range(120):
        start = training.at_rest(seed)
        walk = training.walk(start, 16, 1000 + seed)
        value, _, high = bounds(taken(training.loss, walk, training.scale))
        called += high < -COUNTS
        values.append(value)
        means = (training.loss(window.mean(0)) for window in (walk.early, walk.late))
        below.append(-float(next(means) - next(means)) / training.scale * UPDATES / GAP)
    assert called / 120 <= 0.07
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(120)
    assert np.mean(below) < -0.1  # what the loss at the mean over continuations would say


@pytest.mark.long
def test_at_rest_the_gradient_may_promise_what_training_does_not_keep() -> None:
    training, walked = Training(400), []
    for seed in range(20):
        start = training.at_rest(seed)
        assert place(sharpness(training.loss, start)).kind == "descending"
        walk = training.walk(start, 16, 1000 + seed)
        walked.append(place(sharpness(training.loss, start, walk=walk)).kind)
    assert walked.count("descending") <= 2


@pytest.mark.parametrize("m", [8, 32])
@pytest.mark.parametrize("far", [0.0, pytest.param(5.0, marks=pytest.mark.long)])
def test_the_interval_holds_what_is_known_to_happen(m: int, far: float) -> None:
    """At rest, and on the way down from five times as far, from one checkpoint each."""
    training = Training(50)
    start = training.at_rest(3) + far * training.spread
    truth, held, values = training.expected(start), 0, []
    for seed in range(200):
        value, low, high = bounds(taken(training.loss, training.walk(start, m, seed), training.scale))
        held += low <= truth <= high
        values.append(value)
    assert np.mean(values) == pytest.approx(truth, abs=4 * np.std(values) / math.sqrt(200))
    assert 0.90 <= held / 200 <= 0.99
    assert (truth < -1) == (far > 0)


def test_far_from_the_minimum_it_descends_by_what_it_says() -> None:
    training = Training()
    start = training.at_rest(0) + 5 * training.spread
    found = sharpness(training.loss, start, walk=training.walk(start, 16, 0), scale=training.scale)
    assert found.drift is not None
    value, low, high = bounds(found.drift.change)
    assert value == pytest.approx(training.expected(start), rel=0.1)
    said = place(found)
    assert said.kind == "descending"
    assert said.summary == (
        f"Still descending: training on from here changes the loss by {value:.1%} [{low:.1%}, {high:.1%}] "
        "over the next 1,000 updates (measured over 80)."
    )
    assert (found.drift.updates, found.drift.draws, found.drift.relative) == (GAP, 16, True)


@pytest.mark.parametrize("signal", [0.0, 0.1])
def test_the_share_of_signal_is_unbiased(signal: float) -> None:
    """Ways of mean ``signal`` and deviation 0.1 in each of 20 parameters."""
    shares, held = [], 0
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        late = signal + 0.1 * torch.randn(12, 20, generator=generator, dtype=torch.float64)
        share = drift(lambda x: x.sum(), torch.zeros_like(late), late, 80, scale=1.0).share
        value, low, high = bounds(share)
        shares.append(value)
        held += low <= (truth := signal**2 / (signal**2 + 0.01)) <= high
    assert np.mean(shares) == pytest.approx(truth, abs=4 * np.std(shares) / math.sqrt(200) + 0.005)
    assert 0.88 <= held / 200 <= 0.99


def test_the_change_is_given_for_a_thousand_updates_whatever_was_walked() -> None:
    early = torch.ones(5, 3, dtype=torch.float64)
    for updates, change in ((10, -25.0), (1000, -0.25), (4000, -0.0625)):
        found = drift(lambda x: x.sum(), early, early * 0.75, updates)  # scale: the loss of 3 itself
        assert bounds(found.change) == pytest.approx((change,) * 3)
    loose = drift(lambda x: x.sum(), early, early * 0.75, 100, scale=0.0)
    assert not loose.relative
    assert loose.change.value == pytest.approx(-7.5)


def test_equal_windows_change_nothing() -> None:
    here = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    found = drift(lambda x: x.square().sum(), here, here.clone(), 80)
    assert found.change == Measure(0.0, 0.0, 0.0)
    assert found.share.reason == "no continuation moves anything"


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_what_is_not_finite_has_no_drift(value: float) -> None:
    here, gone = torch.ones(5, 4), torch.ones(5, 4)
    gone[2, 1] = value
    cases = ((here, gone, 0.0), (gone, here, 0.0), (here, here, value))  # a window, or the loss
    for early, late, more in cases:
        found = drift(lambda x, more=more: x[0] + more, early, late, 80)
        for measure in (found.change, found.share):
            assert measure.value is None
            assert measure.reason is not None
            assert "not finite" in measure.reason
        json.dumps(found.to_tree(), allow_nan=False)
    lost = place(sharpness(lambda x: 1 + (x - 1).square().sum(), torch.ones(4), walk=Walk(here, gone, 80)))
    assert lost.kind == "minimum"
    assert "is not known" in lost.summary


@pytest.mark.parametrize(
    ("early", "late", "updates", "said"),
    [
        (torch.ones(2), torch.ones(2), 80, "shapes (2,) and (2,), expected (m, P) twice"),
        (torch.ones(5, 2), torch.ones(5, 3), 80, "shapes (5, 2) and (5, 3)"),
        (
            torch.ones(MIN_DRAWS - 1, 2),
            torch.ones(MIN_DRAWS - 1, 2),
            80,
            "3 continuations, expected at least 4",
        ),
        (torch.ones(5, 2), torch.ones(5, 2), 0, "a walk of 0 updates"),
    ],
)
def test_walks_that_are_none_are_refused(early: Tensor, late: Tensor, updates: int, said: str) -> None:
    for attempt in (Walk, lambda *walk: drift(lambda x: x.sum(), *walk)):
        with pytest.raises(SharpnessError) as caught:
            attempt(early, late, updates)
        assert said in str(caught.value)
