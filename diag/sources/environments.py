"""Two registered environments as a pair of tasks, and episodes of a policy in one of them.

The pair is stepped in lockstep, from the same seeds and with the same random actions. Hidden dynamics that
are the same give the same rewards and the same ends, step by step; where they do not, the environments are
no two views of one world, and are refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import gymnasium
import numpy as np
from numpy.typing import NDArray

from diag.sources.foreign_code import working_directory_first
from diag.sources.safe.names import line
from diag.subject import Pairs, Sampled, SubjectError, Task
from trainers.streams import DATA_STREAM, EVALUATION_STREAM

Environment: TypeAlias = "gymnasium.Env[Any, Any]"
Act: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]
"""Observations (k, *shape) -> actions (k, ...)."""

STEPS = 1000
"""Number of paired observations, where none is asked for."""

EPISODES = 20
"""Fewest episodes that the steps are divided into: each ends after 1/20 of the steps at the latest."""

SEEN_AGAIN = 4
"""Mean repeats of a row from which the states count as few: each state is then a group, instead of each
episode."""

SIDE_BY_SIDE = 16
"""Number of episodes that are played at a time, so that one call of the policy serves all of them."""

MOST_EPISODE_STEPS = 200_000
"""Most steps of an episode: a longer one is taken to have no end."""

KNOWN_ID = "the id of a registered environment: Name-v0, or module:Name-v0"


@dataclass(frozen=True)
class Lockstep:
    """n steps of both environments; row i of every array is step i."""

    observations: Mapping[Task, NDArray[Any]]
    next_observations: Mapping[Task, NDArray[Any]]
    actions: NDArray[Any]
    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    """Whether the world ended the episode; a time limit does not count."""
    episodes: NDArray[np.int64]
    states: NDArray[np.float64] | None
    """(n, k) the hidden state before each step, where both environments show the same."""


class EnvironmentTasks:
    """A source and a target environment as TaskPair; raises SubjectError where they are no pair."""

    def __init__(self, source_env: str, target_env: str, steps: int = STEPS) -> None:
        self.ids: Mapping[Task, str] = {"source": source_env, "target": target_env}
        self.name, self.steps = f"{source_env} and {target_env}", steps

    def paired_observations(self, n: int | None, seed: int) -> Pairs:
        """n steps of seeded random actions; the same standard steps, whatever the seed, where n is None.

        Rows that repeat are left out. The groups are episodes, or the states themselves where they are few.
        """
        import torch

        seen, rows, few = self._distinct(self.steps if n is None else n, 0 if n is None else seed)
        observations = {task: torch.from_numpy(o[rows]) for task, o in seen.observations.items()}
        if few:
            return Pairs(observations, np.arange(len(rows)))
        return Pairs(observations, seen.episodes[rows], "episodes")

    def batch(self, task: Task, n: int, seed: int) -> Sampled:
        """n transitions under random actions, the same in both tasks; grouped by episode.

        The batch holds ``observations``, ``next_observations`` (n, *shape), ``actions`` (n, ...),
        ``rewards`` and ``terminated`` (n,) as tensors.
        """
        import torch

        # Draw other steps than those of the pairs.
        seen = _lockstep(self.ids["source"], self.ids["target"], n, seed, DATA_STREAM)
        arrays = {
            "observations": seen.observations[task],
            "next_observations": seen.next_observations[task],
            "actions": seen.actions,
            "rewards": seen.rewards,
            "terminated": seen.terminated,
        }
        return Sampled({name: torch.from_numpy(array) for name, array in arrays.items()}, seen.episodes)

    def variables(self) -> Mapping[str, NDArray[Any]]:
        """The hidden state of each standard paired row, a number each; {} where the environments hide it."""
        seen, rows, _ = self._distinct(self.steps, 0)
        if seen.states is None:
            return {}
        return {f"state_{axis}": column for axis, column in enumerate(seen.states[rows].T)}

    def _distinct(self, n: int, seed: int) -> tuple[Lockstep, NDArray[np.int64], bool]:
        """The steps, the rows that are new in either task, and whether the states count as few."""
        seen = _lockstep(self.ids["source"], self.ids["target"], n, seed, EVALUATION_STREAM)
        first: dict[tuple[bytes, ...], int] = {}
        for row, both in enumerate(zip(*seen.observations.values(), strict=True)):
            first.setdefault(tuple(observed.tobytes() for observed in both), row)
        rows = np.array(list(first.values()), np.int64)
        return seen, rows, SEEN_AGAIN * len(rows) <= n


def make(name: str) -> Environment:
    """An environment by its id; raises SubjectError where there is none that can be used."""
    try:
        with warnings.catch_warnings(), working_directory_first():
            warnings.simplefilter("ignore")  # warnings about old versions and missing renderers
            environment: Environment = gymnasium.make(name, disable_env_checker=True)
    except Exception as error:  # an environment's own code is run, and its module imported
        raise SubjectError(name, f"no environment to make ({line(error)})", KNOWN_ID) from None
    space = environment.observation_space
    if not isinstance(space, gymnasium.spaces.Box | gymnasium.spaces.Discrete):
        raise SubjectError(name, f"{type(space).__name__} observations", "arrays (Box) or numbers (Discrete)")
    return environment


@lru_cache(maxsize=4)
def actions_of(name: str) -> gymnasium.Space[Any]:
    """The actions that an environment takes; raises SubjectError as :func:`make` does."""
    environment = make(name)
    environment.close()
    return environment.action_space


@lru_cache(maxsize=4)
def _lockstep(source_env: str, target_env: str, steps: int, seed: int, stream: int) -> Lockstep:
    """Step both environments side by side; kept for the next checkpoint that asks for the same."""
    both: dict[Task, Environment] = {"source": make(source_env), "target": make(target_env)}
    source, target = both.values()
    if source.action_space != target.action_space:
        spaces = f"actions {source.action_space} and {target.action_space}"
        raise SubjectError(f"{source_env} and {target_env}", spaces, "the same actions in both")
    before: dict[Task, list[Any]] = {task: [] for task in both}
    after: dict[Task, list[Any]] = {task: [] for task in both}
    now: dict[Task, Any] = {}
    actions, rewards, ends, episodes = [], [], [], []
    states: list[NDArray[np.float64] | None] = []
    longest, episode, age, over = max(1, steps // EPISODES), -1, 0, True
    source.action_space.seed(_seed(stream, seed, 2**31))
    for step in range(steps):
        if over or age == longest:
            episode, age = episode + 1, 0
            now = {
                t: environment.reset(seed=_seed(stream, seed, episode))[0] for t, environment in both.items()
            }
        states.append(_shared_state(source, target))
        action = source.action_space.sample()
        one, other = source.step(action), target.step(action)
        if not np.isclose(float(one[1]), float(other[1])) or one[2:4] != other[2:4]:
            drift = f"that the environments drift apart at step {step}: {_ends(one)} and {_ends(other)}"
            expected = "the same rewards and ends after the same actions: two views of one world"
            raise SubjectError(f"{source_env} and {target_env}", drift, expected)
        for task, seen in zip(both, (one[0], other[0]), strict=True):
            before[task].append(now[task])
            after[task].append(seen)
            now[task] = seen
        actions.append(action)
        rewards.append(float(one[1]))
        ends.append(bool(one[2]))
        episodes.append(episode)
        age, over = age + 1, bool(one[2] or one[3])
    for environment in both.values():
        environment.close()
    return Lockstep(
        {task: _stacked(rows, both[task]) for task, rows in before.items()},
        {task: _stacked(rows, both[task]) for task, rows in after.items()},
        np.asarray(actions),
        np.asarray(rewards, np.float32),
        np.asarray(ends, np.bool_),
        np.asarray(episodes, np.int64),
        _whole(states),
    )


def _whole(states: list[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
    """The states as (n, k) where every step has one, and all have the same k; else None."""
    known = [state for state in states if state is not None]
    if not known or len(known) < len(states) or len({len(state) for state in known}) > 1:
        return None
    return np.array(known)


def _ends(step: tuple[Any, ...]) -> str:
    words = [f"reward {float(step[1]):g}"] + ["terminated"] * bool(step[2]) + ["truncated"] * bool(step[3])
    return ", ".join(words)


def _stacked(rows: list[Any], environment: Environment) -> NDArray[Any]:
    return np.asarray(rows, environment.observation_space.dtype)


def _shared_state(source: Environment, target: Environment) -> NDArray[np.float64] | None:
    """The hidden state (k,), from ``state`` (classic control) or ``s`` (toy text), where both agree on it."""
    for name in ("state", "s"):
        one, other = (getattr(e.unwrapped, name, None) for e in (source, target))
        if one is None or other is None:
            continue
        try:
            state, same = (np.asarray(s, np.float64).reshape(-1) for s in (one, other))
        except (TypeError, ValueError):  # an attribute of that name that is no state
            continue
        if state.shape == same.shape and np.isfinite(state).all() and np.allclose(state, same):
            return state
    return None


def _seed(*words: int) -> int:
    return int(np.random.SeedSequence(words).generate_state(1)[0])


@dataclass(frozen=True)
class Episode:
    """One played episode of T steps."""

    rewards: NDArray[np.float64]
    terminated: bool
    observations: NDArray[Any]
    """(T + 1, *shape) where they are kept: before each step, and after the last; (0,) otherwise."""


def play(
    name: str, act: Act, episodes: int, seed: int, keep: bool = False, longest: int = MOST_EPISODE_STEPS
) -> list[Episode]:
    """Play episodes of a policy, each from its own seed, side by side.

    With ``keep`` their observations are kept, and one that lasts ``longest`` steps is cut there; without,
    it is an error, since its return is not known.
    """
    played: list[Episode] = []
    environments = [make(name) for _ in range(min(SIDE_BY_SIDE, episodes))]
    for start in range(0, episodes, len(environments)):
        numbers = range(start, min(start + len(environments), episodes))
        group = [(environments[i], _seed(EVALUATION_STREAM, seed, n)) for i, n in enumerate(numbers)]
        played += _group(name, act, group, keep, longest)
    for environment in environments:
        environment.close()
    return played


def _group(
    name: str, act: Act, group: list[tuple[Environment, int]], keep: bool, longest: int
) -> list[Episode]:
    seen = [[environment.reset(seed=seed)[0]] for environment, seed in group]
    rewards: list[list[float]] = [[] for _ in group]
    terminal = [False for _ in group]
    running = list(range(len(group)))
    for _ in range(longest):
        now = _stacked([seen[i][-1] for i in running], group[0][0])
        chosen, ended = act(now), []
        for i, action in zip(running, chosen, strict=True):
            after, reward, terminated, truncated, _ = group[i][0].step(
                action if action.ndim else action.item()
            )
            rewards[i].append(float(reward))
            if not keep:
                seen[i].clear()
            seen[i].append(after)
            if terminated or truncated:
                terminal[i] = bool(terminated)
                ended.append(i)
        running = [i for i in running if i not in ended]
        if not running:
            break
    if running and not keep:
        raise SubjectError(name, f"an episode of more than {longest} steps", "a time limit")
    return [
        Episode(np.array(r), end, _stacked(s, environment) if keep else np.zeros(0))
        for r, end, s, (environment, _) in zip(rewards, terminal, seen, group, strict=True)
    ]
