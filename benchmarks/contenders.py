"""The contenders of ``measures.py``: our measures, public packages, and the leanest code one could write.

A task is one measure on one pair of arrays, with ours and the peers that compute the same. Peers that are not
installed are named in :data:`MISSING`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg, spatial
from sklearn.cross_decomposition import CCA as NIPALS
from sklearn.decomposition import PCA

import probes

MISSING: list[str] = []
try:
    from cca_zoo._utils._linalg import svd_whiten
    from cca_zoo.linear import CCA, MCCA
except ImportError:
    MISSING.append("cca-zoo is not installed: no comparison with it")
    CCA = MCCA = svd_whiten = None
try:
    import torch
    from calibrated_similarity import calibrate
except ImportError:
    MISSING.append("calibrated-similarity is not installed: no comparison with it")
    torch = calibrate = None
try:
    from cka import cka_from_features
except ImportError:
    MISSING.append("pytorch-cka is not installed: no comparison with it")
    cka_from_features = None

DRAWS = 1000
"""Permutations of a null distribution."""
SAME = {np.float64: 1e-6, np.float32: 1e-3}
"""How far values may lie apart; peers given float32 compute in float32, which holds that much and no more."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Found:
    """What a contender found; null mean and its standard error where it permuted."""

    value: float
    mean: float | None = None
    error: float = 0.0


@dataclass(frozen=True)
class Contender:
    name: str
    run: Callable[[], Found]
    scale: float = 1.0
    """What its time is multiplied by: where it ran a share of the draws."""


@dataclass(frozen=True)
class Task:
    name: str
    ours: list[Contender]
    peers: list[Contender]
    tolerance: float


# --- Data -----------------------------------------------------------------------------------------------


def pair(n: int, d: int, dtype: type, shared: float = 0.5, seed: int = 0) -> tuple[Array, Array]:
    """Two embeddings (n, d) with a falling spectrum (condition 10³) and an offset, related by ``shared``."""
    rng = np.random.default_rng(seed)
    common, x, y = rng.normal(size=(3, n, d))
    spectrum = np.geomspace(1, 10**-1.5, d)
    turns = [np.linalg.qr(rng.normal(size=(d, d)))[0] for _ in range(2)]
    x, y = (
        ((shared * common + (1 - shared) * own) * spectrum) @ turn + 0.5
        for own, turn in zip((x, y), turns, strict=True)
    )
    return x.astype(dtype), y.astype(dtype)


def value_of(found: float | None) -> Found:
    assert found is not None
    return Found(float(found))


# --- CCA ------------------------------------------------------------------------------------------------


