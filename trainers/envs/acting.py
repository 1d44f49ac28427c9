"""Worlds that systems act in: many environments side by side, and what each look shows of one hidden state.

A :class:`World` makes environments of any of its looks (``variants``): the source and the target task of a
transfer are two of them, and settings name which. :class:`Envs` are n environments that step together. A
:class:`PairedWorld` can also show the same hidden states in every look, which diagnoses compare
embeddings on. Worlds know no algorithm, and returns of episodes are counted by whoever plays.

**An episode that ends begins anew in the same step.** What ``step`` returns belongs to the action that was
taken; ``observations`` are then, for the environments that ended, the first of their new episodes. What the
ended episodes showed last is to be had from ``last_observations``, until the next step.

>>> world = acting_world("catch-small")
>>> envs = world.envs("default", 64, 7)
>>> envs.observations.shape, envs.observations.dtype
((64, 3, 24, 24), dtype('uint8'))
>>> step = envs.step(np.zeros(64, np.int64))
>>> step.rewards.shape, bool(step.ended.any())
((64,), False)
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import pydantic
from numpy.typing import NDArray

from trainers.streams import DATA_STREAM, generator
from trainers.system import Share

__all__ = [
    "Actions",
    "Continuous",
    "CountingWorld",
    "Discrete",
    "Envs",
    "PairedEnvs",
    "PairedWorld",
    "Saved",
    "States",
    "Step",
    "Walk",
    "World",
    "WorldError",
    "acting_world",
    "acting_world_names",
    "configured",
    "walk",
    "world_settings",
]

States = Mapping[str, NDArray[Any]]
"""n hidden states: arrays by name, each (n, …)."""

SIDE_BY_SIDE = 64
"""Environments that a random walk is taken in at a time; a part of its numbers, not only of its speed."""


NAMING = ("name", "game")
"""Fields of a world that say which one it is, and are no settings."""


class WorldError(ValueError):
    """A world, look, size, action or saved state that cannot be; the message says found and expected."""


@dataclass(frozen=True)
class Discrete:
    """Actions that are the numbers 0 to n − 1, with a name each."""

    names: tuple[str, ...]

    @property
    def n(self) -> int:
        return len(self.names)

    def sample(self, rng: np.random.Generator, *size: int) -> NDArray[np.int64]:
        """Actions (*size,), each as likely as any other."""
        return rng.integers(self.n, size=size)

    def none(self, *size: int) -> NDArray[np.int64]:
        """What stands in place of an action (*size,) where none was taken."""
        return np.zeros(size, np.int64)


@dataclass(frozen=True)
class Continuous:
    """Actions that are n numbers from −1 to 1, with a name each: such as shares of the most force."""

    names: tuple[str, ...]

    @property
    def n(self) -> int:
        return len(self.names)

    def sample(self, rng: np.random.Generator, *size: int) -> NDArray[np.float32]:
        """Actions (*size, n), uniform from −1 to 1."""
        return rng.random((*size, self.n), np.float32) * 2 - 1

    def none(self, *size: int) -> NDArray[np.float32]:
        """What stands in place of an action (*size, n) where none was taken."""
        return np.zeros((*size, self.n), np.float32)


ActionSpace = Discrete | Continuous

Actions = NDArray[Any]
"""Actions of n environments: numbers (n,) of discrete ones, (n, A) of A continuous ones."""


class Step(NamedTuple):
    """What one step of n environments brought; every array is (n,) and the caller's to keep."""

    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    """Whether the episode came to an end: nothing follows that a value could be bootstrapped from."""
    truncated: NDArray[np.bool_]
    """Whether the episode was cut short by a time limit, and did not come to an end."""

    @property
    def ended(self) -> NDArray[np.bool_]:
        """Whether a new episode has begun."""
        return self.terminated | self.truncated


@dataclass(frozen=True)
class Saved:
    """All that environments need to go on bit for bit, beside what they were made with."""

    arrays: Mapping[str, NDArray[Any]]
    values: Mapping[str, Any] = field(default_factory=dict)
    """Plain values that JSON holds: counters, states of generators."""


