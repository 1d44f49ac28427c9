"""What every measure of two embeddings must see and what it must not: one table, as data.

Rows are measures of the transfer's embedding x and the base's y, columns are what is done to x (or, where
the name says so, to both). A cell compares the measure afterwards with the measure before:

=========  =================================================================================================
``=``      invariant: the same to :data:`SAME`, also at an offset of 10³ and in units of 10⁻⁶ and 10⁶
``≠``      variant: another number, by more than :data:`OTHER`, in a direction that depends on the data
``↑ ↓``    variant: larger, or smaller, by more than :data:`OTHER`
``0.364``  this number: a whole one to :data:`EXACT`, any other to the digits that are written
``?why``   undefined: no value, and a reason in the words of :data:`REASONS`
``!why``   refused: ProbeError, in the words of :data:`REASONS`
a word     what ``relation`` must answer; ``axes`` has the negated axes, ``∅`` for none
=========  =================================================================================================

x and y are related but not equal, their axes are correlated, of unequal spread and unequally noisy, and
their means are not 0, so that no ``=`` holds by accident: every similarity of x and y lies well within
(0, 1). A row with a streamed form must satisfy its cells twice, and both forms must agree.

The numbers: y has 60 rows and singular values as 3 : 2 : 1, so that its effective rank is
exp(ln 2/2 + ln 3/3 + ln 6/6) = 2.7495 (a line's is 1, or 0.3637 of that), and its CKA with its own rows
shuffled is 14²/98/59 = 0.033898 on average. One row of 60, 0.0167, has a given point nearest to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

import probes

Array: TypeAlias = NDArray[np.float64]

SAME = 1e-9
"""Relative to the larger of 1 and the number: what 16 digits may lose to sums of squares."""
OTHER = 1e-3
"""A million times more than :data:`SAME`."""
EXACT = 1e-6
"""An arc cosine near 1 keeps half the digits."""
AGREED = 1e-6
"""How far a streamed measure may lie from the same in memory, relative to the larger of 1 and the number."""
HALVES = 0.3
"""…or, where a rung is fitted, as a share of what it leaves unexplained: they are fitted on other halves."""

REASONS = {
    "?x": r"^x is constant$",
    "?y": r"^(y|the base's embedding) is constant$",
    "?rows": r"^24 rows, more than rank x \+ rank y = \d+ are needed$",
    "?self": r"^an unbiased self-similarity is not positive$",
    "?dims": r"^the embeddings have 4 and 3 dimensions$",
    "?states": r"24 distinct states, more than (49|61) are needed to fit (24|30) dimensions on a half$",
    "!dims": r"^x has 4 dimensions and y has 3, expected equal$",
    "!nan": r"1 of 60 rows (with|have) NaN or infinity, expected finite numbers$",
}

MAPS = """
               itself   same    reorder sign    permute  rotate  reflect scale    linear offset
