"""Linear probes: how much of a variable a linear map reads from an embedding, on rows held out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from probes._measure import ROUNDING, ArrayLike, Bools, Floats, Labels, Measure, ProbeError, is_constant
from probes._projection import principal_axes
from probes._resampling import difference, interval, make_groups, share
from probes._states import SAME, numbered
from probes._variables import Ints, Rows, Variable, distinct_rows, paired, shuffled_rows

FOLDS = 5

SHUFFLES = 99
"""Shuffled targets: the smallest p-value is then 0.01."""

MIN_SHUFFLES = 20
"""Fewest shuffles for a p-value: with fewer it could not fall below 0.05."""

SHUFFLE_WORK = 10**6
"""Rows × dimensions × categories up to which all shuffles are paid for: each costs a logistic fit a fold."""

PENALTIES = np.logspace(-6, 2, 9)
"""Ridge penalties tried, as shares of the number of rows: columns have variance 1, so these are variances."""

LOGISTIC_C = 1.0
"""Inverse penalty of the logistic probe, on columns of variance 1: scikit-learn's own."""


@dataclass(frozen=True)
class LinearProbe:
    """A cross-validated linear probe of one variable, and the same probe on shuffled targets."""

    score: Measure
    """R² (pooled over columns of variance 1) or balanced accuracy on held-out rows, with its interval."""
    unit: Literal["r2", "balanced_accuracy"]
    chance: float = 0.0
    """Score of a probe that knows nothing: 0, or 1 over the number of categories."""
    shuffled: float | None = None
    """The mean score on shuffled targets, where there is nothing to read."""
    selectivity: float | None = None
    """``score`` − ``shuffled``."""
    p: float | None = None
    """p-value by shuffled targets: (1 + times one scores as well) / (1 + shuffles)."""
    shuffles: int = 0
    folds: int = 0
    rows: int = 0
    """Rows used: all, or as many as :data:`probes.ROWS`, without those of ``left_out``."""
    left_out: tuple[str, ...] = ()
    """Categories of a single group, which cannot stand on both sides of a split."""
    groups: Ints | None = field(default=None, compare=False, repr=False)
    """(rows,) the group of each row; None where the probe is undefined."""
    draws: Floats | None = field(default=None, compare=False, repr=False)
    """(m,) the scores of resamples of the groups, which :func:`score_change` sets beside another probe's."""

    @property
    def p_floor(self) -> float | None:
        """The least p that so many shuffles can give; None where there were none."""
        return 1 / (1 + self.shuffles) if self.shuffles else None


def linear_probe(
    x: ArrayLike,
    variable: ArrayLike | Variable,
    *,
    groups: Labels | None = None,
    folds: int = FOLDS,
    shuffles: int = SHUFFLES,
    seed: int = 0,
) -> LinearProbe:
    """Score a linear map of x (n, d) that predicts a variable of rows which it was not fitted on.

    Numbers: ridge regression, scored by held-out R² (0 is the training rows' mean; below 0 is worse).
    Categories: multinomial logistic regression, weighted by class, scored by balanced accuracy. Columns are
    standardised and the penalty of the ridge is chosen on the training rows alone. ``groups`` names the
    state or episode of each row; a group never stands on both sides of a split, and equal rows of x are one
    group where none are given. *Selectivity* (Hewitt and Liang, arXiv 1909.03368) is the score minus that on
    targets shuffled group by group. The interval is a bootstrap over groups of the held-out predictions: it
    does not hold how the fits themselves would vary. Without ``shuffles`` there is a score alone. Undefined,
    with a reason, for constants and where there
    are fewer than two groups a fold. Raises :class:`ProbeError`.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(100, 3))
    >>> result = linear_probe(x, x @ [1, 2, 3])
    >>> round(result.score.value, 6), result.selectivity > 0.9
    (1.0, True)
    """
    if shuffles < 0:
        raise ProbeError(f"shuffles is {shuffles}, expected 0 or more")
    if folds < 2:
        raise ProbeError(f"folds is {folds}, expected at least 2")
    given = paired(x, variable, groups, seed)
    unit: Literal["r2", "balanced_accuracy"] = "r2" if given.target.kind == "numeric" else "balanced_accuracy"
    left_out: tuple[str, ...] = ()
    reason = "the embedding is constant" if is_constant(given.x) else given.target.unusable
    if reason is None and unit == "balanced_accuracy":
        given, left_out = _repeated(given)
        if len(given.target.categories) < 2:
            reason = "fewer than two categories have a second group to be tested on"
    if reason is None and given.count < 2 * folds:
        count = "1 group" if given.count == 1 else f"{given.count} groups"
        reason = f"{count}, at least {2 * folds} needed for {folds} folds"
    if reason is not None:
        return LinearProbe(Measure.undefined(reason), unit, rows=len(given.x), left_out=left_out)
    rng = np.random.default_rng(seed)
    evaluate = _regress if unit == "r2" else _classify
    parts, draws = evaluate(given, folds, shuffles, rng)
    value = float(_score(unit, parts.sum(0)[None])[0])
    shuffled = float(draws.mean()) if len(draws) else None
    resampled = make_groups(given.index, seed).resampled(parts)
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample may miss a category: NaN, left out
        resamples = _score(unit, resampled)
    return LinearProbe(
        score=_interval(unit, value, resamples, given.count),
        unit=unit,
        chance=0.0 if unit == "r2" else 1 / len(given.target.categories),
        shuffled=shuffled,
        selectivity=None if shuffled is None else value - shuffled,
        # A shuffled score that equals the score but for rounding counts as equal.
        p=(1 + int((draws >= value - ROUNDING).sum())) / (1 + len(draws)) if len(draws) else None,
        shuffles=len(draws),
        folds=folds,
        rows=len(given.x),
        left_out=left_out,
        groups=given.index,
        draws=resamples,
    )