def scatters(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """The leanest sums: float64, one copy of each to centre it."""
    x, y = x - x.mean(0, dtype=np.float64), y - y.mean(0, dtype=np.float64)
    return x.T @ x, y.T @ y, x.T @ y


def uncentred_scatters(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Leaner still, at the price of digits where the mean is large: sums of squares less their means'."""
    x, y = x.astype(np.float64, copy=False), y.astype(np.float64, copy=False)
    a, b, n = x.sum(0), y.sum(0), len(x)
    return x.T @ x - np.outer(a, a) / n, y.T @ y - np.outer(b, b) / n, x.T @ y - np.outer(a, b) / n


def by_cholesky(xx: Array, yy: Array, xy: Array) -> Array:
    """The whitened cross-covariance L⁻¹·XᵀY·R⁻ᵀ."""
    half = linalg.solve_triangular(np.linalg.cholesky(xx), xy, lower=True, check_finite=False)
    return linalg.solve_triangular(np.linalg.cholesky(yy), half.T, lower=True, check_finite=False)


def by_eigh(xx: Array, yy: Array, xy: Array) -> Array:
    (x_values, x_vectors), (y_values, y_vectors) = np.linalg.eigh(xx), np.linalg.eigh(yy)
    return (x_vectors / np.sqrt(x_values)).T @ xy @ (y_vectors / np.sqrt(y_values))


def mean_singular(matrix: Array) -> Found:
    return Found(float(np.linalg.svd(matrix, compute_uv=False).mean()))


def mean_root(matrix: Array) -> Found:
    """The same from the eigenvalues of MMᵀ: quicker than an SVD, to half the digits."""
    values = np.linalg.eigvalsh(matrix @ matrix.T)
    return Found(float(np.sqrt(np.clip(values, 0, None)).mean()))


def by_qr(x: Array, y: Array) -> Found:
    x, y = x - x.mean(0, dtype=np.float64), y - y.mean(0, dtype=np.float64)
    turns = [linalg.qr(v, mode="economic", overwrite_a=True, check_finite=False)[0] for v in (x, y)]
    return mean_singular(turns[0].T @ turns[1])


def sklearn_whitened(x: Array, y: Array, solver: str) -> Found:
    """sklearn's exact route: PCA scores of unit variance, whose cross-covariance has the correlations."""
    a, b = (PCA(whiten=True, svd_solver=solver).fit_transform(v) for v in (x, y))
    return mean_singular(a.T @ b / (len(x) - 1))


def sklearn_nipals(x: Array, y: Array) -> Found:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it seldom converges
        a, b = NIPALS(n_components=x.shape[1], max_iter=500).fit_transform(x, y)
    return Found(float(np.mean([np.corrcoef(p, q)[0, 1] for p, q in zip(a.T, b.T, strict=True)])))


def zoo(model: Any, x: Array, y: Array) -> Found:
    a, b = model.fit([x, y]).transform([x, y])
    a, b = a - a.mean(0), b - b.mean(0)
    shared = np.einsum("ij,ij->j", a, b) / np.sqrt(np.einsum("ij,ij->j", a, a) * np.einsum("ij,ij->j", b, b))
    return Found(float(np.clip(shared, 0, 1).mean()))


def zoo_core(x: Array, y: Array) -> Found:
    """cca-zoo's `CCA` less what its `fit` prepares for other methods: private, no route of its users."""
    a, b = (svd_whiten(v - v.mean(0))[0] for v in (x, y))
    return mean_singular(a.T @ b / (len(x) - 1))


def cca_task(n: int, d: int, dtype: type, nipals: bool = False) -> Task:
    x, y = pair(n, d, dtype)
    peers = []
    if CCA is not None:
        peers += [
            Contender("cca-zoo `CCA`", lambda: zoo(CCA(n_components=d), x, y)),
            Contender("cca-zoo `MCCA(pca=False)`", lambda: zoo(MCCA(n_components=d, pca=False), x, y)),
            Contender("cca-zoo's private whitening, SVD", lambda: zoo_core(x, y)),
        ]
    peers += [
        Contender(
            "sklearn `PCA(whiten, covariance_eigh)`", lambda: sklearn_whitened(x, y, "covariance_eigh")
        ),
        Contender("sklearn `PCA(whiten, full)`", lambda: sklearn_whitened(x, y, "full")),
    ]
    if nipals:
        peers.append(Contender("sklearn `CCA` (NIPALS)", lambda: sklearn_nipals(x, y)))
    peers += [
        Contender("lean numpy: covariances, eigh", lambda: mean_singular(by_eigh(*scatters(x, y)))),
        Contender("lean numpy: covariances, Cholesky", lambda: mean_singular(by_cholesky(*scatters(x, y)))),
        Contender("… without centring first", lambda: mean_singular(by_cholesky(*uncentred_scatters(x, y)))),
        Contender("… and eigvalsh for the SVD", lambda: mean_root(by_cholesky(*uncentred_scatters(x, y)))),
        Contender("lean scipy: QR", lambda: by_qr(x, y)),
    ]
    ours = Contender("`cca`", lambda: value_of(probes.cca(x, y, interval=False).value))
    return Task(f"CCA, {n} × {d}, {np.dtype(dtype)}", [ours], peers, SAME[dtype])


# --- Debiased CKA ---------------------------------------------------------------------------------------


def debiased_gram(x: Array, y: Array) -> Found:
    """Song et al.'s estimate by its definition, from n × n kernels without their diagonals."""
    n = len(x)
    k, m = x @ x.T, y @ y.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    rows = k.sum(0), m.sum(0)

    def hsic(p: Array, q: Array, a: Array, b: Array) -> float:
        return float(np.vdot(p, q) + a.sum() * b.sum() / (n - 1) / (n - 2) - 2 / (n - 2) * (a @ b))

    own = hsic(k, k, rows[0], rows[0]) * hsic(m, m, rows[1], rows[1])
    return Found(hsic(k, m, *rows) / math.sqrt(own))


def u_centred(kernel: Any) -> Any:
    n = len(kernel)
    kernel.fill_diagonal_(0)
    means = kernel.sum(0) / (n - 2)
    means -= means.sum() / (2 * (n - 1))
    kernel -= means[:, None]
    kernel -= means[None, :]
    return kernel.fill_diagonal_(0)


def debiased_torch(x: Any, y: Any) -> Found:
    """The U-centred form of calibrated-similarity's authors, who do not ship theirs in the package."""
    k, m = u_centred(x @ x.T).ravel(), u_centred(y @ y.T).ravel()
    return Found(float(k @ m / (k.norm() * m.norm())))


def debiased_lean(x: Array, y: Array) -> Found:
    """The same from d × d sums, as lean as it gets: centred, so that what kernels' rows sum to is short."""
    x, y = x - x.mean(0, dtype=np.float64), y - y.mean(0, dtype=np.float64)
    n = len(x)
    a, b = np.einsum("ij,ij->i", x, x), np.einsum("ij,ij->i", y, y)

    def hsic(products: Array, p: Array, q: Array) -> float:
        trace = p.sum() * q.sum()
        return float(np.vdot(products, products) - p @ q + trace / (n - 1) / (n - 2) - 2 / (n - 2) * (p @ q))

    own = hsic(x.T @ x, a, a) * hsic(y.T @ y, b, b)
    return Found(hsic(x.T @ y, a, b) / math.sqrt(own))


def cka_task(n: int, d: int, dtype: type) -> Task:
    x, y = pair(n, d, dtype)
    peers = []
    if torch is not None:
        p, q = torch.from_numpy(x), torch.from_numpy(y)
        peers.append(Contender("calibrated-similarity's form (torch)¹", lambda: debiased_torch(p, q)))
        if cka_from_features is not None:
            peers.append(
                Contender("pytorch-cka `cka_from_features`", lambda: Found(float(cka_from_features(p, q))))
            )
    peers += [
        Contender("lean numpy: n × n kernels", lambda: debiased_gram(x, y)),
        Contender("lean numpy: d × d sums", lambda: debiased_lean(x, y)),
    ]
    ours = Contender(
        "`cka(debiased=True)`", lambda: value_of(probes.cka(x, y, debiased=True, interval=False).value)
    )
    return Task(f"debiased CKA, {n} × {d}, {np.dtype(dtype)}", [ours], peers, SAME[dtype])


# --- Permutation p-values -------------------------------------------------------------------------------


def bare_cka(x: Array, y: Array) -> float:
    x, y = x - x.mean(0), y - y.mean(0)
    c, xx, yy = x.T @ y, x.T @ x, y.T @ y
    return float(np.vdot(c, c) / math.sqrt(np.vdot(xx, xx) * np.vdot(yy, yy)))


def bare_procrustes(x: Array, y: Array) -> float:
    x, y = x - x.mean(0), y - y.mean(0)
    values = np.linalg.svd(x.T @ y, compute_uv=False)
    return float(values.sum() / math.sqrt(np.vdot(x, x) * np.vdot(y, y)))


def spatial_procrustes(x: Array, y: Array) -> float:
    return math.sqrt(1 - spatial.procrustes(x, y)[2])


def torch_cka(x: Any, y: Any) -> Any:
    x, y = x - x.mean(0), y - y.mean(0)
    return (x.T @ y).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm())


def hoisted(measure: str, x: Array, y: Array) -> tuple[Array, Array, Callable[[Array], float]]:
    """Rows prepared once, so that a draw is one product and what follows from it."""
    x, y = x - x.mean(0), y - y.mean(0)
    if measure == "cka":
        x = x / math.sqrt(np.linalg.norm(x.T @ x))
        y = y / math.sqrt(np.linalg.norm(y.T @ y))
        return x, y, lambda c: float(np.vdot(c, c))
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)
    return x, y, lambda c: float(np.linalg.svd(c, compute_uv=False).sum())


