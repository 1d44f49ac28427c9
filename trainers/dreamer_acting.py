"""Dreamer among environments: a policy that remembers, and the rows that its steps leave in a replay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers.dense import Parameters
from trainers.envs.acting import Actions, Continuous, Envs, Saved, WorldError
from trainers.replay import Replay, Rows

if TYPE_CHECKING:
    from trainers.dreamer import Dreamer


class Player:
    """The latent states of n environments that are acted in, and the actions that were taken last."""

    def __init__(self, dreamer: Dreamer, n: int, device: str = "cpu") -> None:
        self.dreamer, self.device = dreamer, device
        self.state = dreamer.rssm.start(n, device)
        self.action: Actions = dreamer.world.actions.none(n)
        self.first = np.ones(n, np.bool_)
        """Whether an episode begins with the observation that comes next."""

    @torch.no_grad()
    def act(
        self,
        parameters: Parameters,
        observations: NDArray[Any],
        rng: np.random.Generator,
        explore: float = 0.0,
    ) -> Actions:
        """Actions of n environments drawn from the policy, after observations (n, c, h, w).

        Continuous ones have normal noise of deviation ``explore`` added.
        """
        dreamer, n = self.dreamer, len(self.first)
        noise = dreamer.rssm.latents.noise(rng, 1, n, device=self.device)
        shaken = dreamer.actor.noise(rng, n).to(self.device)
        embeddings = dreamer.embed(parameters, torch.from_numpy(observations).to(self.device))
        before = dreamer.actor.read(torch.from_numpy(self.action).to(self.device))
        first = torch.from_numpy(self.first).to(self.device)
        seen = dreamer.rssm.observe(
            parameters, embeddings[None], before[None], first[None], noise, self.state
        )
        self.state = type(seen.state)(seen.state.deter[0], seen.state.stoch[0])
        outputs = dreamer.head(parameters, "actor", self.state.features)
        action = dreamer.actor.drawn(outputs, shaken)
        aside = explore * dreamer.actor.noise(rng, n).to(self.device) if explore else None
        self.action = dreamer.actor.taken(action, aside)
        return self.action

    def arrays(self) -> dict[str, Tensor]:
        """Copies of all that it goes on from."""
        arrays = {
            "action": torch.from_numpy(self.action.copy()),
            "first": torch.from_numpy(self.first.copy()),
        }
        return {"deter": self.state.deter.cpu().clone(), "stoch": self.state.stoch.cpu().clone(), **arrays}

    def restore(self, arrays: Mapping[str, Tensor]) -> None:
        """Take up :meth:`arrays`; raises ValueError for those of another."""
        for name, own in self.arrays().items():
            if name not in arrays or arrays[name].shape != own.shape or arrays[name].dtype != own.dtype:
                raise ValueError(f"found no {name} of shape {tuple(own.shape)}")
        state = type(self.state)
        self.state = state(arrays["deter"].to(self.device), arrays["stoch"].to(self.device))
        self.action, self.first = arrays["action"].numpy().copy(), arrays["first"].numpy().copy()


class Experience:
    """Environments of one task side by side, the player in them, and the replay of what it met."""

    def __init__(self, dreamer: Dreamer, task: str, *seed: int, device: str = "cpu") -> None:
        acting, looks = dreamer.settings.acting, dreamer.looks(task)
        self.n = acting.environments
        share = [len(range(number, self.n, len(looks))) for number in range(len(looks))]
        self.envs: list[Envs] = [
            dreamer.world.envs(look, some, *seed, number)
            for number, (look, some) in enumerate(zip(looks, share, strict=True))
            if some
        ]
        self.bounds = np.cumsum([0, *(some for some in share if some)])
        self.player = Player(dreamer, self.n, device)
        world = dreamer.world
        self._exact = world.exact
        self.replay = Replay(
            self.n,
            acting.capacity // self.n,
            world.observation_shape,
            self.envs[0].observations.dtype,
            world.actions.n if isinstance(world.actions, Continuous) else None,
        )
        self.total = np.zeros(self.n)
        """Rewards of each environment's episode so far."""
        self.finished: list[float] = []
        """Returns of the episodes that ended since they were last asked for."""
        self._begin(np.arange(self.n))

    @property
    def observations(self) -> NDArray[Any]:
        return np.concatenate([envs.observations for envs in self.envs])

    def step(self, actions: Actions) -> None:
        """Take an action in each, and remember what came of it."""
        parts = [
            envs.step(actions[low:high])
            for envs, low, high in zip(self.envs, self.bounds, self.bounds[1:], strict=False)
        ]
        rewards, terminated, truncated = (np.concatenate(column) for column in zip(*parts, strict=True))
        ended = terminated | truncated
        shown = self.observations
        if ended.any():
            last = [
                e.last_observations() for e, step in zip(self.envs, parts, strict=True) if step.ended.any()
            ]
            shown = shown.copy()
            shown[ended] = np.concatenate(last)
        no = np.zeros(self.n, np.bool_)
        self.replay.add(np.arange(self.n), Rows(shown, actions, rewards, terminated, no))
        self.total += rewards
        if ended.any():
            self.finished += self.total[ended].tolist()
            self._begin(np.flatnonzero(ended))
        self.player.action, self.player.first = np.asarray(actions, self.player.action.dtype), ended

    def _begin(self, places: NDArray[np.int64]) -> None:
        """Remember the first observations of new episodes."""
        k = len(places)
        self.total[places] = 0
        none, no = self.player.dreamer.world.actions.none(k), np.zeros(k, np.bool_)
        rows = Rows(self.observations[places], none, np.zeros(k, np.float32), no, ~no)
        self.replay.add(places, rows)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Copies of all that it goes on from: tensors by name, and values that JSON holds.

        The environments' states are not among them in a world that cannot be saved.
        """
        saved = [envs.state() for envs in self.envs] if self._exact else []
        tensors = {f"replay/{name}": rows for name, rows in self.replay.state().items()}
        tensors |= {f"player/{name}": rows for name, rows in self.player.arrays().items()}
        for number, one in enumerate(saved):
            for name, array in one.arrays.items():
                tensors[f"envs{number}/{name}"] = torch.from_numpy(np.ascontiguousarray(array).copy())
        values = {
            "envs": [dict(one.values) for one in saved],
            "total": self.total.tolist(),
            "finished": list(self.finished),
        }
        return tensors, values

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Take up :meth:`state`; raises ValueError, TypeError or LookupError for any other."""

        def part(prefix: str) -> dict[str, Tensor]:
            return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

        self.replay.restore(part("replay/"))
        self.finished = [float(one) for one in values["finished"]]
        if not self._exact:  # the environments have begun anew, and so does what is remembered of them
            self._begin(np.arange(self.n))
            return
        self.player.restore(part("player/"))
        for number, (envs, own) in enumerate(zip(self.envs, values["envs"], strict=True)):
            arrays = {name: tensor.numpy().copy() for name, tensor in part(f"envs{number}/").items()}
            envs.restore(Saved(arrays, dict(own)))
        total = np.array(values["total"], np.float64)
        if total.shape != (self.n,):
            raise ValueError("found returns of another number of environments")
        self.total = total


STATE_FAULTS = (ValueError, TypeError, LookupError, ArithmeticError, WorldError)
"""What goes wrong when a state is taken up that is of another training."""