def score_change(before: LinearProbe, after: LinearProbe) -> Measure:
    """The score of ``after`` minus that of ``before``, two probes of one variable on the same rows and seed.

    Where both have the same groups, the interval rests on the same resamples of both, so that what is hard
    for both weighs on neither. Where they have not, or where the resamples agree, which in few rows says
    little of others, it is that of :func:`probes.difference`. Undefined where one of them is.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(100, 3))
    >>> change = score_change(linear_probe(x, x[:, 0]), linear_probe(2 * x, x[:, 0]))
    >>> abs(change.low) < 1e-9 and abs(change.high) < 1e-9
    True
    """
    apart = difference(after.score, before.score)
    groups, other_groups = before.groups, after.groups
    if before.draws is None or after.draws is None or groups is None or other_groups is None:
        return apart
    if apart.value is None or before.unit != after.unit or not np.array_equal(groups, other_groups):
        return apart
    draws = after.draws - before.draws
    if before.unit != "r2" and (draws[np.isfinite(draws)] == apart.value).all():
        return apart
    return interval(apart.value, draws, int(groups.max()) + 1)


def _repeated(given: Rows) -> tuple[Rows, tuple[str, ...]]:
    """The rows of categories that stand in at least two groups, and the names of the others."""
    seen = np.unique(np.stack([given.target.codes, given.index]), axis=1)[0]
    counts = np.bincount(seen, minlength=len(given.target.categories))
    rare = [int(c) for c in np.flatnonzero(counts == 1)]
    target, rows = given.target.without([int(c) for c in np.flatnonzero(counts < 2)])
    index = numbered(given.index[rows])
    names = tuple(given.target.categories[c] for c in rare)
    return Rows(given.x[rows], target, index, given.chosen[rows]), names


def _interval(unit: str, value: float, resamples: Floats, groups: int) -> Measure:
    if unit != "r2" and value in (0.0, 1.0):  # resamples of what is never, or always, right agree
        return share(value, groups)
    return interval(value, resamples, groups, low=-np.inf if unit == "r2" else 0.0, high=1.0)


def _score(unit: str, sums: Floats) -> Floats:
    """(m,) scores from the sums (m, …) over rows of what :func:`_regress` or :func:`_classify` return."""
    if unit == "r2":
        return np.asarray(1 - sums[:, 0] / sums[:, 1])
    half = sums.shape[1] // 2
    return np.asarray((sums[:, :half] / sums[:, half:]).mean(1))


