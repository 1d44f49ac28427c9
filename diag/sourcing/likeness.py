"""How a target's components relate to each source's, on the same histories."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

import probes
from diag.sourcing.ranking import Ranking, dealt, jackknifed, ranked, without_each
from diag.sourcing.result import Between, Likeness
from probes import Floats, Measure

Answers = Mapping[str, Floats]
"""{component: (n, d)}, in the order in which they run."""


def likeness(
    target: Answers,
    sources: Sequence[Answers],
    groups: NDArray[np.int64],
    seed: int,
    done: Callable[[], None] = lambda: None,
) -> list[Likeness]:
    """Relation, R² and CKA of the target's answers (n, d) with each source's; ``done`` is called for each."""
    found = []
    for number, source in enumerate(sources):
        for component in (name for name in target if name in source):
            found.append(_alike(number, component, target[component], source[component], groups, seed))
            done()
    return found


def _alike(
    number: int, component: str, target: Floats, source: Floats, groups: NDArray[np.int64], seed: int
) -> Likeness:
    cka = probes.cka(target, source, debiased=True, groups=groups)
    relation = probes.relation(target, source, groups=groups, seed=seed)
    ladder = relation.ladder
    return Likeness(
        number,
        component,
        relation.relation,
        relation.agreement if relation.relation is not None else None,
        ladder["identity"].r2,
        ladder["affine"].r2,
        cka,
        relation.reason,
    )


def by_likeness(
    target: Answers, sources: Sequence[Answers], groups: NDArray[np.int64]
) -> tuple[Ranking, ...]:
    """The sources' order by debiased CKA with the target, of each component that all of them have."""
    parts = dealt(groups)
    shared = [name for name in target if all(name in source for source in sources)]
    return tuple(
        ranked(name, "cka_debiased", *_similar(target[name], [s[name] for s in sources], parts))
        for name in shared
    )


def _similar(target: Floats, sources: Sequence[Floats], parts: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """CKA (k,) of the target with k sources, and (parts, k) without each part."""

    def all_of(rows: NDArray[np.bool_] | slice) -> list[float]:
        measures = [
            probes.cka(target[rows], source[rows], debiased=True, interval=False) for source in sources
        ]
        return [np.nan if one.value is None else one.value for one in measures]

    without = [all_of(rows) for rows in without_each(parts)]
    return np.array(all_of(slice(None))), np.array(without)


def between(embeddings: Sequence[Floats], groups: NDArray[np.int64]) -> list[Between]:
    """Debiased CKA of every pair of sources."""
    return [
        Between(
            one,
            other,
            probes.cka(embeddings[one], embeddings[other], debiased=True, groups=groups),
        )
        for one in range(len(embeddings))
        for other in range(one + 1, len(embeddings))
    ]


def heard(predicted: Floats, without: Floats, groups: NDArray[np.int64]) -> list[Measure]:
    """How far predictions (n,) move without each of k sources (n, k), in spreads of the predictions."""
    left = without_each(dealt(groups))

    def moved(rows: NDArray[np.bool_] | slice, source: int) -> float:
        spread = float(predicted[rows].std())
        apart = float(np.sqrt(np.square(predicted[rows] - without[rows, source]).mean()))
        return apart / spread if spread > 0 else np.nan

    return [
        jackknifed(
            moved(slice(None), source),
            np.array([moved(rows, source) for rows in left]),
        )
        for source in range(without.shape[1])
    ]
