"""A synthetic zoo: pairs of embeddings whose relation is known, for calibrating what the probes say.

A base embedding y is Gaussian with a flat or a falling spectrum. The transfer's is y moved by a map of a
known relation, plus noise; ``bent`` adds a smooth non-linear deformation, as frozen models cause. Every map
is drawn until the rungs below it explain at least SEPARATION less of the base than it does itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import ortho_group

Array = NDArray[np.float64]

SEPARATION = 0.2
"""R² that a true map explains beyond every rung below it, in the population."""

RELATIONS = ("matched", "flipped", "permuted", "rotated", "rescaled", "affine", "collapsed", "unrelated")


@dataclass(frozen=True)
class Population:
    """Paired rows of d dimensions, as many as wanted."""

    relation: str
    matrix: Array
    """(d, d): the base's rows times this, plus ``offset``, are the transfer's before noise and bend."""
    offset: Array
    deviations: Array
    """(d,) of the base's axes."""
    partner: NDArray[np.int64]
    phase: Array
    noise: float
    """White, its size a share of the moved embedding's standard deviation."""
    bent: float
    """Share of the base's variance that the true map leaves to a smooth deformation (0.4: R² about 0.6)."""

    @property
    def axes(self) -> tuple[int, ...]:
        """The negated axes of a flip."""
        flipped = self.relation == "flipped"
        return tuple(int(j) for j in np.flatnonzero(np.diag(self.matrix) < 0)) if flipped else ()

    def sample(self, n: int, rng: np.random.Generator, base: Array | None = None) -> tuple[Array, Array]:
        """The transfer's embedding x and the base's y, both (n, d); of ``base`` where it is given."""
        d = len(self.deviations)
        y = rng.normal(size=(n, d)) * self.deviations if base is None else base
        shape = rng.normal(size=(n, d)) * self.deviations if self.relation == "unrelated" else y
        if self.bent:
            # The mean square of a sine of a normal variable thrice as wide as its period is 1/2.
            wave = np.sin(3 * shape[:, self.partner] / self.deviations[self.partner] + self.phase)
            shape = shape + wave * np.sqrt(2 * self.bent * np.square(self.deviations).mean())
        moved = shape @ self.matrix + self.offset
        spread = np.square(self.deviations[:, None] * self.matrix).sum(0).mean() * (1 + self.bent)
        return moved + self.noise * np.sqrt(spread) * rng.normal(size=moved.shape), y


def population(relation: str, d: int, seed: int, noise: float = 0.1, bent: float = 0.0) -> Population:
    """A population of this relation, its map and spectrum drawn from the seed."""
    rng = np.random.default_rng([seed, d, RELATIONS.index(relation)])
    deviations = np.ones(d) if rng.random() < 0.5 else np.arange(1, d + 1) ** -0.25
    deviations = deviations[rng.permutation(d)]
    matrix, offset = _draw(relation, d, deviations, rng)
    partner, phase = rng.permutation(d), rng.uniform(0, 2 * np.pi, d)
    return Population(relation, matrix, offset, deviations, partner, phase, noise, bent)


def _draw(relation: str, d: int, deviations: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    none = np.zeros(d)
    if relation == "matched":
        return np.eye(d), none
    if relation == "unrelated":
        return _turn(d, rng), none
    if relation == "collapsed":
        kept = max(1, d // 8)
        return rng.normal(size=(d, kept)) @ rng.normal(size=(kept, d)) / np.sqrt(kept * d), none
    for _ in range(10_000):
        matrix, offset, lower = _map(relation, d, deviations, float(np.square(deviations).sum()), rng)
        if lower <= 1 - SEPARATION:
            return matrix, offset
    raise RuntimeError(f"no {relation} map of {d} dimensions stands apart from the rungs below it")


def _map(
    relation: str, d: int, deviations: Array, spread: float, rng: np.random.Generator
) -> tuple[Array, Array, float]:
    """A map from base to transfer, its offset, and the R² of the best map of the rungs below its own."""
    none = np.zeros(d)
    if relation == "flipped":
        signs = np.where(rng.random(d) < rng.uniform(0.1, 1), -1.0, 1.0)
        return np.diag(signs), none, 1 - 4 * float(np.square(deviations[signs < 0]).sum()) / spread
    if relation == "permuted":
        matrix = np.eye(d)[rng.permutation(d)] * rng.choice([-1.0, 1.0], d)
        return matrix, none, _best_diagonal(matrix, deviations, spread)
    if relation == "rotated":
        turn = _turn(d, rng)
        return turn, none, _best_permutation(turn, deviations, spread)
    if relation == "rescaled":
        scale = float(rng.choice([rng.uniform(0.2, 0.5), rng.uniform(1.6, 4.0)]))
        return scale * _turn(d, rng), none, 1 - (1 - scale) ** 2
    if rng.random() < 0.3:  # displaced
        offset = rng.normal(size=d)
        offset *= rng.uniform(0.5, 2) * np.sqrt(spread) / np.linalg.norm(offset)
        return np.eye(d), offset, 1 - float(np.square(offset).sum()) / spread
    matrix = _turn(d, rng) @ np.diag(np.exp(rng.uniform(-1.2, 1.2, d))) @ _turn(d, rng)
    # x = yA: the best c·Q takes x back to y up to what the singular values' spread leaves.
    cross = (matrix.T * np.square(deviations)).T
    values = np.linalg.svd(cross, compute_uv=False)
    power = float(np.square(deviations[:, None] * matrix).sum())
    return matrix, none, float(values.sum() ** 2 / power / spread)


def _best_diagonal(matrix: Array, deviations: Array, spread: float) -> float:
    """R² of the best axis signs for x = y·matrix, an orthogonal matrix."""
    return 1 - _residual(np.abs(np.diag(matrix) * np.square(deviations)).sum(), spread)


def _best_permutation(matrix: Array, deviations: Array, spread: float) -> float:
    products = np.abs(matrix * np.square(deviations)[:, None])
    rows, columns = linear_sum_assignment(products, maximize=True)
    return 1 - _residual(products[rows, columns].sum(), spread)


def _residual(overlap: float, spread: float) -> float:
    """Share of the base's variance left by a map that keeps lengths, from Σ E[x̂·y]."""
    return 2 * (1 - overlap / spread)


def _turn(d: int, rng: np.random.Generator) -> Array:
    return np.asarray(ortho_group.rvs(d, random_state=rng)) if d > 1 else np.ones((1, 1))