def _regress(given: Rows, folds: int, count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """(n, 2) squared errors of the probe and of the training mean, and (count,) scores of shuffles.

    All shuffles are further columns of one fit a fold.
    """
    columns = given.target.columns
    columns = columns[:, _varies(columns)]
    y = (columns - columns.mean(0)) / columns.std(0)
    k = y.shape[1]
    taken = shuffled_rows(given.target, given.index, count, rng)
    everything = np.concatenate([y, *(y[t] for t in taken)], 1)
    fold, state = folds_of(given.index, None, folds, rng), distinct_rows(given.x)
    errors, baseline = np.empty_like(everything), np.empty_like(everything)
    for number in range(folds):
        test = fold == number
        fitted = _ridge(given.x[~test], everything[~test], given.x[test], state[~test])
        errors[test] = np.square(everything[test] - fitted)
        baseline[test] = np.square(everything[test] - everything[~test].mean(0))
    parts = np.stack([errors[:, :k].sum(1), baseline[:, :k].sum(1)], 1)
    totals = [e.sum(0).reshape(-1, k).sum(1)[1:] for e in (errors, baseline)]
    return parts, 1 - totals[0] / totals[1]


def _ridge(x: Floats, y: Floats, new: Floats, state: Ints) -> Floats:
    """Predictions at ``new`` (m, d) of a ridge regression of each column of y (n, t) on x (n, d).

    ``state`` (n,) is the same number for equal rows of x.

    Each column's penalty has the least error when each distinct row of x is left out, in closed form:
    e_i / (1 − h_ii) (Allen 1974). Repeated rows are one row with their number as its weight. A new row
    counts as lying at most one range beyond what was fitted: a column that hardly ever moves, as a rectified
    unit's, would otherwise throw it anywhere.
    """
    low, high = x.min(0), x.max(0)
    new = np.clip(new, low - (high - low), high + (high - low))
    state = numbered(state)
    weight = np.bincount(state).astype(np.float64)
    first = np.unique(state, return_index=True)[1]
    order = np.argsort(state, kind="stable")
    starts = np.searchsorted(state[order], np.arange(len(weight)))
    means = np.add.reduceat(y[order], starts) / weight[:, None]
    n, root = len(x), np.sqrt(weight)[:, None]
    centre, level, scale = x.mean(0), y.mean(0), _scale(x)
    z = root * (x[first] - centre) / scale
    residual = root * (means - level)
    values, vectors = principal_axes(z)
    scores, ahead = z @ vectors, ((new - centre) / scale) @ vectors
    inner = scores.T @ residual
    best = np.full(y.shape[1], np.inf)
    chosen = np.zeros_like(inner)
    for penalty in n * PENALTIES:
        coefficients = inner / (values + penalty)[:, None]
        leverage = (np.square(scores) / (values + penalty)).sum(1)[:, None] + weight[:, None] / n
        left = (residual - scores @ coefficients) / np.maximum(1 - leverage, np.finfo(float).eps)
        error = np.square(left).sum(0)
        better = error < best
        best[better], chosen[:, better] = error[better], coefficients[:, better]
    return np.asarray(level + ahead @ chosen)


def _classify(given: Rows, folds: int, most: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """(n, 2K) hits and members of each of K categories, by row; and at most ``most`` scores of shuffles."""
    codes, count = given.target.codes, len(given.target.categories)
    work = given.x.size * count
    draws = min(most, max(SHUFFLES * SHUFFLE_WORK // work, MIN_SHUFFLES))
    taken = shuffled_rows(given.target, given.index, draws, rng)

    def parts(labels: Ints) -> Floats:
        fold = folds_of(given.index, labels, folds, rng)
        predicted = np.empty_like(labels)
        for number in range(folds):
            test = fold == number
            predicted[test] = _logistic(given.x[~test], labels[~test], given.x[test])
        of = labels[:, None] == np.arange(count)
        return np.concatenate([of & (predicted == labels)[:, None], of], 1).astype(np.float64)

    own = parts(codes)
    return own, np.array([_score("balanced_accuracy", parts(codes[t]).sum(0)[None])[0] for t in taken])


def _logistic(x: Floats, labels: Ints, new: Floats) -> Ints:
    """Categories predicted at ``new`` by a logistic regression of labels (n,) on x (n, d)."""
    import warnings

    from sklearn import config_context
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if (labels == labels[0]).all():
        return np.full(len(new), labels[0])
    centre, scale = x.mean(0), _scale(x)
    model = LogisticRegression(C=LOGISTIC_C, class_weight="balanced", tol=1e-3, max_iter=500)
    # The numbers are known to be fine: hundreds of small fits take a third longer with the checks.
    with warnings.catch_warnings(), config_context(assume_finite=True, skip_parameter_validation=True):
        # A fit that stops early is a worse probe, and is judged on held-out rows all the same.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit((x - centre) / scale, labels)
        scores = np.asarray(model.decision_function((new - centre) / scale))
    if scores.ndim == 1:  # scores of the second of two categories
        scores = np.stack([np.zeros_like(scores), scores], 1)
    # Among categories that are equally likely within rounding, the first is taken.
    likely = scores >= scores.max(1, keepdims=True) - SAME
    return np.asarray(model.classes_[likely.argmax(1)], np.int64)


def _varies(x: Floats) -> Bools:
    """(d,) which columns of x (n, d) vary by more than rounding."""
    return np.asarray(x.std(0) > ROUNDING * np.abs(x).max(0))


def _scale(x: Floats) -> Floats:
    """(d,) the standard deviation of each column; 1 where it is rounding, which must not be blown up."""
    return np.where(_varies(x), x.std(0), 1.0)


def folds_of(index: Ints, labels: Ints | None, folds: int, rng: np.random.Generator) -> Ints:
    """(n,) a fold for each row: whole groups, in equal numbers, each category's spread over the folds."""
    count = int(index.max()) + 1
    order = rng.permutation(count)
    if labels is not None:
        table = np.zeros((count, int(labels.max()) + 1))
        np.add.at(table, (index, labels), 1)
        order = order[np.argsort(table.argmax(1)[order], kind="stable")]
    fold = np.empty(count, np.int64)
    fold[order] = np.arange(count) % folds
    return fold[index]
