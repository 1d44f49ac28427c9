"""The same numbers from scipy, scikit-learn, or a count of all cases: other code, without our mistakes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations, product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import linalg, spatial, stats
from sklearn import metrics
from sklearn.cross_decomposition import CCA
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import ShuffleSplit, cross_val_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import KernelCenterer

import probes
from probes._nulls import Measured, _Traces, pearson_tail, permutation_moments
from probes._resampling import share

Array = NDArray[np.float64]


def related(n: int, d: int, k: int | None = None, noise: float = 0.5, seed: int = 0) -> tuple[Array, Array]:
    """x (n, d), and y (n, k) of which a rotation of x makes the most; neither has mean 0."""
    rng = np.random.default_rng(seed)
    k = k or d
    x = rng.normal(size=(n, d)) * np.linspace(1, 0.4, d) + rng.normal(size=d)
    turn = linalg.qr(rng.normal(size=(max(d, k), max(d, k))))[0][:d, :k]
    y = x @ turn + noise * rng.normal(size=(n, k)) * np.linspace(0.3, 1, k)
    return x, y


def canonical_correlations(x: Array, y: Array) -> Array:
    """The cosines of the angles between the column spaces (Björck and Golub 1973)."""
    return np.cos(linalg.subspace_angles(x - x.mean(0), y - y.mean(0)))


def variates(x: Array, y: Array) -> tuple[Array, Array]:
    """Canonical variates of x (n, r), of unit length, and their correlations; by QR (Morcos et al. 2018)."""
    q, r = (linalg.qr(v - v.mean(0), mode="economic")[0] for v in (x, y))
    turns, correlations, _ = linalg.svd(q.T @ r, full_matrices=False)
    return q @ turns, correlations


@pytest.mark.parametrize(("n", "d", "k"), [(50, 3, 3), (50, 5, 2), (50, 1, 4), (200, 20, 30), (61, 30, 30)])
def test_cca_is_the_cosine_of_the_angles_between_column_spaces(n: int, d: int, k: int) -> None:
    x, y = related(n, d, k)
    expected = canonical_correlations(x, y).mean()
    assert probes.cca(x, y, interval=False).value == pytest.approx(expected, rel=1e-9)
    assert probes.streamed(x, y).cca().value == pytest.approx(expected, rel=1e-9)


def test_cca_of_dependent_columns_counts_their_rank() -> None:
    x, y = related(80, 4)
    x = np.concatenate([x, x @ np.ones((4, 2)), np.full((80, 1), 7.0)], 1)
    expected = canonical_correlations(x[:, :4], y).mean()
    assert probes.cca(x, y, interval=False).value == pytest.approx(expected, rel=1e-9)


def test_cca_of_a_low_rank_in_more_dimensions_than_rows() -> None:
    x, y = related(30, 3)
    wide = np.random.default_rng(1).normal(size=(3, 40))
    expected = canonical_correlations(x, y).mean()
    assert probes.cca(x @ wide, y @ wide, interval=False).value == pytest.approx(expected, rel=1e-9)


def test_cca_against_scikit_learn() -> None:
    """Which iterates, one pair of directions after the other."""
    x, y = related(100, 3)
    a, b = CCA(n_components=3, max_iter=5000, tol=1e-12).fit_transform(x, y)
    expected = [stats.pearsonr(a[:, j], b[:, j]).statistic for j in range(3)]
    np.testing.assert_allclose(np.sort(expected), np.sort(canonical_correlations(x, y)), atol=1e-4)
    assert probes.cca(x, y, interval=False).value == pytest.approx(np.mean(expected), abs=1e-4)


def test_one_dimension_is_pearsons_correlation() -> None:
    x, y = related(150, 1, noise=2.0, seed=3)
    found = stats.pearsonr(x[:, 0], y[:, 0])
    for score, expected in (
        (probes.cca, abs(found.statistic)),
        (probes.svcca, abs(found.statistic)),
        (probes.pwcca, abs(found.statistic)),
        (probes.procrustes, abs(found.statistic)),
        (probes.cka, found.statistic**2),
    ):
        assert score(x, y, interval=False).value == pytest.approx(expected, rel=1e-9)


def test_the_interval_of_one_correlation_is_fishers() -> None:
    """Over 60 samples of normal data: as wide on Fisher's scale, but for t of 19 degrees in place of z."""
    widths, middles = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(200, 1))
        y = x + rng.normal(size=(200, 1))
        theirs = np.arctanh(stats.pearsonr(x[:, 0], y[:, 0]).confidence_interval())
        found = probes.cca(x, y)
        ours = np.arctanh([found.low, found.high])
        widths.append(np.ptp(ours) / np.ptp(theirs))
        middles.append((ours.mean() - theirs.mean()) / np.ptp(theirs))
    assert np.mean(widths) == pytest.approx(stats.t.ppf(0.975, 19) / stats.norm.ppf(0.975), rel=0.08)
    assert np.mean(middles) == pytest.approx(0, abs=0.03)


