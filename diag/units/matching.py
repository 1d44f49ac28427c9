"""Match the hidden units of two networks, by what they do or by their weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from diag.units.symmetry import (
    Exchange,
    Spot,
    Symmetry,
    SymmetryError,
    Units,
    apply,
    check,
    compose,
    identity,
    random_symmetry,
)

if TYPE_CHECKING:
    from diag.units.symmetry import Parameters

CHUNK = 2**22
"""Number of activations that are converted to float64 at a time: 32 MB."""
CONSTANT = 1e-6
"""Below this standard deviation, as a share of its root mean square, a unit is constant: float32 leaves that
much of rounding, and a correlation with it would be noise."""
TIE = 1e-4
"""Weight of the parameters beside correlations: they only decide between units that act alike."""
GAIN = 1e-12
"""Least gain that is not rounding, for weights of norm 1 in all."""


def match_activations(
    units: Sequence[Units],
    activations_a: Mapping[str, Tensor],
    activations_b: Mapping[str, Tensor],
    parameters_a: Parameters | None = None,
    parameters_b: Parameters | None = None,
) -> dict[str, Exchange]:
    """The symmetry that sends B's units onto those of A that act most alike on the same samples.

    Each layer's units are assigned by their correlations over samples and positions (Li et al., arXiv
    1511.07543); odd units by absolute correlations, whose sign they take. Constant units correlate with
    nothing. Where both parameters are given, they decide between units that act alike.

    Args:
        units: The layers.
        activations_a: {units.name: (n, size, ...)} of A.
        activations_b: The same of B, for the same samples.
        parameters_a: A's parameters.
        parameters_b: B's parameters.

    Raises:
        SymmetryError: activations lack a layer, differ in shape, or are not finite.
    """
    correlations = {u.name: _correlation(u, activations_a, activations_b) for u in units}
    matches = {u.name: _assign(u, np.zeros((u.size, u.size)), correlations[u.name]) for u in units}
    if parameters_a is None or parameters_b is None:
        return matches
    a, b = _placed(units, parameters_a, parameters_b)
    return _descend(units, a, b, matches, np.random.default_rng(0), correlations)


def _correlation(units: Units, of_a: Mapping[str, Tensor], of_b: Mapping[str, Tensor]) -> NDArray[np.float64]:
    """Correlations (size, size) of A's units with B's; 0 for constant ones."""
    for side, activations in (("A", of_a), ("B", of_b)):
        if units.name not in activations:
            raise SymmetryError(units.name, f"no activations of {side}", "(n, size, ...) of every layer")
    a, b = of_a[units.name].detach(), of_b[units.name].detach()
    if a.shape != b.shape or a.ndim < 2 or a.shape[1] != units.size or not a.numel():
        shapes = f"activations {tuple(a.shape)} and {tuple(b.shape)}"
        raise SymmetryError(units.name, shapes, f"the same shape (n, {units.size}, ...) twice")
    n = a.numel() / units.size
    mean_a, mean_b = (sum((part.sum(1) for part in _chunks(x)), torch.zeros(())) / n for x in (a, b))
    cross = square_a = square_b = torch.zeros((), dtype=torch.float64)
    for part_a, part_b in zip(_chunks(a), _chunks(b), strict=True):
        centred_a, centred_b = part_a - mean_a[:, None], part_b - mean_b[:, None]
        cross = cross + centred_a @ centred_b.T
        square_a, square_b = square_a + centred_a.square().sum(1), square_b + centred_b.square().sum(1)
    if not (cross.isfinite().all() and square_a.isfinite().all() and square_b.isfinite().all()):
        raise SymmetryError(units.name, "activations that are not finite", "finite ones")
    cross *= _inverse(square_a, n * mean_a**2)[:, None] * _inverse(square_b, n * mean_b**2)
    correlation: NDArray[np.float64] = cross.numpy()
    return correlation


def _inverse(centred: Tensor, mean: Tensor) -> Tensor:
    """1 / √(centred squares) of each unit; 0 for a unit that is constant beside its mean."""
    varies = centred > CONSTANT**2 * (centred + mean)
    return torch.where(varies, centred, 1.0).rsqrt() * varies


def _chunks(activations: Tensor) -> Iterator[Tensor]:
    """(n, size, ...) in parts of some samples, each as (size, samples·positions) in float64."""
    rows = max(1, CHUNK * len(activations) // activations.numel())
    for first in range(0, len(activations), rows):
        part = activations[first : first + rows].to("cpu", torch.float64)
        yield part.movedim(1, 0).flatten(1)


def match_weights(
    units: Sequence[Units],
    parameters_a: Parameters,
    parameters_b: Parameters,
    start: Symmetry | None = None,
    *,
    restarts: int = 4,
    seed: int = 0,
) -> dict[str, Exchange]:
    """The symmetry whose copy of B is nearest to A in L2, as far as a search from several starts tells.

    Layer by layer, the best assignment with the others fixed is taken until none gains (weight matching of
    Ainsworth et al., arXiv 2209.04836, here with the better sign for each pair). It starts from ``start``,
    from the identity, and from matching each layer by those weights alone whose other units are matched
    already, inputs first and outputs first, which recovers noisy symmetric copies. For one hidden layer the
    result is optimal; otherwise its distance is an upper bound, never larger than from ``start`` or B itself.

    Args:
        units: The layers.
        parameters_a: A's parameters.
        parameters_b: B's parameters.
        start: A symmetry to start from, such as :func:`match_activations`'s.
        restarts: Further starts from random symmetries; for networks of few units some end nearer.
        seed: Seed of the restarts, and of the order in which layers are visited.

    Raises:
        SymmetryError: the parameters lack a spot, differ in shape or are not finite; ``start`` does not fit.
    """
    a, b = _placed(units, parameters_a, parameters_b)
    starts = [] if start is None else [{**identity(units), **start}]
    starts += [identity(units), _in_turn(units, a, b), _in_turn(units[::-1], a, b)]
    starts += [random_symmetry(units, seed + k) for k in range(restarts)]
    best, nearest = identity(units), -np.inf
    for k, one in enumerate(starts):
        symmetry = _descend(units, a, b, one, np.random.default_rng([seed, k]))
        product = _product(a, apply(units, b, symmetry), a)
        if product > nearest + GAIN:
            best, nearest = symmetry, product
    return best


def _placed(units: Sequence[Units], *networks: Parameters) -> list[dict[str, Tensor]]:
    """The parameters in which units stand, in float64, of each network scaled to norm 1."""
    scaled = []
    for parameters in networks:
        check(units, parameters)
        names = dict.fromkeys(spot.parameter for u in units for spot in u.spots)
        placed = {name: parameters[name].detach().to("cpu", torch.float64) for name in names}
        for name, tensor in placed.items():
            if tensor.shape != networks[0][name].shape:
                wanted = f"{tuple(networks[0][name].shape)}, as the other network has"
                raise SymmetryError(name, f"shape {tuple(tensor.shape)}", wanted)
            if not tensor.isfinite().all():
                raise SymmetryError(name, "values that are not finite", "finite ones")
        norm = sum(float(tensor.square().sum()) for tensor in placed.values()) ** 0.5
        scaled.append({name: tensor / (norm or 1.0) for name, tensor in placed.items()})
    return scaled


def _descend(
    units: Sequence[Units],
    a: Parameters,
    b: Parameters,
    start: Symmetry,
    rng: np.random.Generator,
    correlations: Mapping[str, NDArray[np.float64]] | None = None,
) -> dict[str, Exchange]:
    """Raise ⟨a, copy of b⟩ layer by layer from ``start``; with correlations their sum plus TIE times it."""
    symmetry, copy = dict(start), apply(units, b, start)
    improved = True
    while improved:
        improved = False
        for k in rng.permutation(len(units)):
            u = units[k]
            even, signed = _products(u, a, copy, u.spots)
            now, correlation = symmetry[u.name], np.zeros((u.size, u.size))
            if correlations is not None:
                correlation = correlations[u.name][:, now.order] * now.signs
                even, signed = TIE * even, TIE * signed + correlation
            step = _assign(u, even, signed)
            trial = apply((u,), copy, {u.name: step})
            # Where a layer stands on both axes of one parameter (a recurrent one), its assignment holds one
            # axis still and is a guess: what counts is what it gains.
            names = dict.fromkeys(spot.parameter for spot in u.spots)
            gain = _product(a, trial, names) - _product(a, copy, names)
            if correlations is not None:
                taken = step.signs * correlation[np.arange(u.size), step.order]
                gain = TIE * gain + float(taken.sum() - correlation.trace())
            if gain > GAIN:
                symmetry |= compose({u.name: now}, {u.name: step})
                copy, improved = trial, True
    return symmetry


def _product(a: Parameters, b: Parameters, names: Iterable[str]) -> float:
    return sum(float((a[name] * b[name]).sum()) for name in names)


def _products(
    units: Units, a: Parameters, b: Parameters, spots: Sequence[Spot]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Inner products (size, size) of A's units with B's: what signs leave alone, and what they negate."""
    totals = np.zeros((2, units.size, units.size))
    for spot in spots:
        blocks_a, blocks_b = (_blocks(units, spot, x[spot.parameter]) for x in (a, b))
        for of_a, of_b, signed in zip(blocks_a, blocks_b, spot.signed, strict=True):
            totals[int(signed)] += (of_a @ of_b.T).numpy()
    return totals[0], totals[1]