l2             0        =       =       ↑       ↑        ↑       ↑       ↑        ↑      ↑
l2_relative    0        =       =       ↑       ↑        ↑       ↑       ↑        ↑      ↑
cosine         1        =       =       ↓       ↓        ↓       ↓       =        ↓      ↓
axis_correlations 1     =       =       ↓       ↓        ↓       ↓       =        ↓      =
nearest_own    1        =       =       ↓       ↓        ↓       ↓       ↓        ↓      ↓
cca            1        =       =       =       =        =       =       =        =      =
svcca          1        =       =       =       =        =       =       =        ≠      =
pwcca          1        =       =       =       =        ≠       ≠       =        ≠      =
cka            1        =       =       =       =        =       =       =        ≠      =
cka_debiased   1        =       =       =       =        =       =       =        ≠      =
cka_chance     0.033898 =       =       =       =        =       =       =        ≠      =
cka_log_p      ↓        =       =       =       =        =       =       =        ≠      =
procrustes     1        =       =       =       =        =       =       =        ≠      =
shape_distance 0        =       =       =       =        =       =       =        ≠      =
knn_overlap    1        =       =       =       =        =       =       =        ≠      =
identity       1        =       =       ↓       ↓        ↓       ↓       ↓        ↓      ↓
signs          1        =       =       =       ↓        ↓       ↓       ↓        ↓      ↓
permutation    1        =       =       =       =        ↓       ↓       ↓        ↓      ↓
orthogonal     1        =       =       =       =        =       =       ↓        ↓      =
similarity     1        =       =       =       =        =       =       =        ↓      =
affine         1        =       =       =       =        =       =       =        =      =
channels       1        =       =       =       =        =       =       =        =      =
flip           0        =       =       ↑       ↑        ≠       ≠       =        ≠      =
effective_rank 2.7495   =       =       =       =        =       =       =        ≠      =
rank_ratio     1        =       =       =       =        =       =       =        ≠      =
variance_ratio 1        =       =       =       =        =       =       ↑        ≠      =
relation       matched  matched matched flipped permuted rotated rotated rescaled affine affine
axes           ∅        ∅       ∅       0,2     ∅        ∅       ∅       ∅        ∅      ∅
"""
"""Maps that lose nothing."""

SIZES = """
               +10³   ×10⁻⁶    ×10⁶     both+10³ both×10⁻⁶ both×10⁶ n=d     n<d     n<d,turned n<d,copied
l2             ↑      ↑        ↑        =        ↓         ↑        ↑       ↑       ↑          =
l2_relative    ↑      ↑        ↑        =        =         =        ↑       ↑       ↑          =
cosine         ↓      =        =        ↑        =         =        ↓       ↓       ↓          =
axis_correlations =   =        =        =        =         =        ↓       ↓       ↓          =
nearest_own    ↓      0.0167   ↓        =        =         =        ↓       ↓       ↓          =
cca            =      =        =        =        =         =        ?rows   ?rows   ?rows      =
svcca          =      =        =        =        =         =        ?rows   ?rows   ?rows      =
pwcca          =      =        =        =        =         =        ?rows   ?rows   ?rows      =
cka            =      =        =        =        =         =        =       =       =          =
cka_debiased   =      =        =        =        =         =        =       =       =          =
cka_chance     =      =        =        =        =         =        =       =       =          =
cka_log_p      =      =        =        =        =         =        =       =       =          =
procrustes     =      =        =        =        =         =        =       =       =          =
shape_distance =      =        =        =        =         =        =       =       =          =
knn_overlap    =      =        =        =        =         =        =       =       =          =
identity       ↓      ↓        ↓        =        =         =        ↓       ↓       ↓          =
signs          ↓      ↓        ↓        =        =         =        =       =       ↓          =
permutation    ↓      ↓        ↓        =        =         =        =       =       ↓          =
orthogonal     =      ↓        ↓        =        =         =        ?states ?states ?states    ?states
similarity     =      =        =        =        =         =        ?states ?states ?states    ?states
affine         =      =        =        =        =         =        ?states ?states ?states    ?states
channels       =      =        =        =        =         =        ?states ?states ?states    ?states
flip           ↑      =        =        =        =         =        ↑       ↑       ≠          =
effective_rank =      =        =        =        =         =        =       =       =          =
rank_ratio     =      =        =        =        =         =        =       =       =          =
variance_ratio =      ↓        ↑        =        =         =        =       =       =          =
relation       affine rescaled rescaled matched  matched   matched  flipped flipped ?states    matched
axes           ∅      ∅        ∅        ∅        ∅         ∅        all     all     ∅          ∅
"""
"""Offsets and units that cost digits; then too few rows, with x negated, turned, or both with copied axes."""

DAMAGE = """
               noise   unrelated duplicate rank1     spike     constant  constant_y nan
