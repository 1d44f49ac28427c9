"""Linear centred kernel alignment."""

from __future__ import annotations

import numpy as np

from probes._direct import biased_value, debiased_value
from probes._measure import ArrayLike, Labels, Measure
from probes._moments import Moments
from probes._resampling import similarity

MIN_DEBIASED = 4
"""Rows that the unbiased estimate needs: it divides by n − 3."""

UNBIASED_ZERO = 1e-10
"""Share of the biased self-similarity below which the unbiased one is 0 to rounding."""


def cka(
    x: ArrayLike,
    y: ArrayLike,
    *,
    debiased: bool = False,
    groups: Labels | None = None,
    interval: bool = True,
) -> Measure:
    """Linear CKA of x (n, d₁) and y (n, d₂): ‖XᵀY‖² / (‖XᵀX‖·‖YᵀY‖), columns centred.

    Kornblith et al., arXiv 1905.00414, equation 3: biased, and so well above 0 for unrelated data when n
    is not large against d. ``debiased`` puts the unbiased HSIC (Song et al. 2012, equation 5) in its
    place, about 0 there. 1 for any rotation, reflection or scale of x, mirror images included. The
    interval is the population's; ``interval=False`` saves the time it takes.

    >>> import numpy as np
    >>> x, y = np.random.default_rng(0).normal(size=(2, 100, 50))
    >>> round(cka(x, y).value, 2), round(cka(x, y, debiased=True).value, 2)
    (0.3, -0.05)
    """
    if not interval:
        value = debiased_value(x, y, UNBIASED_ZERO) if debiased else biased_value(x, y)
        if value is not None:
            return Measure(value)
    score, low = (debiased_cka, -1.0) if debiased else (biased_cka, 0.0)
    return similarity(x, y, groups, score, low=low, with_interval=interval, cubic=False, norms=debiased)


def biased_cka(m: Moments) -> tuple[float | None, str]:
    """CKA from sums; x and y must vary."""
    own = np.linalg.norm(m.x_scatter) * np.linalg.norm(m.y_scatter)
    return min(1.0, float(np.square(m.cross_scatter).sum() / own)), ""


def debiased_cka(m: Moments) -> tuple[float | None, str]:
    """CKA of unbiased HSICs from sums; x and y must vary."""
    if m.n < MIN_DEBIASED:
        return None, f"{m.n} rows, at least {MIN_DEBIASED} are needed"
    xx, yy, xy = np.linalg.norm(m.xx) ** 2, np.linalg.norm(m.yy) ** 2, np.linalg.norm(m.xy) ** 2
    x_trace, y_trace = float(np.trace(m.xx)), float(np.trace(m.yy))
    cross = m.x @ m.xy @ m.y - m.x @ m.x_by_yy - m.y @ m.y_by_xx + m.xx_by_yy
    x_own = m.x @ m.xx @ m.x - 2 * m.x @ m.x_by_xx + m.xx_by_xx
    y_own = m.y @ m.yy @ m.y - 2 * m.y @ m.y_by_yy + m.yy_by_yy
    x_total, y_total = float(m.x @ m.x) - x_trace, float(m.y @ m.y) - y_trace

    def hsic(products: float, diagonal: float, totals: float, rows: float) -> float:
        """n(n − 3) times Song et al.'s estimate, from sums over kernels without their diagonals."""
        return products - diagonal + totals / ((m.n - 1) * (m.n - 2)) - 2 / (m.n - 2) * rows

    x_self = hsic(float(xx), m.xx_by_xx, x_total**2, float(x_own))
    y_self = hsic(float(yy), m.yy_by_yy, y_total**2, float(y_own))
    # Where all rows but one are equal both are 0, and their ratio would be one of rounding errors.
    if x_self <= UNBIASED_ZERO * xx or y_self <= UNBIASED_ZERO * yy:
        return None, "an unbiased self-similarity is not positive"
    value = hsic(float(xy), m.xx_by_yy, x_total * y_total, float(cross)) / np.sqrt(x_self * y_self)
    return float(value), ""
