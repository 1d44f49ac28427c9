"""The global random generators: torch's, numpy's and Python's.

:func:`kept` restores their states after an evaluation, and :func:`pinned` starts every evaluation from the
same states.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

TORCH, CUDA, NUMPY, PYTHON = "torch's generator", "torch's on CUDA", "numpy's global one", "Python's random"
"""Names of the global generators in words."""


def states() -> dict[str, Any]:
    """{words for a generator: its state} of every global generator that is in use.

    torch's is left out where nobody has imported torch, CUDA's where nobody has used it.
    """
    standing: dict[str, Any] = {NUMPY: np.random.get_state(legacy=False), PYTHON: random.getstate()}  # noqa: NPY002
    if (torch := sys.modules.get("torch")) is not None:
        standing[TORCH] = torch.get_rng_state()
        if torch.cuda.is_initialized():
            standing[CUDA] = torch.cuda.get_rng_state_all()
    return standing


def moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the generators whose state has changed."""
    return tuple(name for name, state in after.items() if name in before and not _alike(before[name], state))


@contextmanager
def kept() -> Iterator[None]:
    """Context that restores the state of every global generator at its end."""
    before = states()
    try:
        yield
    finally:
        np.random.set_state(before[NUMPY])  # noqa: NPY002
        random.setstate(before[PYTHON])
        if TORCH in before:
            sys.modules["torch"].set_rng_state(before[TORCH])
        if CUDA in before:
            sys.modules["torch"].cuda.set_rng_state_all(before[CUDA])


@contextmanager
def pinned(seed: int) -> Iterator[None]:
    """Context in which every global generator starts from ``seed``; their states are restored at its end."""
    with kept():
        random.seed(seed)
        if np.random.get_state(legacy=False)["bit_generator"] == "MT19937":  # noqa: NPY002 (the only one with a seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
        if (torch := sys.modules.get("torch")) is not None:
            # Each device by itself: torch.manual_seed would leave a seed behind for a CUDA not yet in use.
            torch.default_generator.manual_seed(seed)
            if torch.cuda.is_initialized():
                torch.cuda.manual_seed_all(seed)
        yield


def _alike(one: Any, other: Any) -> bool:
    """Whether two states of a generator are equal, whatever types they hold."""
    if isinstance(one, Mapping):
        return all(_alike(value, other.get(key)) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    equal = one == other
    return bool(equal.all()) if hasattr(equal, "all") else bool(equal)
