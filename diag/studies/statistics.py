"""The statistics of a study: rates with intervals, exact tests, a loss as a classifier, bands over seeds.

Transfers of one base share what decides about them, so they are exchangeable within a base only. Tests
between bases and tests stratified by base take that into account; an interval of a rate pooled over bases
must resample bases (:func:`over_bases`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from probes import Measure, share

TABLES = 50_000
"""Random tables of the test of many bases: p is known to 0.001 at 0.05, and is never below 2e-5."""

RESAMPLES = 4000
"""Bootstrap samples of bases: cheap, and percentiles of fewer move in the second digit."""

BAND_RESAMPLES = 300
"""Bootstrap samples of a curve, which is drawn and not read to the second digit."""

MARGIN_OF_TIES = 1e-9
"""Log-probabilities closer than this are the same table up to rounding."""

NORMAL_95 = 1.959964
"""Standard errors on either side of a 95% interval."""

FEWEST_FOR_DIP = 4
"""The dip test is not defined for fewer values."""


@dataclass(frozen=True)
class Rate:
    """``count`` of ``n`` with Wilson's 95% interval; its ends are None where n is 0."""

    count: int
    n: int
    low: float | None
    high: float | None

    @property
    def share(self) -> float | None:
        """The count over n."""
        return self.count / self.n if self.n else None

    def to_tree(self) -> dict[str, Any]:
        return {"count": self.count, "n": self.n, "share": self.share, "low": self.low, "high": self.high}


def wilson(count: int, n: int) -> Rate:
    """A rate with its 95% interval (Wilson 1927).

    >>> rate = wilson(3, 22)
    >>> round(rate.low, 3), round(rate.high, 3)
    (0.047, 0.333)
    """
    if not n:
        return Rate(count, n, None, None)
    interval = share(count / n, n)
    return Rate(count, n, interval.low, interval.high)


def holm(p: Sequence[float]) -> list[float]:
    """The p-values of a family after Holm's step-down correction (Holm 1979), in their order.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [0.0] * len(p)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        largest = max(largest, min(1.0, p[place] * (len(p) - rank)))
        corrected[place] = largest
    return corrected


@cache
def boschloo(a: int, n: int, b: int, m: int) -> float:
    """Two-sided p of Boschloo's exact test (1970) that ``a`` of ``n`` and ``b`` of ``m`` have one rate.

    Uniformly more powerful than Fisher's. 1 where nothing could differ: no trials, or all or none succeeded.
    """
    if min(n, m) == 0 or a + b in (0, n + m):
        return 1.0
    return min(1.0, float(stats.boschloo_exact([[a, b], [n - a, m - b]]).pvalue))


def same_rate(counts: Sequence[int], totals: Sequence[int], seed: int = 0) -> float | None:
    """p that all groups have one success rate; None for fewer than two groups.

    Two groups: Boschloo. More: Fisher, Freeman and Halton's test, the share of :data:`TABLES` random
    tables with the same margins that are no more probable than the observed one, itself counted.
    """
    if len(counts) < 2:
        return None
    if len(counts) == 2:
        return boschloo(counts[0], totals[0], counts[1], totals[1])
    k, n = np.asarray(counts), np.asarray(totals)
    if k.sum() in (0, n.sum()):
        return 1.0
    rng = np.random.default_rng(seed)
    tables = rng.multivariate_hypergeometric(n, int(k.sum()), size=TABLES, method="marginals")
    as_rare = _log_weight(tables, n) <= _log_weight(k, n) + MARGIN_OF_TIES
    return float((1 + as_rare.sum()) / (1 + TABLES))


def _log_weight(k: NDArray[np.int64], n: NDArray[np.int64]) -> Any:
    """The logarithm of a table's probability given its margins, up to a constant."""
    return -(special.gammaln(k + 1) + special.gammaln(n - k + 1)).sum(-1)


def each_against_rest(counts: Sequence[int], totals: Sequence[int]) -> list[float]:
    """Boschloo's p of every group against all the others together, not corrected."""
    k, n = sum(counts), sum(totals)
    return [boschloo(a, m, k - a, n - m) for a, m in zip(counts, totals, strict=True)]


def stratified(a: Sequence[int], n: Sequence[int], b: Sequence[int], m: Sequence[int]) -> float:
    """Two-sided exact p that a of n and b of m have one rate within every stratum, rates free between them.

    The exact form of Mantel and Haenszel's test: given each stratum's margins, Σ a is a sum of
    hypergeometric numbers; p is the probability of all sums no more probable than the one observed.
    """
    pmf, least = np.ones(1), 0
    for hits, trials, other_hits, others in zip(a, n, b, m, strict=True):
        drawn, total = hits + other_hits, trials + others
        low, high = max(0, drawn - others), min(trials, drawn)
        support = np.arange(low, high + 1)
        pmf = np.convolve(pmf, stats.hypergeom.pmf(support, total, drawn, trials))
        least += low
    observed = pmf[sum(a) - least]
    rare = pmf[pmf <= observed * (1 + MARGIN_OF_TIES)]
    return 1.0 if len(rare) == len(pmf) else min(1.0, float(rare.sum()))


