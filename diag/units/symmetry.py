"""Symmetries of the weights: hidden units exchanged, and negated where what follows them is odd.

A layer of units stands in several parameters at once: in the rows that make it and in the columns that
read it. Exchanging two units in all of these places leaves the function as it was, and so does negating
one where its activation is odd (Sussmann, Neural Networks 5, 1992). Two networks may thus lie far apart
on the straight line and compute the same.

>>> import torch
>>> units = Units("net/0", 2, True, (Spot("net/0.weight", 0), Spot("net/1.weight", 1)))
>>> parameters = {"net/0.weight": torch.tensor([[1.0], [2.0]]), "net/1.weight": torch.tensor([[3.0, 4.0]])}
>>> swap = {"net/0": Exchange(np.array([1, 0]), np.array([1, -1]))}
>>> {name: tensor.tolist() for name, tensor in apply([units], parameters, swap).items()}
{'net/0.weight': [[2.0], [-1.0]], 'net/1.weight': [[4.0, -3.0]]}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Parameters: TypeAlias = Mapping[str, Tensor]
"""Named parameters, ``component/parameter``, as in :mod:`diag.subject`, which stands above this."""


class SymmetryError(ValueError):
    """Units, parameters or a module that do not fit each other: ``where``, ``found``, ``expected``."""

    def __init__(self, where: str, found: str, expected: str) -> None:
        self.where, self.found, self.expected = where, found, expected
        super().__init__(f"{where}: found {found}; expected {expected}")


@dataclass(frozen=True)
class Spot:
    """The place of a layer of units in one parameter.

    The axis holds blocks of all units side by side, each unit as ``repeat`` neighbouring entries: unit u of
    block b begins at ``start`` + (b·size + u)·repeat.
    """

    parameter: str
    axis: int
    signed: tuple[bool, ...] = (True,)
    """For each block, whether negating a unit negates its entries there."""
    repeat: int = 1
    """Entries per unit: the positions of a channel behind a flatten."""
    start: int | None = None
    """First entry of the units, if they share the axis with other entries; None if they fill it."""

    def extent(self, size: int) -> int:
        """Number of the axis's entries that belong to a layer of ``size`` units."""
        return len(self.signed) * size * self.repeat


@dataclass(frozen=True)
class Units:
    """A layer of ``size`` hidden units and all the spots where it stands in the parameters."""

    name: str
    size: int
    odd: bool
    """Whether negating a unit is a symmetry: all that lies between its weights and the next is odd."""
    spots: tuple[Spot, ...]


@dataclass(frozen=True, eq=False)
class Exchange:
    """New unit i is ``signs[i]`` times old unit ``order[i]``."""

    order: NDArray[np.int64]
    """(size,): a permutation of 0 … size − 1."""
    signs: NDArray[np.int64]
    """(size,): 1 or −1."""


Symmetry: TypeAlias = Mapping[str, Exchange]
"""{units.name: their exchange}; layers that are not named stay as they are."""


def identity(units: Sequence[Units]) -> dict[str, Exchange]:
    """The symmetry that changes nothing."""
    return {u.name: Exchange(np.arange(u.size), np.ones(u.size, dtype=np.int64)) for u in units}


def random_symmetry(units: Sequence[Units], seed: int) -> dict[str, Exchange]:
    """A uniform draw from all permutations, and all signs where the units are odd."""
    rng = np.random.default_rng(seed)
    return {
        u.name: Exchange(rng.permutation(u.size), 1 - 2 * rng.integers(0, 1 + u.odd, u.size)) for u in units
    }


def compose(first: Symmetry, then: Symmetry) -> dict[str, Exchange]:
    """The symmetry that applies ``first`` and then ``then``."""
    both = {
        name: Exchange(one.order[then[name].order], then[name].signs * one.signs[then[name].order])
        for name, one in first.items()
        if name in then
    }
    return {**first, **then, **both}


def apply(units: Sequence[Units], parameters: Parameters, symmetry: Symmetry) -> dict[str, Tensor]:
    """The parameters with their units exchanged: new tensors where something changed, else the same ones.

    Raises:
        SymmetryError: a spot is not in the parameters, a layer is unknown or has another size, an order is
            no permutation, or a unit is negated that is not odd.
    """
    check(units, parameters)
    known = {u.name for u in units}
    for name in symmetry:
        if name not in known:
            raise SymmetryError(name, "an exchange of unknown units", f"one of {sorted(known)}")
    copy = dict(parameters)
    for u in units:
        if u.name not in symmetry:
            continue
        order, signs = _checked(u, symmetry[u.name])
        if np.array_equal(order, np.arange(u.size)) and (signs > 0).all():
            continue
        for spot in u.spots:
            old = copy[spot.parameter]
            index, factor = np.arange(old.shape[spot.axis]), np.ones(old.shape[spot.axis])
            first = spot.start or 0
            part = slice(first, first + spot.extent(u.size))
            index[part] = index[part].reshape(len(spot.signed), u.size, spot.repeat)[:, order].reshape(-1)
            factor[part] = np.where(np.array(spot.signed)[:, None], signs, 1).repeat(spot.repeat)
            moved = old.index_select(spot.axis, torch.from_numpy(index).to(old.device))
            if (factor < 0).any():
                moved *= torch.from_numpy(factor).to(old).reshape(-1, *[1] * (old.ndim - spot.axis - 1))
            copy[spot.parameter] = moved
    return copy


def _checked(units: Units, exchange: Exchange) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    order, signs = np.asarray(exchange.order), np.asarray(exchange.signs)
    if not np.array_equal(np.sort(order), np.arange(units.size)):
        raise SymmetryError(units.name, f"an order {order.tolist()}", f"a permutation of {units.size} units")
    if signs.shape != (units.size,) or not (abs(signs) == 1).all():
        raise SymmetryError(units.name, f"signs {signs.tolist()}", f"{units.size} of 1 or -1")
    if not units.odd and (signs < 0).any():
        raise SymmetryError(units.name, "negated units", "permutations only: these are not odd")
    return order, signs


def check(units: Sequence[Units], parameters: Parameters) -> None:
    """Raises SymmetryError where units do not fit the parameters, or two layers have one name."""
    names = [u.name for u in units]
    if len(set(names)) < len(names):
        raise SymmetryError(names[0], f"layers named {names}", "a name of its own for each")
    for u in units:
        for spot in u.spots:
            if spot.parameter not in parameters:
                raise SymmetryError(u.name, f"no parameter {spot.parameter!r}", "all its spots")
            shape = tuple(parameters[spot.parameter].shape)
            length = shape[spot.axis] if 0 <= spot.axis < len(shape) else -1
            extent = (spot.start or 0) + spot.extent(u.size)
            if length < extent or (spot.start is None and length > extent):
                wanted = f"{len(spot.signed)}×{u.size}×{spot.repeat} entries on axis {spot.axis}"
                raise SymmetryError(spot.parameter, f"shape {shape}", f"{wanted}, for the units of {u.name}")
