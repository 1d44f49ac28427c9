"""Steps a second on one core, pictures included: labyrinths side by side beside one gymnasium environment.

    python benchmarks/labyrinth.py [--repeats 5] [--seconds 0.3]

All play a random policy in the same world and make a picture of every state. Contenders: our vectorised
labyrinths, 256 and 32 at once; our environment stepped in a loop; 32 of it in gymnasium's ``SyncVectorEnv``.
They take turns, round by round; times are of the processor; speeds are medians over rounds, a ratio is the
median over rounds of the first ÷ the other. Collecting 200,000 steps without pictures is timed as well.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import gymnasium
import numpy as np

from trainers.envs.labyrinth import LABYRINTHS, Labyrinth, LabyrinthWorld
from trainers.envs.labyrinth_walks import Labyrinths, collect
from trainers.streams import WORLD_STREAM

COLLECTED = 200_000


def side_by_side(world: LabyrinthWorld, n: int) -> Callable[[], int]:
    """A step of n labyrinths; gives how many steps that are."""
    play, rng = Labyrinths(world, n, WORLD_STREAM, 0), np.random.default_rng(0)

    def step() -> int:
        play.step(rng.integers(4, size=n))
        assert play.observations("source").shape == (n, world.side, world.side)
        return n

    return step


def environment(world: LabyrinthWorld) -> Labyrinth:
    return Labyrinth(tiles=world.tiles, keys=world.keys, pixels=world.pixels, steps=world.steps)


def loop(world: LabyrinthWorld) -> Callable[[], int]:
    """A step of one environment."""
    env, rng = environment(world), np.random.default_rng(0)
    env.reset(seed=0)

    def step() -> int:
        *_, terminated, truncated, _ = env.step(rng.integers(4))
        if terminated or truncated:
            env.reset()
        return 1

    return step


def gymnasiums_vector(world: LabyrinthWorld, n: int) -> Callable[[], int]:
    """A step of n environments, one after the other."""
    envs, rng = gymnasium.vector.SyncVectorEnv([lambda: environment(world)] * n), np.random.default_rng(0)
    envs.reset(seed=0)

    def step() -> int:
        envs.step(rng.integers(4, size=n))
        return n

    return step


def rate(step: Callable[[], int], seconds: float) -> float:
    start, steps = time.process_time(), 0
    while time.process_time() - start < seconds:
        steps += step()
    return steps / (time.process_time() - start)


def compare(name: str, world: LabyrinthWorld, repeats: int, seconds: float) -> None:
    contenders = {
        "ours, 256 side by side": side_by_side(world, 256),
        "ours, 32 side by side": side_by_side(world, 32),
        "gymnasium's SyncVectorEnv of 32": gymnasiums_vector(world, 32),
        "one environment in a loop": loop(world),
    }
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for contender, step in contenders.items():
            rates[contender].append(rate(step, seconds))
    print(f"{name}, {world.side}×{world.side} pixels: steps a second (median of {repeats})")
    first = next(iter(rates.values()))
    for contender, seen in rates.items():
        ratio = statistics.median(a / b for a, b in zip(first, seen, strict=True))
        print(f"  {contender:32} {statistics.median(seen):10,.0f}   the first is {ratio:5.1f}× as fast")
    start = time.process_time()
    walk = collect(world, COLLECTED, 0)
    print(f"  {len(walk):,} steps collected as hidden states in {time.process_time() - start:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3)
    options = parser.parse_args()
    print(f"numpy {np.__version__}, gymnasium {gymnasium.__version__}, {platform.machine()}")
    for name, world in LABYRINTHS.items():
        compare(name, world, options.repeats, options.seconds)


if __name__ == "__main__":
    main()
