"""An embedding in two dimensions: its principal components, or UMAP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from probes._measure import ArrayLike, Floats, ProbeError, as_matrix, is_constant
from probes._states import SAME
from probes._variables import Ints, sampled_rows

Method = Literal["pca", "umap"]

UMAP_ROWS = 5_000
"""Rows that UMAP is given at most: these take half a minute in 1,280 dimensions."""

NEIGHBOURS = 15
"""UMAP's own number of neighbours; fewer rows have fewer."""

MIN_UMAP_ROWS = 5
"""Fewer rows have no neighbourhood to keep."""


@dataclass(frozen=True)
class Projection:
    """Points in the plane, and the rows they are of."""

    method: Method
    points: Floats | None
    """(m, 2)."""
    rows: Ints
    """(m,) the rows of the embedding that are drawn: all, or a sample."""
    explained: Floats | None = None
    """(min(n, d),) the share of the variance along each principal component; None for UMAP."""
    reason: str | None = None
    """Why there are no points."""


def project(x: ArrayLike, method: Method = "pca", *, seed: int = 0) -> Projection:
    """The rows of x (n, d) in two dimensions.

    ``pca``: the first two principal components, each with the sign that makes its largest loading positive
    (a second coordinate of 0 where d = 1), of at most :data:`probes.ROWS` rows. ``umap``: UMAP (McInnes et
    al., arXiv 1802.03426) with 15 neighbours, or as many as there are, of at most 5,000 rows; it keeps
    neighbourhoods, and neither distances nor directions mean anything in it. The result has no points, but a
    reason, for constants and for UMAP of fewer than 5 rows. Raises :class:`ProbeError`.

    >>> import numpy as np
    >>> projection = project(np.outer(np.arange(5.0), [3.0, 4.0]))
    >>> projection.explained.round(6).tolist(), projection.points[:, 0].round(6).tolist()
    ([1.0, 0.0], [-10.0, -5.0, 0.0, 5.0, 10.0])
    """
    matrix = as_matrix(x)
    if method not in ("pca", "umap"):
        raise ProbeError(f"method is {method!r}, expected 'pca' or 'umap'")
    rows = sampled_rows(len(matrix), seed) if method == "pca" else sampled_rows(len(matrix), seed, UMAP_ROWS)
    matrix = matrix[rows]
    if is_constant(matrix):
        return Projection(method, None, rows, reason="the embedding is constant")
    if method == "pca":
        return _principal(matrix, rows)
    if len(matrix) < MIN_UMAP_ROWS:
        return Projection(method, None, rows, reason=f"{len(matrix)} rows, UMAP needs {MIN_UMAP_ROWS}")
    return Projection(method, _umap(matrix, seed), rows)


@dataclass(frozen=True)
class Plane:
    """The plane of an embedding's first two principal components, as a map of points (m, d) to (m, 2).

    Points of two dimensions stay as they are; of one dimension they get a second coordinate of 0.

    >>> import numpy as np
    >>> x = np.outer(np.arange(3.0), [0.0, 3.0, 4.0])
    >>> np.abs(Plane.of(x)(x)[:, 0]).round(6).tolist()
    [5.0, 0.0, 5.0]
    """

    centre: Floats
    """(d,) the embedding's mean."""
    axes: Floats
    """(d, 2) orthonormal."""

    @classmethod
    def of(cls, x: Floats) -> Plane:
        """The plane of an embedding (n, d)."""
        d = x.shape[1]
        if d <= 2:
            return cls(np.zeros(d), np.eye(d, 2))
        centre = x.mean(0)
        centred = x - centre
        size = np.abs(centred).max()
        if size == 0:
            return cls(centre, np.eye(d, 2))
        first = _signed(principal_axes(centred / size)[1][:, :2])
        if first.shape[1] < 2:  # points on a line: any direction across it will do
            first = _signed(np.linalg.qr(np.concatenate([first, np.eye(d)], 1))[0][:, :2])
        return cls(centre, first)

    def __call__(self, points: Floats) -> Floats:
        """Coordinates (m, 2) of points (m, d)."""
        if points.shape[1] == 1:
            return np.concatenate([points, np.zeros_like(points)], 1)
        return points if points.shape[1] == 2 else np.asarray((points - self.centre) @ self.axes)


def principal_axes(x: Floats) -> tuple[Floats, Floats]:
    """Squared singular values (r,) of x (n, d), the largest first, and its right singular vectors (d, r)."""
    wide = x.shape[1] > x.shape[0]
    values, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    keep = values > values[-1] * np.finfo(float).eps * max(x.shape)
    values, vectors = values[keep][::-1], vectors[:, keep][:, ::-1]
    return values, x.T @ (vectors / np.sqrt(values)) if wide else vectors


def _principal(x: Floats, rows: Ints) -> Projection:
    centred = (x - x.mean(0)) / np.abs(x - x.mean(0)).max()
    values, vectors = principal_axes(centred)
    first = _signed(vectors[:, :2])
    points = np.zeros((len(x), 2))
    points[:, : first.shape[1]] = (x - x.mean(0)) @ first
    explained = np.zeros(min(x.shape))
    explained[: len(values)] = values / values.sum()
    return Projection("pca", points, rows, explained)


def _signed(directions: Floats) -> Floats:
    """Directions (d, k), each with the sign that makes its largest entry positive."""
    largest = (np.abs(directions) >= (1 - SAME) * np.abs(directions).max(0)).argmax(0)  # the first of equals
    return np.asarray(directions * np.sign(directions[largest, np.arange(directions.shape[1])]))


def _umap(x: Floats, seed: int) -> Floats:
    import warnings

    from threadpoolctl import threadpool_limits

    # Its compiler raises the process's number of threads for good, torch's too; the limits put it back.
    with threadpool_limits(1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImportWarning)  # an optional part that is not used here
            import umap
        # One job: with a seed it would take no more, and warns of that.
        model = umap.UMAP(n_neighbors=min(NEIGHBOURS, len(x) - 1), random_state=seed % 2**32, n_jobs=1)
        return np.asarray(model.fit_transform(x), np.float64)