def over_bases(counts: Sequence[int], totals: Sequence[int], seed: int = 0) -> tuple[float, float] | None:
    """95% interval of the pooled rate by resampling whole groups.

    None for fewer than two groups, and where all or none succeeded: then there is no spread to resample.
    """
    k, n = np.asarray(counts, float), np.asarray(totals, float)
    if (n > 0).sum() < 2 or k.sum() in (0, n.sum()):
        return None
    k, n = k[n > 0], n[n > 0]
    picked = np.random.default_rng(seed).integers(len(k), size=(RESAMPLES, len(k)))
    low, high = np.quantile(k[picked].sum(1) / n[picked].sum(1), [0.025, 0.975])
    return float(low), float(high)


def mean_over_bases(values: ArrayLike, seed: int = 0) -> Measure:
    """The mean of one number a base, with an interval from resampling bases where there are several."""
    x = np.asarray(values, float)
    if not len(x):
        return Measure.undefined("no base has both")
    if len(x) == 1:
        return Measure(float(x[0]))
    picked = np.random.default_rng(seed).integers(len(x), size=(RESAMPLES, len(x)))
    low, high = np.quantile(x[picked].mean(1), [0.025, 0.975])
    return Measure(float(x.mean()), float(low), float(high))


def auc(successes: ArrayLike, failures: ArrayLike) -> Measure:
    """Probability that a failure has a higher value than a success (ties half): 0.5 tells nothing.

    The area under the ROC curve of the value as a classifier, with Newcombe's interval (Statistics in
    Medicine 25, 2006: 559-573, method 5), which holds at 0 and 1 too.
    """
    values = np.concatenate([np.asarray(successes, float), np.asarray(failures, float)])
    succeeded = np.arange(len(values)) < len(np.asarray(successes))
    return auc_within(values, succeeded, np.zeros(len(values), np.int64))


def auc_within(values: ArrayLike, succeeded: NDArray[np.bool_], strata: NDArray[np.int64]) -> Measure:
    """:func:`auc` over pairs of one stratum: what a value tells of transfers of the same base.

    Strata weigh by their pairs, and so do their variances in the interval, which is about these strata.
    Values that are not finite are left out.
    """
    x = np.asarray(values, float)
    won, sizes = 0.0, []
    for stratum in np.unique(strata):
        here = (strata == stratum) & np.isfinite(x)
        good, bad = x[here & succeeded], x[here & ~succeeded]
        if len(good) and len(bad):
            won += float((bad[:, None] > good).sum() + 0.5 * (bad[:, None] == good).sum())
            sizes.append((len(good), len(bad)))
    if not sizes:
        return Measure.undefined("needs a success and a failure of one base")
    pairs = np.array([n * m for n, m in sizes], float)
    area = float(won / pairs.sum())
    theta = np.linspace(0, 1, 4001)
    variance = np.zeros_like(theta)
    for (n, m), weight in zip(sizes, pairs / pairs.sum(), strict=True):
        half = (n + m) / 2 - 1
        of_one = theta * (1 - theta) * (1 + half * (1 - theta) / (2 - theta) + half * theta / (1 + theta))
        variance += weight**2 * of_one / (n * m)
    near = theta[np.abs(theta - area) <= NORMAL_95 * np.sqrt(variance) + 1e-12]
    return Measure(area, float(min(near.min(initial=area), area)), float(max(near.max(initial=area), area)))


def dip(values: ArrayLike) -> Measure:
    """Hartigan and Hartigan's dip (Annals of Statistics 13, 1985: 70-84) and p that there is one mode.

    The dip is the largest distance between the distribution and the nearest one with a single mode.
    """
    import diptest  # type: ignore[import-untyped]

    x = np.asarray(values, float)
    x = x[np.isfinite(x)]
    if len(x) < FEWEST_FOR_DIP:
        return Measure.undefined(f"needs {FEWEST_FOR_DIP} values")
    if np.ptp(x) == 0:
        return Measure.undefined("all values are equal")
    statistic, p = diptest.diptest(np.sort(x))
    return Measure(float(statistic), p=float(p))


def iqm_bands(
    values: NDArray[np.float64], strata: NDArray[np.int64], seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Interquartile means of (runs, points) over runs, and the ends of their 95% bands: (points,) each.

    The bootstrap resamples runs within each stratum (Agarwal et al. 2021, arXiv 2108.13264), with the
    same draw for all points of a run. A quarter of the runs, rounded down, is left out at either end.
    """
    runs, points = values.shape
    rng = np.random.default_rng(seed)
    times = np.zeros((BAND_RESAMPLES + 1, runs), np.int32)
    times[0] = 1
    for stratum in np.unique(strata):
        here = np.flatnonzero(strata == stratum)
        times[1:, here] = rng.multinomial(len(here), np.full(len(here), 1 / len(here)), BAND_RESAMPLES)
    cut = int(0.25 * runs)
    means = np.empty((BAND_RESAMPLES + 1, points))
    for point in range(points):
        order = np.argsort(values[:, point], kind="stable")
        reached = np.clip(times[:, order].cumsum(1), cut, runs - cut)
        weights = np.diff(reached, axis=1, prepend=cut)
        means[:, point] = weights @ values[order, point] / (runs - 2 * cut)
    low, high = np.quantile(means[1:], [0.025, 0.975], axis=0)
    return means[0], low, high