def test_one_direction_is_the_multiple_correlation() -> None:
    x, y = related(80, 4)
    line = np.outer(x[:, 0], [1.0, 2.0, -1.0])
    expected = np.sqrt(LinearRegression().fit(y, x[:, 0]).score(y, x[:, 0]))
    assert probes.cca(line, y, interval=False).value == pytest.approx(expected, rel=1e-9)
    assert probes.pwcca(line, y, interval=False).value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kept", [0.5, 0.8, 0.99])
def test_svcca_is_cca_of_scikit_learns_components(kept: float) -> None:
    x, y = related(120, 12, noise=0.7)
    parts = [PCA(n_components=kept, svd_solver="full").fit_transform(v) for v in (x, y)]
    expected = canonical_correlations(*parts).mean()
    assert probes.svcca(x, y, kept=kept, interval=False).value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("d", "k"), [(4, 4), (6, 3), (3, 6)])
def test_pwcca_by_qr(d: int, k: int) -> None:
    x, y = related(70, d, k)
    h, correlations = variates(x, y)
    weights = np.abs(h.T @ (x - x.mean(0))).sum(1)
    expected = np.average(correlations, weights=weights)
    assert probes.pwcca(x, y, interval=False).value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("d", [3, 200])
def test_cka_is_the_cosine_of_centred_kernels(d: int) -> None:
    x, y = related(60, d)
    kernels = [
        KernelCenterer().fit_transform(metrics.pairwise.linear_kernel(v)).reshape(1, -1) for v in (x, y)
    ]
    expected = metrics.pairwise.cosine_similarity(*kernels).item()
    assert probes.cka(x, y, interval=False).value == pytest.approx(expected, rel=1e-9)
    assert probes.streamed(x, y).cka().value == pytest.approx(expected, rel=1e-9)


def test_debiased_cka_by_all_quadruples_of_rows() -> None:
    """HSIC without bias is a mean over different rows i, j, q, r: of K_ij·(L_ij + L_qr − 2·L_iq)."""
    x, y = related(8, 3)
    i, j, q, r = np.array(list(permutations(range(8), 4))).T

    def hsic(a: Array, b: Array) -> float:
        k, m = a @ a.T, b @ b.T
        return float((k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q])).mean())

    expected = hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))
    assert probes.cka(x, y, debiased=True, interval=False).value == pytest.approx(expected, rel=1e-9)
    assert probes.streamed(x, y).cka(debiased=True).value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("d", [2, 5, 80])
def test_procrustes_against_scipys_disparity(d: int) -> None:
    x, y = related(60, d)
    disparity = spatial.procrustes(x, y)[2]
    similarity = probes.procrustes(x, y, interval=False).value
    assert similarity is not None
    assert 1 - similarity**2 == pytest.approx(disparity, rel=1e-9)
    assert probes.shape_distance(x, y, interval=False).value == pytest.approx(np.arcsin(np.sqrt(disparity)))


def test_the_rungs_maps_against_scipy_and_numpy() -> None:
    x, y = related(60, 4)
    a, b = x - x.mean(0), y - y.mean(0)
    turn, size = linalg.orthogonal_procrustes(a, b)
    np.testing.assert_allclose(probes.fit("orthogonal", x, y)(x), a @ turn + y.mean(0), atol=1e-10)
    shrunk = size / np.square(a).sum() * a @ turn
    np.testing.assert_allclose(probes.fit("similarity", x, y)(x), shrunk + y.mean(0), atol=1e-10)
    design = np.concatenate([x, np.ones((60, 1))], 1)
    line = np.linalg.lstsq(design, y, rcond=None)[0]
    np.testing.assert_allclose(probes.fit("affine", x, y)(x), design @ line, atol=1e-10)
    # Of dependent columns least squares says nothing, but of the mapped rows it does.
    doubled = np.concatenate([x, x], 1)
    np.testing.assert_allclose(probes.fit("affine", doubled, y)(doubled), design @ line, atol=1e-10)


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_signs_and_permutation_are_the_best_of_all(seed: int, shifted: bool) -> None:
    x, y = related(20, 3, noise=1.0, seed=seed)

    def error(order: tuple[int, ...], signs: tuple[int, ...]) -> float:
        off = y - x[:, list(order)] * signs
        return float(np.square(off - off.mean(0) if shifted else off).sum())

    all_signs = list(product([-1, 1], repeat=3))
    best = min(error((0, 1, 2), signs) for signs in all_signs)
    fitted = probes.fit("signs", x, y, shifted)
    assert np.square(fitted(x) - y).sum() == pytest.approx(best)
    best = min(error(order, signs) for order in permutations(range(3)) for signs in all_signs)
    fitted = probes.fit("permutation", x, y, shifted)
    assert np.square(fitted(x) - y).sum() == pytest.approx(best)


