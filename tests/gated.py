"""Subjects for tests of the gate: embeddings, returns, or a small system with losses and known states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from diag.checks.result import Finding, Gate
from diag.checks.settings import Checks
from diag.sources.arrays import from_array
from diag.subject import Pairs, Parameters, Sampled, Subject, Task


def said(gate: Gate, name: str, transfer: int = 0) -> Finding:
    """The finding of this name on one of the transfers."""
    [found] = [f for f in gate.checked[transfer].findings if f.name == name]
    return found


def states(rows: int = 100, seed: int = 0) -> NDArray[np.float64]:
    """(rows, 3) a base's embedding, whose axes differ in spread."""
    return np.random.default_rng(seed).normal(size=(rows, 3)) * [1.0, 0.7, 0.4]


def near(y: NDArray[np.float64], noise: float = 0.05, seed: int = 1) -> NDArray[np.float64]:
    """The same with noise."""
    return y + noise * np.random.default_rng(seed).normal(size=y.shape)


def embedded(array: NDArray[Any], name: str, returns: Sequence[float] | None = None) -> Subject:
    """Ready embeddings, and maybe returns."""
    subject = from_array(array, name)
    return subject if returns is None else replace(subject, returns=np.array(returns, np.float64))


def played(returns: Sequence[float] | NDArray[Any], name: str = "transfer.npz") -> Subject:
    """Returns alone."""
    return Subject(name, f"{name} of {len(returns)}", returns=np.asarray(returns, np.float64))


@dataclass
class Small:
    """A system whose embedding and losses are what the test says: encoder, objective and tasks in one."""

    found: NDArray[np.float64]
    """(n, d) the embedding of each of n states."""
    of_terms: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """{term: (n,)} the loss of each state."""
    terms: Mapping[str, float] = field(default_factory=dict)
    known: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    name: str = "small"

    def embed(self, parameters: Parameters, observations: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.found)[observations]

    def losses(self, parameters: Parameters, batch: Any) -> dict[str, torch.Tensor]:
        return {t: torch.from_numpy(v)[batch] for t, v in self.of_terms.items()}

    def paired_observations(self, n: int | None, seed: int) -> Pairs:
        rows = torch.arange(len(self.found))
        return Pairs({"source": rows, "target": rows}, rows.numpy())

    def batch(self, task: Task, n: int, seed: int) -> Sampled:
        """Every state as often as the others."""
        rows = np.arange(n) % len(self.found)
        return Sampled(torch.from_numpy(rows), rows)

    def variables(self) -> Mapping[str, NDArray[Any]]:
        return self.known

    def subject(self, name: str, task: Task, **more: Any) -> Subject:
        offers: dict[str, Any] = {"parameters": {}, "encoder": self, "tasks": self, "objective": self}
        if not self.of_terms:
            del offers["objective"]
        return Subject(name, f"{name} {task}", task=task, **(offers | more))


def small(
    found: NDArray[np.float64],
    losses: Mapping[str, Any] | None = None,
    known: Mapping[str, Any] | None = None,
) -> Small:
    """A :class:`Small` with terms of weight 1; a loss is a number, or one for each state."""
    each = {
        t: np.broadcast_to(np.asarray(v, np.float64), len(found)).copy() for t, v in (losses or {}).items()
    }
    return Small(found, each, dict.fromkeys(each, 1.0), known or {})


CHECKS = tuple(Checks.model_fields)

EPISODES = np.array([9.0, 10.0, 11.0] * 30)


def only(*names: str, **more: Any) -> dict[str, Any]:
    """Settings in which just these checks look."""
    off = {f"check.{name}.level": "off" for name in CHECKS if name not in names}
    return off | {name.replace("__", "."): value for name, value in more.items()}


def of(gate: Gate) -> dict[str, str]:
    """{check: its outcome} of the first transfer."""
    return {f.name: f.outcome for f in gate.checked[0].findings}


EQUALS = played(EPISODES, "base.npz"), played(EPISODES, "t.npz")
"""Two agents that are as good, of which nothing but returns is known."""

Returns = NDArray[np.float64]


def scaled(mean: float, spread: float, n: int) -> Returns:
    """n returns of exactly this mean and standard deviation."""
    steps = np.linspace(-1, 1, n)
    return mean + spread * steps / steps.std(ddof=1)
