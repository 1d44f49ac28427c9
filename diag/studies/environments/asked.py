"""Is freezing the head better than freezing the embedding exactly where the embedding is not matched?

The relation that is asked about is that of the *frozen* embedding: the base's encoder as it is, on the
target's observations, beside itself on the source's. It is known before anything is trained in the target
task, and says whether the head is given what it was given before; so it can be a reason. The relation after
update-all or after freeze-head is an outcome of training in which the encoder has already moved, and would
be no prediction. All transfers that keep the encoder have this relation, so it is taken from those that
freeze the embedding, and else from those that freeze everything.

A pair is one base in one look: what its transfers under a frozen head earn more than those under a frozen
embedding. Pairs of one look share the look, which decides about the relation too. Tests that take pairs for
independent are therefore too sure, and are told beside one that permutes whole looks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import factorial
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from diag.result import finite, measure_tree
from diag.studies.environments.bootstrap import Units, mean
from diag.studies.statistics import Rate, boschloo, over_bases, wilson
from probes import Measure

HEAD, EMBEDDING, ALL = "freeze-head", "freeze-embedding", "freeze-all"
"""The plans that are asked about, and one that keeps the encoder too."""

MATCHED = "matched"

MOST_LISTED = 7
"""Looks whose orders are all tried: 5,040. Of more, so many are drawn."""

FEWEST_LOOKS = 4
"""Looks of which a rank correlation could be told from none: three have six orders."""

Better = Literal["head", "embedding", "neither"]

OUTCOMES = ("head", "embedding", "equal")

MEASURES = ("cka", "r2_identity")
"""Measures of the frozen embedding that say how far it is from matched by degrees."""


@dataclass(frozen=True)
class AskedLook:
    """One look: the frozen embedding, and which freeze earns more."""

    look: str
    relations: Mapping[str, int]
    """Relations of the frozen embedding, number of bases each; ``undecided`` too."""
    difference: Measure
    """What freezing the head earns more than freezing the embedding, mean over bases."""
    cka: Measure
    r2_identity: Measure

    @property
    def better(self) -> Better:
        """The freeze that earns more, where the interval leaves no doubt."""
        if self.difference.low is None or self.difference.high is None:
            return "neither"
        if self.difference.low > 0:
            return "head"
        return "embedding" if self.difference.high < 0 else "neither"

    def to_tree(self) -> dict[str, Any]:
        return {
            "look": self.look,
            "relations": dict(self.relations),
            "difference": measure_tree(self.difference),
            "better": self.better,
            "cka": measure_tree(self.cka),
            "r2_identity": measure_tree(self.r2_identity),
        }


@dataclass(frozen=True)
class Asked:
    """The answer by one way of judging."""

    counts: Mapping[str, Mapping[str, int]]
    """Pairs by the frozen embedding's relation (``matched``, ``not matched``, ``undecided``) and by the
    freeze that earned more (``head``, ``embedding``, ``equal``)."""
    agree: Rate
    """Pairs for which the rule is right: the head where it is not matched, the embedding where it is. Equal
    and undecided pairs are left out."""
    over_looks: tuple[float, float] | None
    """95% interval of that share that resamples looks; None where there is none."""
    p_pairs: float
    """Boschloo's p that matched or not makes no difference, as if pairs were independent."""
    p_looks: float
    """Share of the orders of the looks' outcomes in which the rule is right as often as here; 1 where all
    looks have the same relation, as nothing can then be told."""
    rank: Mapping[str, Measure]
    """Spearman's correlation over looks of each measure of the frozen embedding with the difference, with p
    over the orders of looks."""
    looks: tuple[AskedLook, ...]

    @property
    def told_apart(self) -> bool:
        """Whether there are both pairs that are matched and pairs that are not."""
        return all(sum(self.counts[name].values()) for name in (MATCHED, f"not {MATCHED}"))

    def to_tree(self) -> dict[str, Any]:
        return {
            "counts": {name: dict(row) for name, row in self.counts.items()},
            "agree": self.agree.to_tree(),
            "over_looks": None if self.over_looks is None else list(self.over_looks),
            "told_apart": self.told_apart,
            "p_pairs": finite(self.p_pairs),
            "p_looks": finite(self.p_looks),
            "rank": {name: measure_tree(m) for name, m in self.rank.items()},
            "looks": [look.to_tree() for look in self.looks],
        }