class Envs(Protocol):
    """n environments of one look, stepped together; whichever ends begins anew in the same step."""

    @property
    def observations(self) -> NDArray[Any]:
        """Pictures (n, c, h, w) of bytes, or float32 numbers of that shape where a world shows its state.

        A new array after each step: it is the caller's to keep.
        """

    def step(self, actions: Actions) -> Step:
        """Take one action in each; raises :class:`WorldError` for actions that do not exist."""

    def last_observations(self) -> NDArray[Any]:
        """What the k episodes that ended in the last step showed at their end, (k, c, h, w), in order.

        Values are bootstrapped from these where an episode was truncated.
        """

    def state(self) -> Saved:
        """A copy of all that :meth:`restore` needs; raises :class:`WorldError` unless ``world.exact``."""

    def restore(self, saved: Saved) -> None:
        """Go on from there bit for bit; raises :class:`WorldError` for a state of other environments."""

    def close(self) -> None:
        """Give back what the environments hold; harmless when repeated."""


class World(Protocol):
    """One world in several looks."""

    @property
    def name(self) -> str: ...

    @property
    def observation_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an observation, the same in every look."""

    @property
    def actions(self) -> ActionSpace: ...

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the looks; the first is the one that others are measured from."""

    @property
    def max_steps(self) -> int:
        """Most steps of an episode."""

    @property
    def exact(self) -> bool:
        """Whether environments can be saved and restored bit for bit."""

    def envs(self, variant: str, n: int, *seed: int) -> Envs:
        """n fresh environments of a look at the start of their first episodes.

        What environment i meets follows from the seed, i and the actions alone, not from n. Raises
        :class:`WorldError` for an unknown look or an n below 1.
        """


@runtime_checkable
class PairedEnvs(Envs, Protocol):
    """Environments whose hidden states can be had."""

    def hidden(self) -> States:
        """A copy of the hidden states that ``observations`` show."""


@runtime_checkable
class PairedWorld(World, Protocol):
    """A world that shows the same hidden states in every look."""

    def envs(self, variant: str, n: int, *seed: int) -> PairedEnvs: ...

    def render(self, states: States, variant: str) -> NDArray[Any]:
        """Observations (n, c, h, w) of hidden states in a look."""

    def sample_states(self, n: int, *seed: int, apart: int = 1) -> Walk:
        """n steps of a random policy (:func:`walk`), with the episode of each."""

    def variables(self, states: States) -> dict[str, NDArray[np.float64]]:
        """Known facts of hidden states, {name: (n,)}, for probes and colours; never NaN."""

    def pictures(self, states: States, variant: str, scale: int = 8) -> NDArray[np.uint8]:
        """Enlarged pictures for people, (n, h · scale, w · scale, 3)."""


@runtime_checkable
class CountingWorld(Protocol):
    """A world whose undiscounted return of an episode stands for a share of what there is to achieve."""

    @property
    def share(self) -> Share: ...


@dataclass(frozen=True)
class Walk:
    """n steps of a policy, place after place, in the order of time within a place; arrays are (n, …)."""

    states: States
    """The hidden states that the actions were taken in; ``observation`` alone in a world that has none."""
    episode: NDArray[np.int64]
    """Numbers of episodes, from 0 without a gap."""
    time: NDArray[np.int64]
    """Steps that the episode had before."""
    action: Actions
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.episode)