def looped(value: float, draw: Callable[[Array], float], n: int, draws: int) -> Found:
    """The null by a plain loop: a permutation of n rows, the measure, again."""
    rng = np.random.default_rng(1)
    null = np.array([draw(rng.permutation(n)) for _ in range(draws)])
    return Found(value, float(null.mean()), float(null.std() / math.sqrt(draws)))


def loop_of(score: Callable[[Array, Array], float], x: Array, y: Array, draws: int) -> Found:
    return looped(score(x, y), lambda order: score(x, y[order]), len(x), draws)


def hoisted_loop(measure: str, x: Array, y: Array, draws: int) -> Found:
    a, b, score = hoisted(measure, x, y)
    return looped(score(a.T @ b), lambda order: score(a.T @ b[order]), len(x), draws)


def calibrated(x: Any, y: Any, draws: int) -> Found:
    """The package itself, which keeps no null: one is taken down on the way."""
    seen: list[float] = []

    def score(p: Any, q: Any) -> Any:
        found = torch_cka(p, q)
        seen.append(float(found))
        return found

    calibrate(x, y, score, K=draws, generator=torch.Generator().manual_seed(1))
    null = np.array(seen[1:])
    return Found(seen[0], float(null.mean()), float(null.std() / math.sqrt(draws)))


