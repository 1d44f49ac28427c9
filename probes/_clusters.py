"""Whether the clusters that an embedding falls into are events that are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probes._measure import ROUNDING, ArrayLike, Floats, Labels, ProbeError, is_constant
from probes._states import SAME, numbered, numbered_rows, typical
from probes._variables import Ints, Variable, distinct_rows, paired, shuffled_rows

SHUFFLES = 199
"""Shuffled events: the smallest p-value is then 0.005."""

STARTS = 10
"""Random starts of k-means; the best one counts."""


ASIDE = 10 * SAME
"""Displacement of k-means' rows as a share of the typical difference of two rows: ten times what rounding
is held to be."""


@dataclass(frozen=True)
class ClusterEvents:
    """k-means clusters of an embedding against known events."""

    ami: float | None
    """Adjusted mutual information: 0 is chance, 1 the same partition."""
    p: float | None = None
    """p-value by shuffled events: (1 + times they share as much information) / (1 + shuffles)."""
    shuffles: int = 0
    clusters: int = 0
    counts: Ints | None = None
    """(clusters, events) rows of each event in each cluster, the largest cluster first."""
    events: tuple[str, ...] = ()
    rows: int = 0
    """Rows used: all, or as many as :data:`probes.ROWS`."""
    reason: str | None = None
    """Why there is no value."""

    @property
    def p_floor(self) -> float | None:
        """The least p that so many shuffles can give; None where there were none."""
        return 1 / (1 + self.shuffles) if self.shuffles else None


def cluster_events(
    x: ArrayLike,
    events: ArrayLike | Variable,
    *,
    clusters: int | None = None,
    groups: Labels | None = None,
    seed: int = 0,
) -> ClusterEvents:
    """Adjusted mutual information of k-means clusters of x (n, d) with events (n,) (Vinh et al., JMLR 2010).

    k is ``clusters``, or the number of distinct events. The embedding is clustered as it is, columns not
    standardised: distances in it are what clusters are made of. ``groups`` names the state or episode of
    each row, shuffled whole for the p-value; equal rows are one group where none are given. Undefined for
    constants and where there are fewer distinct rows than clusters. Raises :class:`ProbeError`, also for
    events that are numbers.
    """
    if clusters is not None and clusters < 2:
        raise ProbeError(f"clusters is {clusters}, expected at least 2")
    given = paired(x, events, groups, seed)
    target, rows = given.target, len(given.x)
    if target.kind == "numeric":
        raise ProbeError("the events are numbers, expected categories (strings or booleans)")
    k = clusters or len(target.categories)
    reason = "the embedding is constant" if is_constant(given.x) else target.unusable
    distinct = int(distinct_rows(given.x).max()) + 1
    if reason is None and distinct < k:
        reason = f"{distinct} distinct rows, at least {k} needed for {k} clusters"
    if reason is not None:
        return ClusterEvents(None, clusters=k, events=target.categories, rows=rows, reason=reason)
    from sklearn.metrics import adjusted_mutual_info_score

    labels = _kmeans(given.x, k, seed)
    value = float(adjusted_mutual_info_score(target.codes, labels))
    taken = shuffled_rows(target, given.index, SHUFFLES, np.random.default_rng(seed))
    counts = _counts(labels, target.codes, k, len(target.categories))
    least = _information(counts) * (1 - ROUNDING)
    chance = [_information(_counts(labels, target.codes[t], *counts.shape)) for t in taken]
    return ClusterEvents(
        ami=value,
        p=(1 + sum(information >= least for information in chance)) / (1 + len(chance)),
        shuffles=len(chance),
        clusters=k,
        counts=counts[np.argsort(-counts.sum(1), kind="stable")],
        events=target.categories,
        rows=rows,
    )


def _counts(labels: Ints, codes: Ints, clusters: int, events: int) -> Ints:
    return np.bincount(labels * events + codes, minlength=clusters * events).reshape(clusters, events)


def _information(counts: Ints) -> float:
    """Mutual information of a contingency table, in nats: what shuffles change of the adjusted one."""
    joint = counts / counts.sum()
    apart = joint.sum(1, keepdims=True) * joint.sum(0)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / apart[seen])).sum())


def _kmeans(x: Floats, k: int, seed: int) -> Ints:
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    # In a lattice a row can be as near to one centre as to another, and partitions be equally good, so that a
    # last bit would decide. So each state is moved, by far more than a last bit and far less than counts.
    state = numbered_rows(x)
    aside = np.random.default_rng(68).normal(size=(int(state.max()) + 1, x.shape[1]))[state]
    # One thread: sums in a fixed order, and no fight over the cores for a small job.
    with threadpool_limits(1):
        model = KMeans(k, n_init=STARTS, random_state=seed % 2**32)
        model.fit(x - x.mean(0) + ASIDE * typical(x) * aside)
    return numbered(np.asarray(model.labels_))