l2             ↑       ↑         !dims     ↑         ↑         ↑         ≠          !nan
l2_relative    ↑       ↑         !dims     ↑         ↑         ↑         ?y         !nan
cosine         ↓       ↓         !dims     ↓         ↓         ↓         ↓          !nan
axis_correlations ↓    ↓         !dims     ↓         ↓         ?x        ?y         !nan
nearest_own    ↓       ↓         !dims     ↓         ↓         0.0167    ?y         !nan
cca            ↓       ↓         =         ≠         ≠         ?x        ?y         !nan
svcca          ↓       ↓         ≠         ≠         ≠         ?x        ?y         !nan
pwcca          ↓       ↓         ≠         ≠         ≠         ?x        ?y         !nan
cka            ↓       ↓         ≠         ≠         ↓         ?x        ?y         !nan
cka_debiased   ↓       ↓         ≠         ≠         ?self     ?x        ?y         !nan
cka_chance     ≠       ≠         ≠         ≠         ≠         ?x        ?y         !nan
cka_log_p      ↑       ↑         ≠         ≠         ↑         ?x        ?y         !nan
procrustes     ↓       ↓         ≠         ↓         ↓         ?x        ?y         !nan
shape_distance ↑       ↑         ≠         ↑         ↑         ?x        ?y         !nan
knn_overlap    ↓       ↓         ≠         ↓         ↓         ?x        ?y         !nan
identity       ↓       ↓         ?dims     ↓         ↓         ↓         ?y         !nan
signs          ↓       ↓         ?dims     ↓         ↓         ↓         ?y         !nan
permutation    ↓       ↓         ?dims     ↓         ↓         ↓         ?y         !nan
orthogonal     ↓       ↓         ?dims     ↓         ↓         ↓         ?y         !nan
similarity     ↓       ↓         ?dims     ↓         ↓         ↓         ?y         !nan
affine         ↓       ↓         =         ↓         ↓         ↓         ?y         !nan
channels       ↓       ↓         =         ↓         ↓         ↓         ?y         !nan
flip           =       ≠         ?dims     ≠         ≠         ↑         ?y         !nan
effective_rank ↑       ≠         ≠         1         1         0         =          !nan
rank_ratio     ↑       ≠         ≠         0.3637    0.3637    0         ?y         !nan
variance_ratio ↑       ≠         ↑         ≠         ↓         0         ?y         !nan
relation       matched unrelated affine    collapsed collapsed collapsed ?y         !nan
axes           ∅       ∅         ∅         ∅         ∅         ∅         ∅          !nan
"""
"""What loses something, or all."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Paired rows of the transfer's embedding and the base's, and a name for each of them."""

    x: Any
    y: Any
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, x: Any, y: Any) -> Pair:
        return cls(x, y, np.arange(len(x)))


def _exact(x: Array) -> Array:
    """x in numbers that float32 holds exactly."""
    return x.astype(np.float32).astype(np.float64)


def _made(n: int, spreads: Array, noise: Array, mean: Array) -> Pair:
    """y with these spreads along oblique axes, and x with noise of other sizes on each."""
    rng = np.random.default_rng(1)
    d = len(spreads)
    scores = rng.normal(size=(n, d))
    scores = np.linalg.qr(scores - scores.mean(0))[0] if d < n else scores
    oblique = np.linalg.qr(np.eye(d) + 0.4 * rng.normal(size=(d, d)))[0]
    y = np.sqrt(n) * (scores * spreads) @ (oblique * np.sign(np.diag(oblique))) + mean
    return Pair.of(_exact(y + noise * rng.normal(size=(n, d))), _exact(y))


def _turn(d: int) -> Array:
    """A rotation that mixes all axes."""
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(d, d)))[0]
    turn[:, 0] *= np.sign(np.linalg.det(turn))
    return turn


PLAIN = _made(60, np.array([3.0, 2.0, 1.0]), np.array([0.3, 0.6, 0.9]), np.array([0.8, -0.9, 0.6]))
FEW = _made(24, np.array([3.0, 2.0, 1.0]), np.array([0.1, 0.2, 0.4]), np.array([0.8, -0.9, 0.6]))
SQUARE = _made(24, np.ones(24), np.linspace(0.2, 0.8, 24), np.full(24, 0.3))
WIDE = _made(24, np.ones(30), np.linspace(0.2, 0.8, 30), np.full(30, 0.3))