def test_r2_against_scikit_learn() -> None:
    """As it is, exactly; held out, as the mean over other halves, which a hundred splits bring to ±0.02."""
    x, y = related(60, 4)
    found = probes.ladder(x, y)
    expected = metrics.r2_score(y, x, multioutput="variance_weighted")
    assert found["identity"].r2.value == pytest.approx(expected)
    halves = ShuffleSplit(100, test_size=0.5, random_state=0)

    def score(model: LinearRegression, a: Array, b: Array) -> float:
        """Against the variance about the mean of all rows, as the ladder does."""
        return float(1 - np.square(model.predict(a) - b).sum() / np.square(b - y.mean(0)).sum())

    held_out = cross_val_score(LinearRegression(), x, y, cv=halves, scoring=score).mean()
    assert found["affine"].r2.value == pytest.approx(held_out, abs=0.02)
    in_sample = LinearRegression().fit(x, y).score(x, y)
    assert in_sample > held_out + 0.02  # so that the two would be told apart


@pytest.mark.parametrize(("n", "d"), [(40, 2), (60, 10), (50, 40)])
def test_neighbours_by_brute_force(n: int, d: int) -> None:
    x, y = related(n, d, noise=1.5)
    x = x @ linalg.orthogonal_procrustes(x, y)[0]
    nearest = spatial.distance.cdist(x, y).argmin(1)
    share_found, own = probes.nearest_own(x, y)
    np.testing.assert_array_equal(own, nearest == np.arange(n))
    assert 0 < own.sum() < n
    assert share_found.value == pytest.approx(np.mean(nearest == np.arange(n)))
    sets = [NearestNeighbors(n_neighbors=7, algorithm="brute").fit(v).kneighbors()[1] for v in (x, y)]
    expected = np.mean([len(set(a) & set(b)) / 7 for a, b in zip(*sets, strict=True)])
    assert probes.knn_overlap(x, y, k=7).value == pytest.approx(expected)


def test_distances_against_scikit_learn() -> None:
    x, y = related(50, 4)
    found = probes.l2(x, y)
    np.testing.assert_allclose(found.per_state, metrics.pairwise.paired_euclidean_distances(x, y))
    assert found.mean.value == pytest.approx(metrics.pairwise.paired_distances(x, y).mean())
    np.testing.assert_allclose(found.per_axis**2, metrics.mean_squared_error(y, x, multioutput="raw_values"))
    cosines = 1 - metrics.pairwise.paired_cosine_distances(x, y)
    assert probes.cosine(x, y).value == pytest.approx(cosines.mean())


@pytest.mark.parametrize("d", [3, 90])
def test_effective_rank_is_scipys_entropy(d: int) -> None:
    x, _ = related(60, d)
    values = linalg.svdvals(x - x.mean(0))
    assert probes.effective_rank(x) == pytest.approx(np.exp(stats.entropy(values[values > 1e-9])))


@pytest.mark.parametrize("method", ["percentile", "BCa"])
def test_intervals_of_l2_against_scipys_bootstrap(method: str) -> None:
    """Ends agree to a seventh of the width: ours are taken a little further out, for few groups."""
    x, y = related(60, 3, noise=1.5)
    found = probes.l2(x, y)
    each = np.linalg.norm(x - y, axis=1)
    spread = np.square(y - y.mean(0)).sum(1)

    def relative(a: Array, b: Array, axis: int = -1) -> Array:
        return np.asarray(a.mean(axis) / np.sqrt(b.mean(axis)))

    theirs = [
        stats.bootstrap((each,), np.mean, method=method, n_resamples=4000, rng=1),
        stats.bootstrap((each, spread), relative, method=method, n_resamples=4000, paired=True, rng=1),
    ]
    for ours, result in zip((found.mean, found.relative), theirs, strict=True):
        low, high = result.confidence_interval
        np.testing.assert_allclose([ours.low, ours.high], [low, high], atol=(high - low) / 7)


@pytest.mark.parametrize(("right", "count"), [(0, 9), (7, 20), (60, 60), (199, 200)])
def test_the_interval_of_a_share_is_wilsons(right: int, count: int) -> None:
    low, high = stats.binomtest(right, count).proportion_ci(method="wilson")
    found = share(right / count, count)
    np.testing.assert_allclose([found.low, found.high], [low, high], atol=1e-12)


