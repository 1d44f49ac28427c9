"""An encoder's first layers over the distinct windows of pictures that are made of tiles.

What two convolutions of 2×2 and the pool after them make of a tile follows from the tile and its neighbours
to the right and below. A batch of labyrinths has thousands of tiles and some hundred such windows: each is
taken once, and its planes are put wherever it stands. The numbers are those of the whole net, to rounding;
windows on the pictures' right and lower borders are of their own kinds, because a convolution is padded
there.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, embedding, max_pool2d

from trainers.envs.labyrinth import LabyrinthError, LabyrinthWorld, States, Task
from trainers.nets import ConvNet
from trainers.stack import Parameters

BEYOND = 2
"""Pixels of the neighbours that a tile's window has: one for each convolution."""


@dataclass(frozen=True)
class Windows:
    """K pictures as numbers of their windows."""

    pixels: Tensor
    """(U, 1, p + 2, p + 2): each distinct window, p pixels a tile."""
    inside: Tensor
    """(U, 1, p + 1, p + 1): 1 where the first convolution has an output, 0 beyond the picture's border."""
    index: Tensor
    """(K, tiles, tiles) int64: the window of each tile."""

    def rows(self, rows: slice | Tensor) -> Windows:
        """Some of the pictures."""
        return replace(self, index=self.index[rows])


def windows_of(world: LabyrinthWorld, states: States, task: Task, device: str = "cpu") -> Windows:
    """The windows of pictures of these states; raises LabyrinthError for tiles of one pixel.

    Such a window would reach beyond the next tile.
    """
    if world.pixels < BEYOND:
        raise LabyrinthError(f"pixels: found {world.pixels}, expected {BEYOND} or more for windows of tiles")
    pixels, inside = _every(world, task)
    out = len(world.blocks(task))
    kinds = np.full((len(states), world.tiles + 1, world.tiles + 1), out, np.int64)
    kinds[:, :-1, :-1] = world.shown(states)
    base = out + 1
    below = kinds[:, :-1] + base**2 * kinds[:, 1:]
    codes = below[:, :, :-1] + base * below[:, :, 1:]
    there = np.zeros(base**4, np.bool_)
    there[codes] = True
    number = np.cumsum(there) - 1
    chosen = torch.from_numpy(np.flatnonzero(there))
    found = (pixels[chosen], inside[chosen], torch.from_numpy(number[codes]))
    return Windows(*(tensor.to(device) for tensor in found))


@functools.cache
def _every(world: LabyrinthWorld, task: Task) -> tuple[Tensor, Tensor]:
    """The pixels and the inside of all windows that four kinds of neighbouring tiles could make.

    Kinds count from the tile itself to the right, then below; the last kind is that of no tile.
    """
    blocks = world.blocks(task)
    base, p = len(blocks) + 1, world.pixels
    grey = np.concatenate([blocks, np.zeros((1, p, p), np.float32)])
    codes = np.arange(base**4)
    kinds = [codes // base**place % base for place in range(4)]  # here, right, below, below and right
    upper, lower = (np.concatenate([grey[kinds[i]], grey[kinds[i + 1]]], 2) for i in (0, 2))
    pixels = np.concatenate([upper, lower], 1)[:, : p + BEYOND, : p + BEYOND]
    inside = np.ones((base**4, p + 1, p + 1), np.float32)
    inside[kinds[1] == base - 1, :, p] = 0
    inside[kinds[2] == base - 1, p] = 0
    return torch.from_numpy(pixels[:, None].copy()), torch.from_numpy(inside[:, None])


def encoded(net: ConvNet, parameters: Parameters, component: str, each: Sequence[Windows]) -> Tensor:
    """The net's outputs (S, K, planes, tiles, tiles) for S networks and as many sets of windows."""
    tail = ConvNet(net.convs[1].filters, _side(net), net.convs[2:], net.dense)
    planes = [_planes(net, parameters, component, index, one) for index, one in enumerate(each)]
    named = {
        f"{component}/{name}": parameters[f"{component}/{int(layer) + 2}.{kind}"]
        for name in tail.shapes()
        for layer, _, kind in [name.partition(".")]
    }
    return tail(named, component, planes[0][None] if len(planes) == 1 else torch.stack(planes))


def _side(net: ConvNet) -> int:
    """Side of the planes after the pool of the second convolution."""
    return net.side // net.convs[1].pool


def _planes(net: ConvNet, parameters: Parameters, component: str, index: int, windows: Windows) -> Tensor:
    """Outputs of the first two layers of one network for pictures, (K, planes, side, side)."""
    first, second, *_ = net.convs
    assert (first.kernel, second.kernel, first.pool) == (2, 2, 1)
    named = {n: parameters[f"{component}/{n}"][index] for n in ("0.weight", "0.bias", "1.weight", "1.bias")}
    x = torch.tanh(conv2d(windows.pixels, named["0.weight"], named["0.bias"])) * windows.inside
    x = conv2d(x.contiguous(memory_format=torch.channels_last), named["1.weight"], named["1.bias"])
    x = torch.tanh(max_pool2d(x, second.pool) if second.pool > 1 else x)
    planes, side = x.shape[1:3]
    count, tiles, _ = windows.index.shape
    # A row for each window; embedding has a faster way back than indexing.
    rows = embedding(windows.index, x.permute(0, 2, 3, 1).reshape(len(x), -1))
    grid = rows.view(count, tiles, tiles, side, side, planes).transpose(2, 3)
    return grid.reshape(count, _side(net), _side(net), planes).permute(0, 3, 1, 2)