HIGH = np.full(3, 1e3)
MIRROR = np.eye(3) - np.outer([1.0, -2.0, 3.0], [1.0, -2.0, 3.0]) / 7
SHEAR = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.0, 3.0]])


def _reordered(pair: Pair) -> Pair:
    order = np.random.default_rng(3).permutation(len(pair.rows))
    return Pair(pair.x[order], pair.y[order], pair.rows[order])


def _with_nan(x: Array) -> Array:
    return np.where((np.arange(len(x)) == 7)[:, None] & (np.arange(x.shape[1]) == 1), np.nan, x)


def _noise(x: Array) -> Array:
    return np.random.default_rng(2).normal(size=x.shape)


def _of_x(change: Callable[[Array], Any]) -> Callable[[Pair], Pair]:
    return lambda pair: Pair(change(pair.x), pair.y, pair.rows)


def _of_both(change: Callable[[Array], Any]) -> Callable[[Pair], Pair]:
    return lambda pair: Pair(change(pair.x), change(pair.y), pair.rows)


TRANSFORMATIONS: dict[str, tuple[Pair, Callable[[Pair], Pair]]] = {
    "itself": (PLAIN, lambda pair: Pair(pair.y.copy(), pair.y, pair.rows)),
    # The same numbers in single precision, in another order in memory and with an axis more.
    "same": (PLAIN, _of_both(lambda x: torch.from_numpy(np.asfortranarray(x, np.float32))[:, :, None])),
    "reorder": (PLAIN, _reordered),
    "sign": (PLAIN, _of_x(lambda x: x * [-1, 1, -1])),
    "permute": (PLAIN, _of_x(lambda x: x[:, [1, 2, 0]])),
    "rotate": (PLAIN, _of_x(lambda x: x @ _turn(3))),
    "reflect": (PLAIN, _of_x(lambda x: x @ MIRROR)),
    "scale": (PLAIN, _of_x(lambda x: 3 * x)),
    "linear": (PLAIN, _of_x(lambda x: x @ SHEAR)),
    "offset": (PLAIN, _of_x(lambda x: x + [2.0, -1.0, 0.0])),
    "+10³": (PLAIN, _of_x(lambda x: x + HIGH)),
    "×10⁻⁶": (PLAIN, _of_x(lambda x: 1e-6 * x)),
    "×10⁶": (PLAIN, _of_x(lambda x: 1e6 * x)),
    "both+10³": (PLAIN, _of_both(lambda x: x + HIGH)),
    "both×10⁻⁶": (PLAIN, _of_both(lambda x: 1e-6 * x)),
    "both×10⁶": (PLAIN, _of_both(lambda x: 1e6 * x)),
    "n=d": (SQUARE, _of_x(np.negative)),
    "n<d": (WIDE, _of_x(np.negative)),
    "n<d,turned": (WIDE, _of_x(lambda x: x @ _turn(30))),
    "n<d,copied": (FEW, _of_both(lambda x: np.tile(x, 10) / np.sqrt(10))),
    "noise": (PLAIN, _of_x(lambda x: x + 1.2 * _noise(x))),
    "unrelated": (PLAIN, _of_x(lambda x: 2 * _noise(x))),
    "duplicate": (PLAIN, _of_x(lambda x: np.concatenate([x, x[:, 2:]], 1))),
    "rank1": (PLAIN, _of_x(lambda x: np.outer(x @ [1.0, 1.0, -1.0], [1.0, -0.5, 0.3]))),
    # Less what 59 rows share, every product of two rows is 0, and the unbiased self-similarity with them.
    "spike": (PLAIN, _of_x(lambda x: np.where((np.arange(len(x)) == 11)[:, None], x, 0.1))),
    "constant": (PLAIN, _of_x(lambda x: np.full(x.shape, 5.1))),
    "constant_y": (PLAIN, lambda pair: Pair(pair.x, np.full(pair.y.shape, 5.1), pair.rows)),
    "nan": (PLAIN, _of_x(_with_nan)),
}
"""The pair that a column starts from, and what becomes of it."""