def asked(runs: pd.DataFrame, value: str) -> Asked | None:
    """The answer from runs with columns look, plan, base_seed, relation, cka, r2_identity and ``value``.

    None where no base has runs under both plans in any look.
    """
    pairs = _pairs(runs, value)
    if pairs.empty:
        return None
    names = {True: MATCHED, False: f"not {MATCHED}", None: "undecided"}
    counts = {name: dict.fromkeys(OUTCOMES, 0) for name in names.values()}
    for matched, difference in zip(pairs["matched"], pairs["difference"], strict=True):
        counts[names[matched]][OUTCOMES[0 if difference > 0 else 1 if difference < 0 else 2]] += 1
    head, embedding = (_grid(pairs, pairs["difference"] * sign > 0) for sign in (1, -1))
    known = [m is not None for m in pairs["matched"]]
    apart = _grid(pairs, pd.Series([m is False for m in pairs["matched"]], pairs.index))
    same = _grid(pairs, pd.Series([m is True for m in pairs["matched"]], pairs.index))
    right = (apart & head) | (same & embedding)
    judged = (apart | same) & (head | embedding)
    hits, of = right.sum(1).tolist(), judged.sum(1).tolist()
    yes, no = counts[f"not {MATCHED}"], counts[MATCHED]
    looks = tuple(_look(str(name), mine) for name, mine in pairs.groupby("look", sort=False))
    return Asked(
        counts,
        wilson(int(sum(hits)), int(sum(of))),
        over_bases(hits, of),
        boschloo(yes["head"], yes["head"] + yes["embedding"], no["head"], no["head"] + no["embedding"]),
        _p_looks(apart, same, head, embedding) if any(known) else 1.0,
        {name: _rank(looks, name) for name in MEASURES},
        looks,
    )


def _pairs(runs: pd.DataFrame, value: str) -> pd.DataFrame:
    """A row for each look and base that has both plans: difference, matched (None: undecided), measures."""
    rows = []
    for (look, base), mine in runs[np.isfinite(runs[value])].groupby(["look", "base_seed"], sort=False):
        means = mine.groupby("plan")[value].mean()
        if HEAD not in means or EMBEDDING not in means:
            continue
        frozen = mine[mine["plan"] == EMBEDDING]
        relation = next((r for r in frozen["relation"] if isinstance(r, str)), None)
        if relation is None:
            everything = mine[mine["plan"] == ALL]["relation"]
            relation = next((r for r in everything if isinstance(r, str)), None)
        rows.append(
            {
                "look": look,
                "base_seed": base,
                "difference": float(means[HEAD] - means[EMBEDDING]),
                "relation": relation or "undecided",
                "matched": None if relation is None else relation == MATCHED,
                **{name: float(frozen[name].mean()) for name in MEASURES},
            }
        )
    table = pd.DataFrame(rows)
    return table.astype({"matched": object}) if rows else table


def _grid(pairs: pd.DataFrame, holds: pd.Series) -> NDArray[np.bool_]:
    """(looks, bases) where something holds; False for a base that a look lacks."""
    looks, bases = list(dict.fromkeys(pairs["look"])), sorted(set(pairs["base_seed"]))
    grid = np.zeros((len(looks), len(bases)), np.bool_)
    for look, base, here in zip(pairs["look"], pairs["base_seed"], holds, strict=True):
        grid[looks.index(look), bases.index(base)] = here
    return grid


def _look(name: str, mine: pd.DataFrame) -> AskedLook:
    bases = mine["base_seed"].tolist()

    def over_all(column: str) -> Measure:
        return mean(Units.of(mine[column].tolist(), bases))

    relations = {str(k): int(v) for k, v in mine["relation"].value_counts().items()}
    return AskedLook(name, relations, over_all("difference"), over_all("cka"), over_all("r2_identity"))


def _orders(n: int) -> NDArray[np.int64]:
    """(k, n) all orders of n things, or as many of them drawn at random; the first is theirs."""
    if n <= MOST_LISTED:
        return np.array(list(permutations(range(n))), np.int64)
    rng = np.random.default_rng(0)
    drawn = [rng.permutation(n) for _ in range(factorial(MOST_LISTED) - 1)]
    return np.array([np.arange(n), *drawn], np.int64)


def _p_looks(
    apart: NDArray[np.bool_], same: NDArray[np.bool_], head: NDArray[np.bool_], embedding: NDArray[np.bool_]
) -> float:
    """Share of the orders of looks in which the rule is right for as many pairs as in their own order."""
    hits = [int(((apart & head[o]) | (same & embedding[o])).sum()) for o in _orders(len(head))]
    return float(np.mean(np.array(hits) >= hits[0]))


def _rank(looks: Sequence[AskedLook], name: str) -> Measure:
    """Spearman's correlation over looks, with two-sided p over their orders."""
    values = [(getattr(look, name).value, look.difference.value) for look in looks]
    known = np.array([v for v in values if None not in v and np.isfinite(v[0])], float).reshape(-1, 2)
    if len(known) < FEWEST_LOOKS:
        return Measure.undefined(f"needs {FEWEST_LOOKS} looks")
    x, y = (rankdata(column) - (len(known) + 1) / 2 for column in known.T)
    size = float(np.sqrt((x**2).sum() * (y**2).sum()))
    if size == 0:
        return Measure.undefined("all looks are equal")
    sums = np.array([float(x @ y[order]) for order in _orders(len(known))])
    p = float(np.mean(np.abs(sums) >= abs(sums[0]) - 1e-9))
    return Measure(float(sums[0]) / size, p=p)
