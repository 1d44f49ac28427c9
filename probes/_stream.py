"""Measures on data larger than memory: one pass over batches, O(d²) memory, float64 sums.

Rows are dealt into blocks by a hash of their group. Where none are given it is one of where the row lies
among cells that are far wider than rounding, so that equal rows meet in one block, and that a change of the
last bit moves one row in a billion (and none of the others) to another. Even blocks fit what odd blocks
score, and the other way round; blocks are what is resampled.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from probes._alignment import CANDIDATES, Ladder, Step, stability_of, why_undefined
from probes._axes import AxisCorrelations, correlations_of
from probes._cca import mean_correlation, weighted_correlation
from probes._channels import MARGIN
from probes._cka import biased_cka, debiased_cka
from probes._collapse import Collapse, collapse_of
from probes._distance import Distance
from probes._maps import RUNGS, Map, cross_products, fitted
from probes._measure import (
    CONSTANT_BASE,
    ArrayLike,
    Floats,
    Labels,
    Measure,
    ProbeError,
    check_size,
    finite_rows,
    real_matrix,
)
from probes._moments import Frame, Moments
from probes._nulls import association
from probes._procrustes import shape_overlap
from probes._relation import RelationResult, decide
from probes._resampling import DRAWS, Score, interval, jackknifed
from probes._states import row_keys, typical

MOST_BLOCKS, LEAST_BLOCKS = 64, 8
BLOCK_BYTES = 2**27
"""Memory that all blocks' sums may take; wider data get fewer blocks, but never under eight."""

BATCH_BYTES = 2**25
"""Size of a batch in bytes, as float64."""

CELL = 1e-4
"""Width of the cells that rows are dealt by, as a share of what two rows of the first batch typically differ
by (:func:`probes._states.typical`). Rounding in single precision is a thousandth of it, so that of a thousand
equal rows one may go to another block; rows that share a cell without being equal only share a block."""

DIRECTIONS = 2
"""Directions in which cells are counted: 10⁸ cells or more in which to tell rows apart."""