def walk(world: World, variant: str, n: int, *seed: int, apart: int = 1, places: int = SIDE_BY_SIDE) -> Walk:
    """n steps of a random policy in a look, from so many ``places`` (fewer, if n is less).

    With ``apart`` of 2 or more one step in so many is kept, drawn at random: states then come from more
    episodes, and histories have gaps. In a world whose hidden states cannot be had, what is kept of a state
    is its observation. Raises :class:`WorldError` for an n, ``apart`` or ``places`` below 1.
    """
    if min(n, apart, places) < 1:
        found = f"n={n}, apart={apart} and places={places}"
        raise WorldError(f"random walk: found {found}, expected 1 or more of each")
    places = min(places, n)
    rounds = -(-n // places)
    rng = generator(DATA_STREAM, *seed)
    envs = world.envs(variant, places, *seed)
    kept = rng.integers(apart, size=(rounds, places))
    actions = world.actions.sample(rng, rounds, apart, places)
    paired = envs if isinstance(envs, PairedEnvs) else None

    def standing() -> States:
        return {"observation": envs.observations} if paired is None else paired.hidden()

    states = {k: np.empty((rounds, places, *v.shape[1:]), v.dtype) for k, v in standing().items()}
    number, time = np.zeros(places, np.int64), np.zeros(places, np.int64)
    numbers, times = (np.empty((rounds, places), np.int64) for _ in range(2))
    action = np.empty((rounds, *actions.shape[2:]), actions.dtype)
    reward, terminated = np.empty((rounds, places), np.float32), np.empty((rounds, places), np.bool_)
    for now in range(rounds):
        for within in range(apart):
            here = kept[now] == within
            hidden = standing()
            step = envs.step(actions[now, within])
            for name, rows in states.items():
                rows[now, here] = hidden[name][here]
            numbers[now, here], times[now, here] = number[here], time[here]
            action[now, here], reward[now, here] = actions[now, within, here], step.rewards[here]
            terminated[now, here] = step.terminated[here]
            number += step.ended
            time = np.where(step.ended, 0, time + 1)
    envs.close()

    def in_a_row(values: NDArray[Any]) -> NDArray[Any]:
        """Values (rounds, places, …) as one row (n, …), place after place."""
        return values.swapaxes(0, 1).reshape(rounds * places, *values.shape[2:])[:n]

    place = in_a_row(np.broadcast_to(np.arange(places), (rounds, places)))
    both = place * (number.max() + 1) + in_a_row(numbers)
    return Walk(
        states={name: in_a_row(rows) for name, rows in states.items()},
        episode=np.unique(both, return_inverse=True)[1].astype(np.int64),
        time=in_a_row(times),
        action=in_a_row(action),
        reward=in_a_row(reward),
        terminated=in_a_row(terminated),
    )


def checked_variant(world: World, variant: str) -> str:
    """The name of a look that the world has; raises :class:`WorldError` with the nearest match."""
    if variant not in world.variants:
        raise WorldError(_unknown(f"look of {world.name}", variant, world.variants))
    return variant


def checked_actions(actions: NDArray[np.integer], n: int, most: int) -> NDArray[np.integer]:
    """Actions (n,) from 0 to ``most`` − 1 as they are; raises :class:`WorldError`."""
    if actions.shape != (n,) or actions.dtype.kind not in "iu":
        found = f"shape {actions.shape} of {actions.dtype}"
        raise WorldError(f"actions: found {found}, expected ({n},) whole numbers")
    if actions.min() < 0 or actions.max() >= most:
        found = f"{actions.min()} to {actions.max()}"
        raise WorldError(f"actions: found {found}, expected 0 to {most - 1}")
    return actions


def checked_forces(actions: NDArray[Any], n: int, width: int) -> NDArray[np.float64]:
    """Continuous actions (n, width) from −1 to 1, as float64; raises :class:`WorldError`."""
    if actions.shape != (n, width) or actions.dtype.kind != "f":
        found = f"shape {actions.shape} of {actions.dtype}"
        raise WorldError(f"actions: found {found}, expected ({n}, {width}) numbers from -1 to 1")
    if not (np.abs(actions) <= 1).all():  # NaN is not, either
        found = f"{actions.min()} to {actions.max()}"
        raise WorldError(f"actions: found {found}, expected -1 to 1")
    return actions.astype(np.float64)


def checked_count(n: int) -> int:
    """A number of environments, 1 or more; raises :class:`WorldError`."""
    if n < 1:
        raise WorldError(f"environments: found {n}, expected 1 or more")
    return n


def checked_arrays(saved: Saved, wanted: Saved) -> None:
    """Raise :class:`WorldError` unless all that is wanted was saved, in the same shapes and kinds."""
    for name, array in wanted.arrays.items():
        found = saved.arrays.get(name)
        if found is None or found.shape != array.shape or found.dtype != array.dtype:
            size = "none" if found is None else f"{found.shape} of {found.dtype}"
            raise WorldError(
                f"state of environments: {name}: found {size}, expected {array.shape} of {array.dtype}"
            )
    if missing := sorted(set(wanted.values) - set(saved.values)):
        raise WorldError(f"state of environments: found no {missing[0]}, expected one")


def _control(name: str) -> World:
    from trainers.envs.control import CONTROLS

    return CONTROLS[name]()


def _catch(name: str) -> World:
    from trainers.envs.catch import CATCHES

    return CATCHES[name]


def _minatar(name: str) -> World:
    from trainers.envs.minatar import MinAtarWorld

    return MinAtarWorld(name.removeprefix("minatar-").replace("-", "_"))


def _atari(name: str) -> World:
    from trainers.envs.atari import AtariWorld

    return AtariWorld(name.removeprefix("atari-").replace("-", "_"))


_GAMES: dict[Callable[[str], World], tuple[str, ...]] = {
    _catch: ("catch", "catch-small"),
    _minatar: tuple(
        f"minatar-{game}" for game in ("asterix", "breakout", "freeway", "seaquest", "space-invaders")
    ),
    _control: tuple(
        f"{task}{seen}"
        for task in ("pendulum", "cart-pole", "double-pole", "driven-pole")
        for seen in ("", "-state")
    ),
    _atari: tuple(f"atari-{game}" for game in ("breakout", "freeway", "hero", "space-invaders")),
}
_WORLDS = {name: maker for maker, names in _GAMES.items() for name in names}


def acting_world_names() -> list[str]:
    """The names that :func:`acting_world` knows, whether or not what they need is installed."""
    return sorted(_WORLDS)


def acting_world(name: str, settings: Mapping[str, Any] | None = None) -> World:
    """The world of that name, with some of its settings changed (:func:`configured`).

    Raises :class:`WorldError` with the nearest match, or with the package that the world needs.
    """
    if name not in _WORLDS:
        raise WorldError(_unknown("world", name, acting_world_names()))
    world = _WORLDS[name](name)
    return configured(world, settings) if settings else world


def world_settings(world: Any) -> dict[str, Any]:
    """All settings of a shipped world as a checkpoint's header may hold them: what JSON can say."""
    told: dict[str, Any] = json.loads(json.dumps(asdict(world)))
    return {name: value for name, value in told.items() if name not in NAMING}


def configured(world: Any, settings: Mapping[str, Any]) -> World:
    """A shipped world with some settings changed, by the names and kinds that its class gives them.

    A mapping is merged into the one that it changes, level by level. Raises :class:`WorldError`.

    >>> small = acting_world("catch-small", {"colour": False, "looks": {"large-ball": {"ball": 7}}})
    >>> small.observation_shape, small.looks["large-ball"].ball
    ((1, 24, 24), 7)
    """
    known = world_settings(world)
    if unknown := sorted(set(settings) - set(known)):
        raise WorldError(_unknown(f"setting of {world.name}", unknown[0], sorted(known)))
    named = {name: getattr(world, name) for name in NAMING if name in vars(world)}
    tree = named | _merged(known, settings)
    try:
        text = json.dumps(tree)
        made: World = pydantic.TypeAdapter(type(world)).validate_json(text, strict=True)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        said = first["msg"].removeprefix("Value error, ")
        raise WorldError(f"{world.name}: {where}: {said}" if where else f"{world.name}: {said}") from None
    return made


def _merged(known: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(known)
    for name, value in changes.items():
        inner = both.get(name)
        both[name] = (
            _merged(inner, value) if isinstance(inner, dict) and isinstance(value, Mapping) else value
        )
    return both


def _unknown(kind: str, name: str, known: Sequence[str]) -> str:
    nearest = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(known)}"
    return f"unknown {kind} {name!r}; {hint}"
