"""Every random stream of training, named once: each use of a seed draws numbers of its own.

A generator is made from a stream's number and whatever else tells one use from another: the run's seed, the
phase (:func:`stream_of`), a block of batches. The numbers are part of every result: none is ever given anew.
"""

from __future__ import annotations

import numpy as np

DATA_STREAM, BATCH_STREAM, WEIGHT_STREAM, EVALUATION_STREAM = range(4)
"""Transitions collected, the batches drawn from them, fresh weights, and data to judge a system by."""

WORLD_STREAM = 4
"""Draws of a world itself, such as its labyrinths."""

PLAY_STREAM = 5
"""The labyrinths that an agent plays to be judged, and the random actions among its own."""

SHUFFLE_STREAM = 6
"""The order that a plan's ``permute`` puts a base's numbers into."""

ACTION_STREAM = 7
"""The actions that an agent samples from its policy while it trains, or while its play is recorded."""

BASE_PHASE, TRANSFER_PHASE = range(2)
"""Numbers of the phases: in each, a seed has another walk and other fresh weights."""

JUDGING_PHASE = 2
"""Number in place of a phase's for steps that no training sees, to take losses on."""


def stream_of(base: bool) -> int:
    """Number of the phase in every stream's seed: a base's, or a transfer's."""
    return BASE_PHASE if base else TRANSFER_PHASE


def generator(stream: int, *seed: int) -> np.random.Generator:
    """Generator of one stream for a seed of one number or several."""
    return np.random.default_rng([stream, *seed])


def shuffling(seed: int) -> np.random.Generator:
    """Generator that shuffles base tensors for a transfer's seed (``permute`` in a plan)."""
    return generator(SHUFFLE_STREAM, seed)
