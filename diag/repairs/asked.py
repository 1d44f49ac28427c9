"""The options of a repair, and numbers that follow from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from diag.repairs.fits import Method
from diag.repairs.result import Mode
from trainers.settings import MOST_UPDATES

if TYPE_CHECKING:
    from diag.repairs.search import How

Progress: TypeAlias = Callable[[int, int], None]


class RepairError(ValueError):
    """Options of a repair that contradict each other, or a place where it cannot write."""


@dataclass(frozen=True)
class Asked:
    """The options of :func:`diag.repair`."""

    out: Path | None
    pairs: int | None
    method: Method | None
    unpaired: How | None
    train: int | str
    mode: Mode
    force: bool
    overwrite: bool
    seed: int
    device: str


def updates_of(words: int | str, budget: int) -> int:
    """Updates from a number, or a share of a budget such as ``5%``; raises RepairError.

    >>> updates_of("5%", 30_000), updates_of("2000", 30_000)
    (1500, 2000)
    """
    text = str(words).strip()
    try:
        updates = round(float(text[:-1]) / 100 * budget) if text.endswith("%") else int(text)
    except (ValueError, OverflowError):
        raise RepairError(f"--train {text}: expected updates, such as 2000, or a share, such as 5%") from None
    if not 0 <= updates <= MOST_UPDATES:
        raise RepairError(f"--train {text}: expected from 0 to {MOST_UPDATES} updates")
    return updates


def asks_to_train(words: int | str) -> bool:
    """Whether more than 0 updates are asked for; raises RepairError.

    >>> asks_to_train("0"), asks_to_train("0%"), asks_to_train("5%"), asks_to_train(300)
    (False, False, True, True)
    """
    return updates_of(words, MOST_UPDATES) > 0


def known_rows(n: int, pairs: int | None, seed: int) -> NDArray[np.int64]:
    """Numbers of the rows (of n) that are known pairs, drawn at random where not all are."""
    if pairs is None or pairs >= n:
        return np.arange(n)
    return np.sort(np.random.default_rng([seed, 6]).permutation(n)[:pairs])


def r2_as_it_is(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    """R² of x (n, d) to y without any map; None where they differ in width, or y is constant."""
    if x.shape != y.shape or not (total := float(np.square(y - y.mean(0)).sum())):
        return None
    return 1 - float(np.square(x - y).sum()) / total