def tested(x: Array, y: Array, measure: Any, null: Any) -> Found:
    found = probes.independence(x, y, measure=measure, null=null, draws=DRAWS)
    assert found.value is not None
    if null == "moments":
        return Found(found.value, found.mean)
    assert found.deviation is not None
    return Found(found.value, found.mean, found.deviation / math.sqrt(found.draws))


def value_task(measure: str, n: int, d: int) -> Task:
    """One value without its interval, beside the formula in numpy."""
    x, y = pair(n, d, np.float64, shared=0.2)
    ours, bare = (probes.cka, bare_cka) if measure == "cka" else (probes.procrustes, bare_procrustes)
    return Task(
        f"{measure}, {n} × {d}",
        [Contender(f"`{measure}(interval=False)`", lambda: value_of(ours(x, y, interval=False).value))],
        [Contender("the formula in numpy", lambda: Found(float(bare(x, y))))],
        SAME[np.float64],
    )


def null_task(measure: str, n: int, d: int, draws: int = DRAWS) -> Task:
    x, y = pair(n, d, np.float64, shared=0.2)
    scale = DRAWS / draws
    note = "" if draws == DRAWS else f" ({draws} draws × {scale:g})"
    ours = [
        Contender(f"`independence`, {null}", lambda null=null: tested(x, y, measure, null))
        for null in (("permutation", "moments") if measure == "cka" else ("permutation",))
    ]
    bare, public = (
        (bare_cka, lambda p, q: probes.cka(p, q, interval=False).value)
        if measure == "cka"
        else (bare_procrustes, lambda p, q: probes.procrustes(p, q, interval=False).value)
    )
    peers = [
        Contender(f"loop over the bare measure{note}", lambda: loop_of(bare, x, y, draws), scale),
        Contender(
            f"loop, all but the product hoisted{note}", lambda: hoisted_loop(measure, x, y, draws), scale
        ),
        Contender(f"loop over our `{measure}`{note}", lambda: loop_of(public, x, y, draws), scale),
    ]
    if measure == "procrustes":
        peers.append(
            Contender(
                f"loop over `scipy.spatial.procrustes`{note}",
                lambda: loop_of(spatial_procrustes, x, y, draws),
                scale,
            )
        )
    elif torch is not None:
        p, q = torch.from_numpy(x), torch.from_numpy(y)
        peers.append(
            Contender(f"calibrated-similarity `calibrate`{note}", lambda: calibrated(p, q, draws), scale)
        )
    name = {"cka": "CKA", "procrustes": "Procrustes"}[measure]
    return Task(f"p of {name}, {n} × {d}, {DRAWS} draws", ours, peers, SAME[np.float64])