@cache
def pairs(transformation: str) -> tuple[Pair, Pair]:
    """The pair before a transformation and after it."""
    before, change = TRANSFORMATIONS[transformation]
    return before, change(before)


@cache
def _stream(pair: Pair) -> probes.Stream:
    """In three batches, the first of which is too short to stand for the rest."""
    stream = probes.Stream()
    for part in (slice(0, 7), slice(7, 20), slice(20, None)):
        stream.add(pair.x[part], pair.y[part], pair.rows[part])
    return stream


@cache
def _ladder(pair: Pair) -> probes.Ladder:
    return probes.ladder(pair.x, pair.y, groups=pair.rows, splits=10)


@cache
def _channels(pair: Pair) -> probes.Ladder:
    """Of a grid of two places that are alike, where a map of channels is one of the whole embedding."""
    flat = [torch.as_tensor(v).flatten(1) for v in (pair.x, pair.y)]
    x, y = (torch.stack([v, v], 1)[:, :, None] for v in flat)
    return probes.channel_ladders(x, y, layout="channels last", groups=pair.rows).ladders[probes.UNTURNED]


@cache
def _streamed_ladder(pair: Pair) -> probes.Ladder:
    return _stream(pair).ladder()


@cache
def _relation(pair: Pair) -> probes.RelationResult:
    return probes.relation(pair.x, pair.y)


@cache
def _streamed_relation(pair: Pair) -> probes.RelationResult:
    return _stream(pair).relation()


Found: TypeAlias = probes.Measure | str


def _word(found: probes.RelationResult) -> Found:
    return found.relation or probes.Measure.undefined(found.reason or "no reason")


def _axes(found: probes.RelationResult) -> str:
    every = found.axes and len(found.axes) == len(found.ladder.sign_stability)
    return "all" if every else ",".join(map(str, found.axes)) or "∅"


def _log_p(found: probes.Independence | probes.Measure) -> probes.Measure:
    return probes.Measure(None if found.p is None else float(np.log10(found.p)), reason=found.reason)


def _chance(pair: Pair) -> probes.Measure:
    found = probes.independence(pair.x, pair.y)
    return probes.Measure(found.mean, reason=found.reason)


def _mean_of_axes(found: probes.AxisCorrelations) -> probes.Measure:
    if found.reason is not None:
        return probes.Measure.undefined(found.reason)
    return probes.Measure(float(np.nanmean(found.values)))


MEASURES: dict[str, Callable[[Pair], Found]] = {
    "l2": lambda p: probes.l2(p.x, p.y).mean,
    "l2_relative": lambda p: probes.l2(p.x, p.y).relative,
    "cosine": lambda p: probes.cosine(p.x, p.y),
    "axis_correlations": lambda p: _mean_of_axes(probes.axis_correlations(p.x, p.y)),
    "nearest_own": lambda p: probes.nearest_own(p.x, p.y)[0],
    "cca": lambda p: probes.cca(p.x, p.y, interval=False),
    # Of 99% of the variance nothing would be dropped here, and SVCCA would be CCA.
    "svcca": lambda p: probes.svcca(p.x, p.y, kept=0.9, interval=False),
    "pwcca": lambda p: probes.pwcca(p.x, p.y, interval=False),
    "cka": lambda p: probes.cka(p.x, p.y, interval=False),
    "cka_debiased": lambda p: probes.cka(p.x, p.y, debiased=True, interval=False),
    "cka_chance": _chance,
    "cka_log_p": lambda p: _log_p(probes.independence(p.x, p.y)),
    "procrustes": lambda p: probes.procrustes(p.x, p.y, interval=False),
    "shape_distance": lambda p: probes.shape_distance(p.x, p.y, interval=False),
    "knn_overlap": lambda p: probes.knn_overlap(p.x, p.y),
    "identity": lambda p: _ladder(p)["identity"].r2,
    "signs": lambda p: _ladder(p)["signs"].r2,
    "permutation": lambda p: _ladder(p)["permutation"].r2,
    "orthogonal": lambda p: _ladder(p)["orthogonal"].r2,
    "similarity": lambda p: _ladder(p)["similarity"].r2,
    "affine": lambda p: _ladder(p)["affine"].r2,
    "channels": lambda p: _channels(p)["affine"].r2,
    "flip": lambda p: _relation(p).flip,
    "effective_rank": lambda p: probes.Measure(probes.effective_rank(p.x)),
    "rank_ratio": lambda p: probes.collapse(p.x, p.y).rank_ratio,
    "variance_ratio": lambda p: probes.collapse(p.x, p.y).variance_ratio,
    "relation": lambda p: _word(_relation(p)),
    "axes": lambda p: _axes(_relation(p)),
}