def test_moments_over_permutations_by_counting_all_720() -> None:
    x, y = related(6, 3)
    a, b = x - x.mean(0), y - y.mean(0)
    k, m = a @ a.T, b @ b.T
    traces = [np.sum(k * m[np.ix_(p, p)]) for p in map(list, permutations(range(6)))]
    mean, variance, _ = permutation_moments(6, _Traces.of(a), _Traces.of(b))
    assert mean == pytest.approx(np.mean(traces))
    assert variance == pytest.approx(np.var(traces))
    # The same moments, of CKA, as the public name gives them.
    found = probes.independence(x, y, null="moments")
    ckas = [probes.cka(x, y[list(p)], interval=False).value for p in permutations(range(6))]
    assert found.value == pytest.approx(ckas[0])
    assert found.mean == pytest.approx(np.mean(ckas))
    assert found.deviation == pytest.approx(np.std(ckas))


@pytest.mark.parametrize("z", [-1.0, 0.0, 1.5, 4.0, 12.0])
@pytest.mark.parametrize("skewness", [0.05, 0.7, 2.5])
def test_the_tail_is_scipys_pearson3(z: float, skewness: float) -> None:
    assert pearson_tail(z, skewness) == pytest.approx(stats.pearson3.sf(z, skewness), rel=1e-7)


def pillai(x: Array, y: Array) -> float:
    return float(np.square(canonical_correlations(x, y)).sum())


STATISTICS: dict[str, Callable[[Array, Array], float]] = {
    "cka": lambda x, y: float(np.square((x - x.mean(0)).T @ (y - y.mean(0))).sum()),
    "cca": lambda x, y: float(canonical_correlations(x, y).sum()),
    "procrustes": lambda x, y: float(linalg.svdvals((x - x.mean(0)).T @ (y - y.mean(0))).sum()),
}
"""That grow with the measure, and so have its p."""


def exact_p(x: Array, y: Array, statistic: Callable[[Array, Array], float], draws: int | None) -> float:
    """scipy's permutation test of pairings: of all orders where ``draws`` is None, else of so many."""
    return float(
        stats.permutation_test(
            (np.arange(len(x)),),
            lambda order: statistic(x[order], y),
            permutation_type="pairings",
            alternative="greater",
            n_resamples=np.inf if draws is None else draws,
            rng=0,
        ).pvalue
    )


@pytest.mark.parametrize("measure", ["cka", "cca", "procrustes"])
def test_permutations_against_scipys(measure: Measured) -> None:
    """All 720 orders of 6 rows against 20,000 draws: five standard errors of their p are below 0.02."""
    x, y = related(6, 2, noise=2.0, seed=5)
    expected = exact_p(x, y, STATISTICS[measure], None)
    found = probes.independence(x, y, measure=measure, null="permutation", draws=20_000)
    assert 0.02 < expected < 0.9
    assert found.p == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("measure", ["cka", "cca", "procrustes"])
def test_what_is_tested_is_the_measure(measure: Measured) -> None:
    x, y = related(30, 4, 2)
    found = probes.independence(x, y, measure=measure, null="permutation", draws=10)
    assert found.value == pytest.approx(getattr(probes, measure)(x, y, interval=False).value)


def test_shifts_after_a_shuffle_are_permutations_too() -> None:
    """With more rows than draws; every p is a multiple of 1/(draws + 1), and its error that of 200 draws."""
    x, y = related(300, 2, noise=14.0, seed=2)
    expected = exact_p(x, y, STATISTICS["cka"], 2000)
    found = probes.independence(x, y, null="permutation", draws=200)
    assert found.draws == 200
    assert 0.02 < expected < 0.9
    assert found.p == pytest.approx(expected, abs=5 * np.sqrt(expected * (1 - expected) / 200))


@pytest.mark.parametrize(("measure", "statistic"), [("cka", STATISTICS["cka"]), ("cca", pillai)])
@pytest.mark.parametrize(
    ("d", "noise", "seed"), [(1, 8.0, 1), (1, 12.0, 1), (1, 12.0, 3), (2, 8.0, 5), (3, 12.0, 2)]
)
def test_moments_against_scipys_permutations(
    measure: Measured,
    statistic: Callable[[Array, Array], float],
    d: int,
    noise: float,
    seed: int,
) -> None:
    """The tail of a fitted distribution at p from 3% to 80%; in one dimension it is most skewed."""
    x, y = related(40, d, noise=noise, seed=seed)
    expected = exact_p(x, y, statistic, 999)
    found = probes.independence(x, y, measure=measure, null="moments")
    assert 0.02 < expected < 0.9
    assert found.p == pytest.approx(expected, abs=0.04)
    if measure == "cka":
        assert probes.streamed(x, y).cka().p == pytest.approx(found.p, rel=1e-6)
