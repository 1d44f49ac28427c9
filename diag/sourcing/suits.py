"""Before any transfer: each source's world model on histories of the target's task, as it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

import probes
from diag.sourcing.ranking import Ranking, dealt, jackknifed, ranked, without_each
from diag.sourcing.result import Suits
from probes import Floats

TOTAL = "total"
"""The weighted sum of the losses."""

TOLD = "reward told"
"""What a linear map of the latent state tells of the task's rewards."""


def suits(
    losses: Sequence[Mapping[str, Floats]],
    weights: Mapping[str, float],
    embeddings: Sequence[Floats],
    rewards: Floats,
    groups: NDArray[np.int64],
    seed: int,
    done: Callable[[], None] = lambda: None,
) -> tuple[list[Suits], tuple[Ranking, ...]]:
    """Each source's losses {term: (n,)} and what its embedding (n, d) tells of rewards (n,), and their order.

    ``weights`` are the terms' in the total; rows where no reward can have come are NaN in ``rewards``.
    """
    left = without_each(dealt(groups))
    every_row = np.ones(len(groups), np.bool_)
    every = [{**one, TOTAL: sum(weights[term] * one[term] for term in weights)} for one in losses]
    lost = [{term: np.asarray(values, np.float64) for term, values in one.items()} for one in every]
    means = {
        term: np.array(
            [[float(one[term][rows].mean()) for one in lost] for rows in (every_row, *left)], np.float64
        )
        for term in lost[0]
    }
    # A mean of numbers that are never below 0 is not below it either; some likelihoods may be.
    least = {term: 0.0 if all((one[term] >= 0).all() for one in lost) else -np.inf for term in lost[0]}
    told, scores = [], []
    known = np.isfinite(rewards)
    for embedding in embeddings:
        found = probes.linear_probe(
            embedding[known], rewards[known], groups=groups[known], shuffles=0, seed=seed
        )
        told.append(found.score)
        scores.append([_told(embedding, rewards, groups, known & rows, seed) for rows in left])
        done()
    found_suits = [
        Suits(
            number,
            {
                term: jackknifed(float(values[0, number]), values[1:, number], least[term])
                for term, values in means.items()
            },
            told[number],
        )
        for number in range(len(losses))
    ]
    rankings = [ranked(term, "loss", values[0], values[1:], higher=False) for term, values in means.items()]
    values = np.array([np.nan if one.value is None else one.value for one in told])
    rankings.append(ranked(TOLD, "r2", values, np.array(scores).T))
    return found_suits, tuple(rankings)


def _told(
    embedding: Floats, rewards: Floats, groups: NDArray[np.int64], rows: NDArray[np.bool_], seed: int
) -> float:
    found = probes.linear_probe(embedding[rows], rewards[rows], groups=groups[rows], shuffles=0, seed=seed)
    return np.nan if found.score.value is None else found.score.value
