"""Steps of Catch a second on one core, observations included: ours beside a plain loop and gymnasium's.

    python benchmarks/catch.py [--repeats 7] [--seconds 0.3]

All play the same random actions in the same game. Contenders: our vectorised environments, 256 and 64 at
once; a plain loop over 64 games that each draw their own picture into an array; 64 of our environments in
gymnasium's ``SyncVectorEnv``. They take turns, round by round; times are of the processor; speeds are
medians over rounds, a ratio is the median over rounds of ours with 64 ÷ the other.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import gymnasium
import numpy as np
from numpy.typing import NDArray

from trainers.envs.catch import CATCHES, Catch, CatchWorld, reach

ROUNDS = 512
"""Steps whose actions are drawn before the clock starts."""


class PlainGame:
    """One game in plain Python: numbers for ball and paddle, and a picture drawn by slices."""

    def __init__(self, world: CatchWorld, rng: np.random.Generator) -> None:
        self.world, self.rng, self.look = world, rng, world.looks["default"]
        self.reset()

    def reset(self) -> None:
        first, last = self.world.columns
        self.row, self.column = 0, int(self.rng.integers(first, last + 1))
        self.paddle = int(self.rng.choice(self.world.places))

    def step(self, action: int) -> tuple[float, bool]:
        world = self.world
        if world.touches is None:
            lowest, highest = int(world.places[0]), int(world.places[-1])
            self.paddle = min(max(self.paddle + action - 1, lowest), highest)
        else:
            self.paddle = int(world.places[action % world.touches[1]])
        self.row += world.speed
        if self.row < world.landing:
            return 0.0, False
        ball, wide = reach(self.look.ball), reach(self.look.paddle)
        offset = self.column - self.paddle
        caught = offset + ball[1] >= -wide[0] and offset - ball[0] <= wide[1]
        self.reset()
        return 1.0 if caught else -1.0, True

    def draw(self, picture: NDArray[np.uint8]) -> None:
        before, after = reach(self.look.ball)
        left, right = reach(self.look.paddle)
        top = max(self.row - before, 0)
        picture[:] = 0
        picture[:, top : self.row + after + 1, max(self.column - before, 0) : self.column + after + 1] = 255
        picture[:, self.world.top :, max(self.paddle - left, 0) : self.paddle + right + 1] = 255


def ours(world: CatchWorld, n: int) -> Callable[[], int]:
    """A step of n environments; gives how many steps that are."""
    envs = world.envs("default", n, 0)
    actions = drawn_actions(world, n)

    def step() -> int:
        envs.step(next(actions))
        return n

    return step


def plain(world: CatchWorld, n: int) -> Callable[[], int]:
    """A step of n games in a loop, which draws squares for balls."""
    rng = np.random.default_rng(0)
    games = [PlainGame(world, rng) for _ in range(n)]
    pictures = np.zeros((n, *world.observation_shape), np.uint8)
    rewards, ended = np.zeros(n, np.float32), np.zeros(n, np.bool_)
    actions = drawn_actions(world, n)

    def step() -> int:
        for place, action in enumerate(next(actions).tolist()):
            rewards[place], ended[place] = games[place].step(action)
            games[place].draw(pictures[place])
        return n

    return step


def gymnasiums(world: CatchWorld, n: int) -> Callable[[], int]:
    """A step of n of our environments in gymnasium's vector."""
    settings = {"colour": world.colour}
    envs = gymnasium.vector.SyncVectorEnv([lambda: Catch("default", world.name, settings=settings)] * n)
    envs.reset(seed=0)
    actions = drawn_actions(world, n)

    def step() -> int:
        envs.step(next(actions))
        return n

    return step


def drawn_actions(world: CatchWorld, n: int) -> Actions:
    return Actions(np.random.default_rng(0).integers(world.actions.n, size=(ROUNDS, n)))


class Actions:
    """Rows of actions, again and again."""

    def __init__(self, rows: NDArray[np.int64]) -> None:
        self.rows, self.now = rows, 0

    def __next__(self) -> NDArray[np.int64]:
        self.now += 1
        return self.rows[self.now % len(self.rows)]


def rate(step: Callable[[], int], seconds: float) -> float:
    start, steps = time.process_time(), 0
    while time.process_time() - start < seconds:
        steps += step()
    return steps / (time.process_time() - start)


def compare(world: CatchWorld, repeats: int, seconds: float) -> None:
    contenders = {
        "ours, 64 side by side": ours(world, 64),
        "ours, 256 side by side": ours(world, 256),
        "a plain loop over 64": plain(world, 64),
        "gymnasium's SyncVectorEnv of 64": gymnasiums(world, 64),
    }
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for contender, step in contenders.items():
            rates[contender].append(rate(step, seconds))
    channels, height, width = world.observation_shape
    print(f"{world.name}, {channels}×{height}×{width} bytes: steps a second (median of {repeats})")
    first = next(iter(rates.values()))
    for contender, seen in rates.items():
        ratio = statistics.median(a / b for a, b in zip(first, seen, strict=True))
        print(f"  {contender:32} {statistics.median(seen):10,.0f}   the first is {ratio:6.2f}× as fast")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3)
    options = parser.parse_args()
    print(f"numpy {np.__version__}, gymnasium {gymnasium.__version__}, {platform.machine()}")
    for name in ("catch-small", "catch"):
        for colour in (False, True):
            compare(replace(CATCHES[name], colour=colour), options.repeats, options.seconds)


if __name__ == "__main__":
    main()