class Stream:
    """Sums over batches of paired rows, and the measures that follow from them.

    >>> rng = np.random.default_rng(0)
    >>> stream = Stream()
    >>> for _ in range(5):
    ...     y = rng.normal(size=(1000, 4))
    ...     stream.add(y * [1, -1, 1, 1] + 0.1 * rng.normal(size=y.shape), y)
    >>> result = stream.relation()
    >>> result.relation, result.axes
    ('flipped', (1,))
    """

    def __init__(self, *, drop_nonfinite: bool = False, seed: int = 0) -> None:
        self.seed = seed
        self.drop_nonfinite = drop_nonfinite
        self.nonfinite = 0
        """Rows with NaN or infinity so far."""
        self.rows = 0
        """All rows so far, finite or not."""
        self._blocks: list[Moments | None] = []
        self._distances: Floats = np.zeros(0)
        self._squares: Floats = np.zeros(0)
        self._frames: tuple[Frame, Frame] | None = None
        self._typical = (1.0, 1.0)

    def add(self, x: ArrayLike, y: ArrayLike, groups: Labels | None = None) -> None:
        """Take in a batch of paired rows x (n, d₁) and y (n, d₂), and their states or episodes (n,).

        Rows with NaN or infinity are counted; unless they are to be dropped, every measure then raises
        ProbeError. Raises it for shapes that do not fit.
        """
        left, right = real_matrix(x, "x"), real_matrix(y, "y")
        if len(left) != len(right):
            raise ProbeError(f"x has {len(left)} rows and y has {len(right)}, expected pairs")
        if self._frames is not None:
            wanted = tuple(len(f.origin) for f in self._frames)
            if (left.shape[1], right.shape[1]) != wanted:
                raise ProbeError(
                    f"a batch has {left.shape[1]} and {right.shape[1]} dimensions, the first had {wanted}"
                )
        stay = finite_rows(left) & finite_rows(right)
        self.rows += len(left)
        self.nonfinite += int((~stay).sum())
        label = None if groups is None else np.asarray(groups)
        if not stay.all():
            if not self.drop_nonfinite or not stay.any():
                return
            left, right = left[stay], right[stay]
            label = None if label is None else label[stay]
        if len(left) == 0:
            return
        check_size(left, "x")
        check_size(right, "y")
        if self._frames is None:
            self._begin(left, right)
        assert self._frames is not None
        keys = row_keys(self._cells(left, right)) if label is None else _mixed(label)
        block = ((keys >> np.uint64(32)) % np.uint64(len(self._blocks))).astype(np.int64)
        order = np.argsort(block, kind="stable")
        left, right, block = left[order], right[order], block[order]
        if left.shape == right.shape:
            squares = np.square(left - right)
            self._squares += squares.sum(0)
            self._distances += np.bincount(block, np.sqrt(squares.sum(1)), len(self._blocks))
        ends = np.searchsorted(block, np.arange(len(self._blocks) + 1))
        for number in range(len(self._blocks)):
            part = slice(ends[number], ends[number + 1])
            if ends[number] == ends[number + 1]:
                continue
            sums = Moments.of(left[part], right[part], self._frames)
            known = self._blocks[number]
            self._blocks[number] = sums if known is None else known + sums

    def _begin(self, x: Floats, y: Floats) -> None:
        self._frames = Frame.of(x), Frame.of(y)
        # The frames' units will not do: they are the largest deviations, and one outlier would put all other
        # rows into one cell.
        self._typical = typical(x) or self._frames[0].unit, typical(y) or self._frames[1].unit
        a, b = x.shape[1], y.shape[1]
        count = BLOCK_BYTES // (8 * (a * a + b * b + a * b))
        self._blocks = [None] * int(np.clip(count // 2 * 2, LEAST_BLOCKS, MOST_BLOCKS))
        self._distances = np.zeros(len(self._blocks))
        self._squares = np.zeros(a)

    def _cells(self, x: Floats, y: Floats) -> Floats:
        """(n, :data:`DIRECTIONS`) the cell of each row along random directions of x and y side by side.

        Its beginning is random too: a row at the first batch's mean, or at zero, would lie on an edge.
        """
        assert self._frames is not None
        along = np.zeros((len(x), DIRECTIONS))
        for number, (frame, size, rows) in enumerate(zip(self._frames, self._typical, (x, y), strict=True)):
            turn = np.random.default_rng([66, number]).normal(size=(rows.shape[1], DIRECTIONS))
            along += (rows - frame.origin) @ turn / (size * np.sqrt(rows.shape[1]))
        return np.floor(along / CELL + np.random.default_rng(67).random(DIRECTIONS))

    def _filled(self) -> list[tuple[int, Moments]]:
        """The blocks that hold rows, with their numbers; raises ProbeError where there is nothing to say."""
        if self.nonfinite and not self.drop_nonfinite:
            raise ProbeError(
                f"{self.nonfinite} of {self.rows} rows have NaN or infinity, expected finite numbers"
            )
        filled = [(number, block) for number, block in enumerate(self._blocks) if block is not None]
        if sum(block.n for _, block in filled) < 2:
            raise ProbeError(f"{self.rows - self.nonfinite} finite rows, expected at least 2")
        return filled

    @property
    def moments(self) -> Moments:
        """The sums of all rows."""
        return _sum(self._filled())

    def _scored(self, score: Score, low: float = 0.0, cubic: bool = True) -> Measure:
        blocks = [block for _, block in self._filled()]
        return jackknifed(self.moments, blocks, score, low, cubic)

    def cka(self, *, debiased: bool = False) -> Measure:
        """Streamed :func:`probes.cka`, with the p of :func:`probes.independence` by moments."""
        measure = self._scored(debiased_cka if debiased else biased_cka, -1.0 if debiased else 0.0, False)
        return replace(measure, p=association(self.moments))

    def cca(self) -> Measure:
        """Streamed :func:`probes.cca`."""
        return self._scored(mean_correlation)

    def pwcca(self) -> Measure:
        """Streamed :func:`probes.pwcca`."""
        return self._scored(weighted_correlation)

    def procrustes(self) -> Measure:
        """Streamed :func:`probes.procrustes`."""
        return self._scored(shape_overlap)

    def axis_correlations(self, order: Sequence[int] | None = None) -> AxisCorrelations:
        """Streamed :func:`probes.axis_correlations`."""
        return correlations_of([block for _, block in self._filled()], order)

    def l2(self) -> Distance:
        """Streamed :func:`probes.l2`, without the distance of each row (``per_state`` is empty)."""
        filled = self._filled()
        total = self.moments
        if len(total.x) != len(total.y):
            raise ProbeError(f"x has {len(total.x)} dimensions and y has {len(total.y)}, expected equal")
        weights = self._weights(len(filled))
        each = np.array([self._distances[number] for number, _ in filled])
        rows = np.array([block.n for _, block in filled], np.float64)
        spread = _spreads(filled, total)
        axes = np.sqrt(self._squares / total.n)
        draws = (weights @ each) / (weights @ rows)
        mean = interval(float(each.sum() / total.n), draws, len(filled), low=0.0)
        if not total.y_moves.any():
            return Distance(np.empty(0), axes, mean, Measure.undefined(CONSTANT_BASE))
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = draws / np.sqrt((weights @ spread) / (weights @ rows))
        value = float(each.sum() / total.n / np.sqrt(spread.sum() / total.n))
        relative = interval(value, shares, len(filled), low=0.0)
        return Distance(np.empty(0), axes, mean, relative)

    def collapse(self) -> Collapse:
        """Streamed :func:`probes.collapse`."""
        filled = self._filled()
        total = self.moments
        back = [(number, block.swapped) for number, block in filled]
        spreads = np.stack([_spreads(back, total.swapped), _spreads(filled, total)], 1)
        draws = self._weights(len(filled)) @ spreads
        blocks = [block for _, block in filled]
        return collapse_of(total, blocks, spreads.sum(0), draws, len(filled), self.seed)

    def ladder(self) -> Ladder:
        """Streamed :func:`probes.ladder`; :attr:`Ladder.states` counts rows."""
        return self._climb(self._filled())

    def relation(self, *, margin: float = MARGIN) -> RelationResult:
        """Streamed :func:`probes.relation`."""
        if not 0 <= margin <= 1:
            raise ProbeError(f"margin is {margin}, expected 0 to 1")
        filled = self._filled()
        back = [(number, block.swapped) for number, block in filled]
        return decide(self._climb(filled), self._climb(back), self.collapse(), margin)

    def _climb(self, filled: list[tuple[int, Moments]]) -> Ladder:
        total = _sum(filled)
        weights = self._weights(len(filled))
        spread = _spreads(filled, total)
        parted = [[pair for pair in filled if pair[0] % 2 == side] for side in (0, 1)]
        halves = [_sum(half) if half else None for half in parted]
        one_sided = halves[0] is None or halves[1] is None
        rows = 0 if one_sided else int(total.n)
        steps, draws = [], np.full((len(weights), len(CANDIDATES)), np.nan)
        for column, (rung, shifted) in enumerate(CANDIDATES):
            dimensions = (len(total.x), len(total.y))
            reason = why_undefined(rung, shifted, dimensions, rows, rows, not total.y_moves.any())
            if reason is not None:
                steps.append(Step(rung, Measure.undefined(reason), None))
                continue
            maps = [None if half is None else fitted(rung, half, shifted) for half in halves]
            error = np.array([_error(block, maps[1 - number % 2] or Map()) for number, block in filled])
            with np.errstate(divide="ignore", invalid="ignore"):
                draws[:, column] = 1 - (weights @ error) / (weights @ spread)
            value = 1 - float(error.sum() / spread.sum())
            r2 = interval(value, draws[:, column], len(filled), high=1.0)
            steps.append(Step(rung, r2, fitted(rung, total, shifted)))
        return Ladder(
            tuple(steps[: len(RUNGS)]),
            tuple(steps[len(RUNGS) :]),
            int(total.n),
            draws,
            _sign_stability(filled, weights, total, centred=False),
            _sign_stability(filled, weights, total, centred=True),
            len(filled),
            (len(total.x), len(total.y)),
            int(total.n),
        )

    def _weights(self, count: int) -> Floats:
        rng = np.random.default_rng(self.seed)
        return rng.multinomial(count, np.full(count, 1 / count), size=DRAWS).astype(np.float64)


def streamed(
    x: ArrayLike,
    y: ArrayLike,
    *,
    groups: Labels | None = None,
    drop_nonfinite: bool = False,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Stream:
    """A :class:`Stream` over arrays (n, ...), such as memory maps, some rows at a time.

    ``progress`` is called with the number of rows after each batch. Raises ProbeError.
    """
    if len(x) != len(y):
        raise ProbeError(f"x has {len(x)} rows and y has {len(y)}, expected pairs")
    widest = max(int(np.prod(v.shape[1:])) for v in (x, y))
    rows = max(256, BATCH_BYTES // (8 * max(widest, 1)))
    stream = Stream(drop_nonfinite=drop_nonfinite, seed=seed)
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        stream.add(x[part], y[part], None if groups is None else groups[part])
        if progress is not None:
            progress(len(x[part]))
    return stream


def _mixed(label: NDArray[np.generic]) -> NDArray[np.uint64]:
    """(n,) well-mixed numbers, equal for equal labels."""
    if label.dtype.kind not in "iub":
        raise ProbeError(f"groups of a stream are {label.dtype}, expected whole numbers")
    return row_keys(label.astype(np.float64)[:, None])


def _sum(blocks: list[tuple[int, Moments]]) -> Moments:
    """The sums of numbered blocks, at least one, taken together."""
    return functools.reduce(operator.add, (block for _, block in blocks))


def _spreads(filled: list[tuple[int, Moments]], total: Moments) -> Floats:
    """(blocks,) Σ ‖y − ȳ‖² of each block about the mean of all."""
    mean = total.y / total.n
    unit = total.y_frame.unit**2
    return np.array([unit * (np.trace(b.yy) - 2 * mean @ b.y + b.n * mean @ mean) for _, b in filled])


def _error(m: Moments, the_map: Map) -> float:
    """Σ ‖map(x) − y‖² from sums."""
    x_frame, y_frame = m.frames
    ratio = x_frame.unit / y_frame.unit
    # In the frames, y ≈ x·N + c, with c the mapped origin.
    c = (the_map(x_frame.origin[None])[0] - y_frame.origin) / y_frame.unit
    plain = replace(the_map, offset=None)
    if the_map.matrix is None:
        order = np.arange(len(m.x)) if the_map.order is None else np.array(the_map.order)
        signs = np.ones(len(order)) if the_map.signs is None else np.array(the_map.signs, np.float64)
        own = ratio**2 * float(np.diag(m.xx)[order].sum())
        cross = ratio * float((signs * m.xy[order, np.arange(len(order))]).sum())
    else:
        own = ratio**2 * float(((m.xx @ the_map.matrix) * the_map.matrix).sum())
        cross = ratio * float((m.xy * the_map.matrix).sum())
    moved = ratio * plain(m.x[None])[0]
    error = own + 2 * c @ moved + m.n * c @ c - 2 * cross - 2 * c @ m.y + np.trace(m.yy)
    return max(0.0, float(error)) * y_frame.unit**2


def _products(filled: list[tuple[int, Moments]], total: Moments, centred: bool) -> Floats:
    """(blocks, d) Σ x·y of each axis, of the rows as they are or less their means."""
    x_frame, y_frame = total.frames
    if centred:
        x_at, y_at = total.x / total.n, total.y / total.n
    else:
        x_at, y_at = -x_frame.origin / x_frame.unit, -y_frame.origin / y_frame.unit
    return np.array([np.diag(b.xy) - x_at * b.y - y_at * b.x + b.n * x_at * y_at for _, b in filled])


def _sign_stability(
    filled: list[tuple[int, Moments]], weights: Floats, total: Moments, centred: bool
) -> Floats:
    if len(total.x) != len(total.y):
        return np.empty(0)
    products = _products(filled, total, centred)
    sizes = np.diag(cross_products(total, centred)[1])
    if centred:
        products = products * (total.x_moves & total.y_moves)
    else:
        sizes = sizes / (total.x_frame.unit * total.y_frame.unit)
    return stability_of(products.sum(0), weights @ products, sizes)
