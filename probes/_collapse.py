"""How many dimensions an embedding really uses."""

from __future__ import annotations

import numpy as np

from probes._measure import ArrayLike, as_matrix, is_constant

RELATIVE_RANK = 1e-7
"""Singular values below this share of the largest count as zero: a Gram matrix squares them."""


def effective_rank(x: ArrayLike) -> float:
    """exp(entropy of the normalised singular values) of centred x (n, d): 0 (constant) to d.

    Roy and Vetterli, "The effective rank: a measure of effective dimensionality", 2007.

    >>> import numpy as np
    >>> line = np.outer(np.arange(10.0), [1.0, 2.0, 3.0])
    >>> round(effective_rank(line), 6)
    1.0
    """
    matrix = as_matrix(x)
    if is_constant(matrix):
        return 0.0
    centred = matrix - matrix.mean(0)
    n, d = centred.shape
    gram = centred.T @ centred if d <= n else centred @ centred.T
    values = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0, None))
    values[values < values[-1] * RELATIVE_RANK] = 0.0
    share = values[values > 0] / values.sum()
    return float(np.exp(-(share * np.log(share)).sum()))
