"""A system and its training: the two protocols that let an algorithm in, and systems by name.

A :class:`System` is an algorithm with its settings and no parameters; a :class:`Training` is some seeds of
one, on their way. Runs, processes, checkpoints and resuming know nothing else of an algorithm. To add one:
write a class with what :class:`System` asks for, and make it known (:mod:`trainers.registry`). The smallest
is ``tests/ring.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from trainers import registry
from trainers.plan import TransferPlan
from trainers.settings import Settings, SettingsError

Parameters = Mapping[str, Tensor]
"""Named parameters of one seed, ``component/parameter``."""


class StateError(ValueError):
    """A state that a training cannot go on from: what was ``found`` and what was ``expected``."""

    def __init__(self, found: str, expected: str) -> None:
        self.found, self.expected = found, expected
        super().__init__(f"found {found}; expected {expected}")


@dataclass(frozen=True)
class State:
    """Everything beside parameters that one seed's training needs to go on as if it had not stopped."""

    step: int
    """Updates done."""
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    """Optimisers' memories, target networks, replay, sums of losses, … by names of the training's own."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Plain values that JSON holds: generators' and environments' states, counters."""


class Training(Protocol):
    """Some seeds of one system in training; whether they are stacked, or interact, is its own affair.

    A seed's numbers depend on its own seed alone: not on which others are trained beside it.
    """

    step: int
    """Updates done, the same for every seed."""

    def update(self) -> None:
        """Do one update of every seed."""

    def member(self, index: int) -> dict[str, Tensor]:
        """Copy of one seed's parameters on the CPU."""

    def state(self, index: int) -> State:
        """Copy of one seed's state on the CPU."""

    def restore(self, states: Sequence[State]) -> None:
        """Go on from these states, one a seed, all of one step; raises :class:`StateError`."""

    def take_losses(self) -> Mapping[str, NDArray[np.float32]]:
        """Mean losses {term: (seeds,)} since the last call; terms that were never active are left out."""

    def evaluate(self) -> Mapping[str, NDArray[np.float32]]:
        """Mean returns now, {mode: (seeds,)}; empty for a system that does not act."""


@runtime_checkable
class Sourced(Protocol):
    """A training whose checkpoints say more among their metrics, such as what files it learns from."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Plain values by name, such as JSON holds."""


@runtime_checkable
class Provided(Protocol):
    """A system with files that training needs and takes long to make; raises OSError or ValueError."""

    def provide(self, plan: TransferPlan | None) -> None:
        """Make the files of a base's training without a plan, else of a transfer's, unless they are there.

        It is called before a run begins, where a signal still ends the process at once.
        """


@runtime_checkable
class Sketched(Protocol):
    """A system whose speed can be tried without the files that its training needs."""

    def sketch(self, folder: str) -> System:
        """The same system with small files of its own in a folder: an update takes as long."""

    def missing(self, plan: TransferPlan | None) -> tuple[str, float] | None:
        """The file that a phase would have to make, and about how many seconds it takes; None for none.

        Takes a second or so itself, for the time of a small part.
        """


@runtime_checkable
class NamedInputs(Protocol):
    """A system that knows inputs of its parameters by name, which a plan's rules may be restricted to."""

    def columns(self) -> Mapping[str, Mapping[str, tuple[int, int]]]:
        """{parameter: {inputs: columns [from, to)}}."""
        ...


@dataclass(frozen=True)
class Misfit:
    """What of a base does not fit the run that is to start from it, and what to do."""

    found: str
    expected: str


@runtime_checkable
class Fitting(Protocol):
    """A system that says in words of its settings why a base does not fit."""

    def misfit(self, base: Settings) -> Misfit | None:
        """The first thing of a base's settings that does not fit this system's; None where all does."""
        ...


class System(Protocol):
    """One algorithm with its settings; holds no parameters.

    ``settings_type`` and ``presets`` belong to the class: the settings' type, and named trees of settings
    over its defaults (those of the systems that ship lie in ``trainers/recipes``).
    """

    name: ClassVar[str]
    settings_type: ClassVar[type[Settings]]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]]

    @classmethod
    def of(cls, settings: Settings) -> System:
        """The system with these settings, of ``settings_type`` or its kinds; raises ValueError in words.

        It may be of another class, which the same name stands for: for another kind of world.
        """

    @property
    def settings(self) -> Settings:
        """The settings that it was made with."""

    @property
    def terms(self) -> tuple[str, ...]:
        """The loss terms, which a plan may switch off for part of the run."""

    @property
    def embedding(self) -> int:
        """Numbers in one embedding."""

    @property
    def readers(self) -> tuple[str, ...]:
        """The components that read the embedding."""

    @property
    def ensembles(self) -> tuple[str, ...]:
        """The components that take outputs of frozen source copies as inputs (``ensemble`` in a plan)."""

    def shapes(self, plan: TransferPlan | None = None, bases: int = 1) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter, ``component/parameter``: what a plan's rules may name.

        A transfer's differ from a base's only where the plan makes an ensemble of some of so many ``bases``:
        its component has inputs for them. The frozen copies themselves are the plan's affair
        (:meth:`trainers.plan.TransferPlan.copies`).
        """

    def fresh(self, *seed: int, plan: TransferPlan | None = None, bases: int = 1) -> dict[str, Tensor]:
        """A fresh initialisation of these shapes, from a seed and its phase (:mod:`trainers.streams`)."""

    def training(
        self,
        plan: TransferPlan | None,
        members: Sequence[Parameters],
        seeds: Sequence[int],
        device: str = "cpu",
    ) -> Training:
        """A training of these seeds from these parameters: of bases without a plan, else of transfers."""

    def evaluate(self, parameters: Parameters, task: str, seed: int) -> Mapping[str, float]:
        """Mean returns on a task by mode (``greedy``, ``sampled``); empty for a system that does not act."""


@dataclass(frozen=True)
class Standard:
    """A mean return to hold an agent's score against, and whose it is, in words."""

    score: float
    whose: str
    """``an agent that …``."""
    random: bool = False
    """Whether it is the mean return of an agent that acts at random."""


@dataclass(frozen=True)
class Share:
    """A share from 0 to 1 that a mean return of a world stands for: offset + scale · return.

    A world has one if 0 of it means that nothing was achieved: ratios of shares then mean something where
    those of returns, which may be negative, do not.
    """

    name: str
    """``share of balls caught``."""
    offset: float
    scale: float

    def of(self, score: float) -> float:
        """The share that a mean return stands for."""
        return self.offset + self.scale * score


@runtime_checkable
class Standards(Protocol):
    """A system whose world says what an agent earns that has not learned its task."""

    def standards(self) -> tuple[Standard, ...]:
        """The score of an agent that achieves nothing, which success is judged by; then others, for scale."""
        ...


@runtime_checkable
class Looks(Protocol):
    """A system whose source and target task are two looks of one world."""

    def variant(self, task: str) -> str:
        """Name of the look of a task, ``source`` or ``target``."""
        ...


@runtime_checkable
class Counting(Protocol):
    """A system whose world says for which share a mean return stands, if for any."""

    def share(self) -> Share | None: ...


def system_class(name: str) -> type[System]:
    """The class of the system of that name; raises :class:`trainers.settings.SettingsError`."""
    if name not in registry.known():
        raise SettingsError(f"unknown system {name!r}; known: {', '.join(registry.known())}")
    found: type[System] = registry.load(name)
    return found


def system_of(settings: Settings) -> System:
    """The system that settings belong to; raises ValueError, such as for an unknown world."""
    return system_class(settings.system).of(settings)