STREAMED: dict[str, Callable[[Pair], Found]] = {
    "l2": lambda p: _stream(p).l2().mean,
    "l2_relative": lambda p: _stream(p).l2().relative,
    "axis_correlations": lambda p: _mean_of_axes(_stream(p).axis_correlations()),
    "cca": lambda p: _stream(p).cca(),
    "pwcca": lambda p: _stream(p).pwcca(),
    "cka": lambda p: _stream(p).cka(),
    "cka_debiased": lambda p: _stream(p).cka(debiased=True),
    "cka_log_p": lambda p: _log_p(_stream(p).cka()),
    "procrustes": lambda p: _stream(p).procrustes(),
    "identity": lambda p: _streamed_ladder(p)["identity"].r2,
    "signs": lambda p: _streamed_ladder(p)["signs"].r2,
    "permutation": lambda p: _streamed_ladder(p)["permutation"].r2,
    "orthogonal": lambda p: _streamed_ladder(p)["orthogonal"].r2,
    "similarity": lambda p: _streamed_ladder(p)["similarity"].r2,
    "affine": lambda p: _streamed_ladder(p)["affine"].r2,
    "flip": lambda p: _streamed_relation(p).flip,
    "effective_rank": lambda p: probes.Measure(_stream(p).collapse().effective_rank[1]),
    "rank_ratio": lambda p: _stream(p).collapse().rank_ratio,
    "variance_ratio": lambda p: _stream(p).collapse().variance_ratio,
    "relation": lambda p: _word(_streamed_relation(p)),
    "axes": lambda p: _axes(_streamed_relation(p)),
}
"""The measures that have a streamed form."""

NO_MEASURES = {"memory", "rollout_blocks", "streamed"}
"""Public functions of two embeddings that measure nothing between them."""


def scale(measure: str, pair: Pair) -> float:
    """The size of the numbers that a value is a difference of, which bounds its digits; 1 for most."""
    identity = _ladder(pair)["identity"].r2.value if measure == "flip" else None
    return max(1.0, abs(identity or 0.0))


def tolerance(measure: str, value: float, pair: Pair) -> float:
    """How far a streamed value may lie from this one in memory."""
    if measure == "flip":  # what signs explain more than the identity, which needs no halves
        measure, value = "signs", _ladder(pair)["signs"].r2.value or 0.0
    if measure in probes.RUNGS[1:]:
        return HALVES * (1 - value) + AGREED
    return AGREED * max(1.0, abs(value))


def _read(*tables: str) -> dict[tuple[str, str], str]:
    """{(measure, transformation): cell}; every measure must have a cell for every transformation."""
    cells: dict[tuple[str, str], str] = {}
    for table in tables:
        header, *rows = (line.split() for line in table.strip().splitlines())
        for measure, *row in rows:
            cells |= {(measure, name): cell for name, cell in zip(header, row, strict=True)}
    wanted = {(measure, name) for measure in MEASURES for name in TRANSFORMATIONS}
    if set(cells) != wanted:
        raise ValueError(f"cells that are missing or too many: {sorted(set(cells) ^ wanted)}")
    return cells


CELLS = _read(MAPS, SIZES, DAMAGE)
