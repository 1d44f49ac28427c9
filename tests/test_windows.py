"""An encoder's first layers over distinct windows give what they give over whole pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainers.envs.labyrinth import LABYRINTHS, TASKS, LabyrinthError, LabyrinthWorld, Task
from trainers.envs.labyrinth_walks import scattered
from trainers.nets import ConvNet, conv_encoder
from trainers.stack import Stack
from trainers.windows import encoded, windows_of

WORLDS = {**LABYRINTHS, "another size": LabyrinthWorld(7, 1, 6, walls=3)}


def nets(world: LabyrinthWorld, members: int) -> tuple[ConvNet, Stack]:
    """An encoder with fresh weights, and biases that count."""
    net, rng = conv_encoder(world.tiles, world.pixels, widths=(3, 4, 5)), np.random.default_rng(0)
    named = [
        {
            f"encoder/{name}": value + 0.1 * torch.from_numpy(rng.normal(size=value.shape).astype(np.float32))
            for name, value in net.fresh(rng).items()
        }
        for _ in range(members)
    ]
    stack = Stack(named)
    stack.train_only(stack.views)
    return net, stack


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", WORLDS)
def test_outputs_and_gradients_are_those_of_whole_pictures(name: str, task: Task, members: int) -> None:
    world = WORLDS[name]
    net, stack = nets(world, members)
    states = [scattered(world, 20, seed) for seed in range(members)]
    pictures = torch.from_numpy(np.stack([world.observations(one, task) for one in states]))
    whole = net(stack.views, "encoder", pictures.unsqueeze(-3))
    parts = encoded(net, stack.views, "encoder", [windows_of(world, one, task) for one in states])
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6)  # sums in another order
    slopes, others = (
        torch.autograd.grad(x.square().sum(), list(stack.views.values())) for x in (parts, whole)
    )
    for parameter, ours, theirs in zip(stack.views, slopes, others, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.abs().max())), parameter


def test_windows_are_few_and_rows_choose_pictures() -> None:
    world = LABYRINTHS["labyrinth"]
    states = scattered(world, 64, 0)
    windows = windows_of(world, states, "source")
    assert windows.index.shape == (64, 8, 8)
    assert len(windows.pixels) < 64 * 64 / 20
    assert int(windows.index.max()) == len(windows.pixels) - 1
    net, stack = nets(world, 1)
    every = encoded(net, stack.views, "encoder", [windows])
    some = encoded(net, stack.views, "encoder", [windows.rows(torch.tensor([5, 2]))])
    torch.testing.assert_close(some, every[:, [5, 2]], rtol=1e-5, atol=1e-6)


def test_tiles_of_one_pixel_are_refused() -> None:
    world = LabyrinthWorld(6, 2, 1)
    with pytest.raises(LabyrinthError, match="pixels: found 1, expected 2 or more"):
        windows_of(world, scattered(world, 2, 0), "source")
