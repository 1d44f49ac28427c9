"""p-values: right for unrelated embeddings, small for related ones, refused where nothing can be said."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

import probes
from probes import ProbeError
from probes._nulls import _Traces, pearson_tail, permutation_moments, singular_sums

Array = NDArray[np.float64]


def walk(n: int, d: int, rho: float, rng: np.random.Generator) -> Array:
    """An AR(1) rollout of variance 1."""
    noise = np.sqrt(1 - rho**2) * rng.normal(size=(n + 300, d))
    return np.asarray(lfilter([1], [1, -rho], noise, axis=0))[300:]


def rejected(p: list[float | None], level: float = 0.05) -> float:
    return float(np.mean([v is not None and v <= level for v in p]))


def test_moments_over_all_permutations_are_exact() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 2)) ** 3, rng.normal(size=(6, 3))
    x, y = x - x.mean(0), y - y.mean(0)
    k, m = x @ x.T, y @ y.T
    every = np.array([(k * m[np.ix_(order, order)]).sum() for order in map(list, permutations(range(6)))])
    mean, variance, _ = permutation_moments(6, _Traces.of(x), _Traces.of(y))
    assert mean == pytest.approx(every.mean())
    assert variance == pytest.approx(every.var())


def test_the_tail_of_one_degree_of_freedom_is_that_of_chi_square() -> None:
    from scipy.stats import chi2

    for value in (0.1, 1.0, 3.84, 10.0):
        assert pearson_tail((value - 1) / np.sqrt(2), np.sqrt(8)) == pytest.approx(chi2.sf(value, 1))


def test_singular_sums_of_two_by_two_are_those_of_the_decomposition() -> None:
    c = np.random.default_rng(0).normal(size=(50, 2, 2))
    expected = np.linalg.svd(c, compute_uv=False).sum(1)
    np.testing.assert_allclose(singular_sums(c), expected)


@pytest.mark.parametrize(
    ("measure", "null"),
    [
        ("cka", "moments"),
        ("cca", "moments"),
        ("cka", "permutation"),
        ("cca", "permutation"),
        ("procrustes", "permutation"),
        ("cka", "shift"),
    ],
)
def test_unrelated_rows_are_rejected_as_often_as_they_should_be(measure: str, null: str) -> None:
    """At the 10% level, 200 pairs: 3% to 18% is what chance allows 999 times in 1000."""
    found = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(2, 60, 3))
        kind = probes.independence(x, y, measure=measure, null=null, draws=99, seed=seed)  # type: ignore[arg-type]
        found.append(kind.p)
    assert 0.03 <= rejected(found, 0.1) <= 0.18


@pytest.mark.parametrize("n", [60, 1500])
def test_the_moments_agree_with_the_permutations(n: int) -> None:
    """Fewer rows than draws are permuted one order at a time, more by shifts after a relabelling."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 3))
    y = rng.normal(size=(n, 4)) + 1.2 / np.sqrt(n) * x[:, [0, 1, 2, 0]]
    exact = probes.independence(x, y, null="permutation", draws=1000)
    fast = probes.independence(x, y)
    assert exact.p is not None
    assert 0.001 < exact.p < 0.9
    assert fast.p == pytest.approx(exact.p, abs=0.05)
    assert fast.value == pytest.approx(probes.cka(x, y, interval=False).value)
    assert fast.mean == pytest.approx(exact.mean, rel=0.1)
    assert fast.deviation == pytest.approx(exact.deviation, rel=0.2)


@pytest.mark.parametrize("measure", ["cka", "cca", "procrustes"])
def test_a_mirror_image_is_no_chance(measure: str) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(300, 4))
    x = -y + 0.5 * rng.normal(size=y.shape)
    found = probes.independence(x, y, measure=measure)  # type: ignore[arg-type]
    assert found.p is not None
    assert 0 < found.p <= 0.001
    assert found.value == pytest.approx(getattr(probes, measure)(x, y, interval=False).value)


def test_rows_of_a_rollout_are_not_exchangeable_but_shifts_and_episodes_are() -> None:
    """The trap that every library leaves open: 100% false positives at ρ = 0.9 by permuting rows."""
    by_rows, by_shift, by_episode = [], [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x, y = walk(1000, 3, 0.9, rng), walk(1000, 3, 0.9, rng)
        by_rows.append(probes.independence(x, y).p)
        by_shift.append(probes.independence(x, y, null="shift").p)
        groups = np.arange(1000) // 50
        by_episode.append(probes.independence(x, y, groups=groups, draws=199, seed=seed).p)
    assert rejected(by_rows) > 0.9
    assert rejected(by_shift) <= 0.15
    assert rejected(by_episode) <= 0.15


def test_a_rollout_that_is_short_against_its_memory_has_no_p() -> None:
    rng = np.random.default_rng(0)
    found = probes.independence(walk(200, 2, 0.98, rng), walk(200, 2, 0.98, rng), null="shift")
    assert found.p is None
    assert "200 steps of a rollout that remembers" in (found.reason or "")


def test_memory_of_an_ar1_rollout_in_closed_form() -> None:
    """1 + 2·Σ ρ^2k = (1 + ρ²)/(1 − ρ²)."""
    rng = np.random.default_rng(0)
    rho = 0.9
    x, y = walk(50_000, 2, rho, rng), walk(50_000, 2, rho, rng)
    assert probes.memory(x, y) == pytest.approx((1 + rho**2) / (1 - rho**2), rel=0.15)
    assert probes.memory(*rng.normal(size=(2, 1000, 2))) == pytest.approx(1, abs=0.1)
    blocks = probes.rollout_blocks(x, y)
    assert 25 <= np.bincount(blocks).max() <= 50


def test_equal_rows_are_one_state() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 30, 2))
    once, often = probes.independence(x, y), probes.independence(np.repeat(x, 20, 0), np.repeat(y, 20, 0))
    assert once.p == pytest.approx(often.p)


def test_episodes_of_other_lengths_are_cut_or_refused() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 95, 2))
    groups = np.arange(95) // 10  # nine of 10 and one of 5
    assert probes.independence(x, y, groups=groups).p is not None
    lengths = [2, 40, 40, 40, 40]
    uneven = np.arange(5).repeat(lengths)
    found = probes.independence(*rng.normal(size=(2, 162, 2)), groups=uneven)
    assert "of the rows would be lost" in (found.reason or "")
    few = probes.independence(x[:80], y[:80], groups=np.arange(80) // 20)
    assert few.reason == "4 episodes, at least 5 are needed"


def test_what_has_no_p_says_why() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 30, 2))
    assert probes.independence(np.ones_like(x), y).reason == "x is constant"
    assert probes.independence(x[:3], y[:3]).reason == "3 rows, at least 4 are needed"
    wide = probes.independence(*rng.normal(size=(2, 20, 15)), measure="cca")
    assert "more than rank x + rank y" in (wide.reason or "")
    with pytest.raises(ProbeError, match="measure is 'r2'"):
        probes.independence(x, y, measure="r2")  # type: ignore[arg-type]
    with pytest.raises(ProbeError, match="groups name episodes"):
        probes.independence(x, y, null="shift", groups=np.arange(30) // 3)
    with pytest.raises(ProbeError, match="no moments in closed form"):
        probes.independence(x, y, null="moments", measure="procrustes")
    with pytest.raises(ProbeError, match="draws is 0"):
        probes.independence(x, y, draws=0)