def _blocks(units: Units, spot: Spot, tensor: Tensor) -> Tensor:
    """A parameter's entries for each unit: (blocks, size, entries)."""
    rows = tensor.movedim(spot.axis, 0).narrow(0, spot.start or 0, spot.extent(units.size))
    return rows.reshape(len(spot.signed), units.size, -1)


def _assign(units: Units, even: NDArray[np.float64], signed: NDArray[np.float64]) -> Exchange:
    """The exchange of largest total worth, where B's unit j for A's unit i is worth even + sign · signed."""
    order = linear_sum_assignment(even + (abs(signed) if units.odd else signed), maximize=True)[1]
    negative = (signed[np.arange(units.size), order] < 0) & units.odd
    return Exchange(order.astype(np.int64), np.where(negative, -1, 1).astype(np.int64))


def _in_turn(units: Sequence[Units], a: Parameters, b: Parameters) -> dict[str, Exchange]:
    """Match each layer in turn, by the parameters whose other layers are matched already."""
    standing = [(spot.parameter, u.name) for u in units for spot in u.spots]
    matched: dict[str, Exchange] = {}
    for u in units:
        open_ = [name for name, other in standing if other not in matched and other != u.name]
        own = [spot.parameter for spot in u.spots]
        spots = [p for p in u.spots if p.parameter not in open_ and own.count(p.parameter) == 1]
        matched[u.name] = _assign(u, *_products(u, a, b, spots))
        b = apply((u,), b, {u.name: matched[u.name]})
    return matched
