"""What is left, in a transfer's last layers, of the fraction that each of its sources put there.

Fractional transfer from k bases begins at θ₀ = θ_fresh + λ·mean(θ_S): each base has put λ/k of its parameters
there. Of the parameters θ at a checkpoint:

- what remains of each base's λ/k, by one regression of θ − θ_fresh on all θ_S together, at first λ/k each;
- the share of θ that λ/k·θ_S explains: 1 − ‖θ − λ/k·θ_S‖² / ‖θ‖², as :mod:`diag.sources.survival` has it of
  the mean of all.

Both are functions of sums over the parameters of a layer, whose intervals are jackknifed over parts of them:
they say how evenly the layer's numbers agree, and not how another seed would have ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from diag.sources.survival import fractions_of
from diag.sources.systems import Trained, trained
from probes import Floats, Measure
from probes._resampling import jackknife_half
from trainers.checkpoint import read
from trainers.plan import ALL

PARTS, FEWEST = 20, 4
"""Parts of a layer's parameters, each left out once, and how many of them an interval needs."""


@dataclass(frozen=True)
class Left:
    """What is left of one base in one component."""

    base: int
    """Number of the base in the order of the header."""
    component: str
    steps: tuple[int, ...]
    fractions: tuple[Measure, ...]
    shares: tuple[Measure, ...]


def remains_in(path: str) -> tuple[Left, ...] | None:
    """What is left of each base in a transfer's file; () where it was given no fraction.

    None where a base is not where it was, or is another file now.
    """
    return remains(trained(read(path)))


def remains(transfer: Trained) -> tuple[Left, ...] | None:
    """What is left of each base in a transfer, component after component."""
    fractions = fractions_of(transfer)
    if fractions is None:
        return None
    bases = fractions.bases
    found = []
    for (component, fraction, which), names in fractions.given.items():
        numbers = list(range(len(bases))) if which == ALL else [int(which)]
        sources = np.stack([_flat(names, bases[number]) for number in numbers])
        share = fraction / len(numbers)
        begun = _flat(names, fractions.fresh)
        points = {0: begun + share * sources.sum(0)}
        points |= {step: _flat(names, own) for step, own in fractions.way.items()}
        each = [_left(theta, begun, sources, share) for theta in points.values()]
        for place, number in enumerate(numbers):
            remain = tuple(one[0][place] for one in each)
            shares = tuple(one[1][place] for one in each)
            found.append(Left(number, component, tuple(points), remain, shares))
    return tuple(found)


def _flat(names: Sequence[str], tensors: Mapping[str, Tensor]) -> Floats:
    """Parameters of these names in a row (m,)."""
    return np.concatenate([tensors[name].double().flatten().numpy() for name in names])


def _left(theta: Floats, begun: Floats, sources: Floats, share: float) -> tuple[list[Measure], list[Measure]]:
    """What remains of each of k sources (k, m) in parameters (m,), and what each explains."""
    part = np.random.default_rng(0).permutation(len(theta)) % min(PARTS, len(theta))
    masks = [np.ones(len(theta), np.bool_), *(part != number for number in range(int(part.max()) + 1))]
    fractions = np.array([_fractions(theta[m] - begun[m], sources[:, m]) for m in masks])
    shares = np.array([_shares(theta[m], sources[:, m], share) for m in masks])
    return _measures(fractions), _measures(shares)


def _fractions(moved: Floats, sources: Floats) -> NDArray[np.float64]:
    """Coefficients (k,) of the regression of moved (m,) on k sources (k, m)."""
    return np.asarray(np.linalg.lstsq(sources.T, moved, rcond=None)[0], np.float64)


def _shares(theta: Floats, sources: Floats, share: float) -> NDArray[np.float64]:
    rest: NDArray[np.float64] = np.square(theta - share * sources).sum(1)
    return 1 - rest / max(float(np.square(theta).sum()), np.finfo(np.float64).tiny)


def _measures(values: NDArray[np.float64]) -> list[Measure]:
    """Measures of values (1 + parts, k): all, then without each part."""
    if len(values) - 1 < FEWEST:
        return [Measure(float(value), reason="too few parameters for an interval") for value in values[0]]
    half = jackknife_half(values[1:])
    return [Measure(float(v), float(v - h), float(v + h)) for v, h in zip(values[0], half, strict=True)]
