"""Training of IMPALA: environments that one seed acts in, and the learner (:mod:`trainers.impala`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers.adam import Adam
from trainers.descent import Descent
from trainers.envs.acting import Saved
from trainers.impala import IMPALA, TERMS, Rollout, Stand
from trainers.impala_settings import ImpalaPhase
from trainers.lstm import Memory
from trainers.plan import BASE_PLAN, TransferPlan
from trainers.residual import without_stack
from trainers.rmsprop import RMSprop
from trainers.stack import Gradients, Parameters, Stack, gradients
from trainers.streams import ACTION_STREAM, WORLD_STREAM, generator, stream_of
from trainers.system import State


class ImpalaTrainer(Descent):
    """One phase of training of one seed: its environments, and the learner."""

    def __init__(
        self, agent: IMPALA, plan: TransferPlan | None, member: Parameters, seed: int, device: str = "cpu"
    ) -> None:
        settings, stream = agent.settings, stream_of(base=plan is None)
        optimiser, task = settings.optimiser, "source" if plan is None else "target"
        rmsprop = RMSprop(optimiser.decay, optimiser.epsilon, optimiser.clip)
        actions = [generator(ACTION_STREAM, seed, stream)]
        super().__init__(agent, task, plan or BASE_PLAN, [member], rmsprop, device, actions)
        self.agent = agent
        self.phase: ImpalaPhase = settings.train if plan is None else settings.transfer
        self.adam = Adam(optimiser.epsilon, optimiser.clip)
        number = settings.acting.environments
        self.envs = agent.world.envs(agent.variant(task), number, WORLD_STREAM, seed, stream)
        self.stand = agent.beginning(number, device)
        self.so_far, self.ended = np.zeros(number), (0.0, 0)
        """Return so far of each environment's episode; sum and number of the returns of those that ended."""
        self.kept = {"hidden": self.stand.memory.hidden[None], "cell": self.stand.memory.cell[None]}
        self.acting: Stack | None = None
        """The weights that act, where they lag behind those that are trained."""
        if settings.acting.renewed_every > 1:
            self.acting = Stack([member], device)
            self.kept |= {f"acting/{component}": b for component, b in self.acting.buffers.items()}

        if agent.world.exact:
            saved = self.envs.state().arrays
            self.kept |= {f"world/{name}": torch.from_numpy(array)[None] for name, array in saved.items()}

    def state(self, index: int) -> State:
        """What going on needs, the environments' state included where the world can save it."""
        self._saved: Mapping[str, Any] = {}
        if self.agent.world.exact:
            saved = self.envs.state()
            self._saved = saved.values
            for name, array in saved.arrays.items():
                self.kept[f"world/{name}"].copy_(torch.from_numpy(array)[None])
        return super().state(index)

    def values(self, index: int) -> dict[str, Any]:
        """Where the environments stand, and the returns of episodes that go on or have ended."""
        return {
            "world": dict(self._saved),
            "begins": self.stand.begins.tolist(),
            "action": self.stand.action.tolist(),
            "reward": self.stand.reward.tolist(),
            "so_far": self.so_far.tolist(),
            "ended": list(self.ended),
        }

    def go_on(self, index: int, values: Mapping[str, Any]) -> None:
        """Take up where the environments stood; they begin anew in a world that cannot be saved."""
        number = len(self.so_far)
        total, count = values["ended"]
        self.ended = float(total), int(count)
        if not self.agent.world.exact:
            return
        arrays = {
            n.partition("/")[2]: k[0].cpu().numpy() for n, k in self.kept.items() if n.startswith("world/")
        }
        self.envs.restore(Saved(arrays, values["world"]))
        begins, action, reward, so_far = (
            np.array(values[name], kind)
            for name, kind in (
                ("begins", bool),
                ("action", np.int64),
                ("reward", np.float32),
                ("so_far", float),
            )
        )
        if not all(a.shape == (number,) for a in (begins, action, reward, so_far)):
            raise ValueError(f"found values of another number of environments than {number}")
        self.so_far = so_far
        memory = Memory(self.kept["hidden"][0].clone(), self.kept["cell"][0].clone())
        self.stand = Stand(memory, begins, action, reward)

    def update(self) -> None:
        """Act for one unroll, and descend the losses of its steps."""
        agent, steps = self.agent, self.agent.settings.acting.unroll
        terms = self.plan.active_terms(TERMS, self.step, self.phase.updates)
        weights, learns = without_stack(self.stack.views), bool(self.components and terms)
        if self.acting is None:
            with torch.set_grad_enabled(learns):
                rollout, stand, outputs = agent.rollout(weights, self.envs, self.stand, self._rng, steps)
        else:
            if self.step % agent.settings.acting.renewed_every == 0:
                for component, buffer in self.acting.buffers.items():
                    buffer.copy_(self.stack.buffers[component])
            with torch.no_grad():
                acting = without_stack(self.acting.views)
                rollout, stand, _ = agent.rollout(acting, self.envs, self.stand, self._rng, steps)
            with torch.set_grad_enabled(learns):
                outputs = agent.outputs(weights, agent.embed(weights, rollout.pictures), rollout)
        self.take_up(stand)
        self.count(rollout)
        losses = agent.losses_of(*outputs, rollout)
        self.remember({term: losses[term].detach().mean()[None] for term in terms})
        if learns:
            weighted = (agent.weights[term] * losses[term].sum() for term in terms)
            self.step_down(torch.stack(list(weighted)).sum())
        self.step += 1

    def step_down(self, total: Tensor) -> None:
        """One step of the optimiser down a loss."""
        slopes: Gradients = self.slopes_of()
        gradients(total, self.stack, self.components, slopes)
        own = {component: slopes.buffers[component] for component in self.components}
        if self.agent.settings.optimiser.method == "adam":
            self.adam.step(self.stack, own, self.squares, self.phase.learning_rate, self.step + 1)
        else:
            self.rmsprop.step(
                self.stack, own, self.squares.setdefault("summed", {}), self.phase.learning_rate
            )

    @property
    def _rng(self) -> np.random.Generator:
        return self.generators[0]

    def take_up(self, stand: Stand) -> None:
        """Go on from here, in memory of one's own."""
        self.kept["hidden"].copy_(stand.memory.hidden[None])
        self.kept["cell"].copy_(stand.memory.cell[None])
        # A copy for the learner: a rollout keeps the memory that it began with.
        memory = Memory(self.kept["hidden"][0].clone(), self.kept["cell"][0].clone())
        self.stand = stand._replace(memory=memory)

    def count(self, rollout: Rollout) -> None:
        """Add the returns of the episodes that ended to those since they were last asked for."""
        total, number = self.ended
        steps = zip(rollout.rewards.cpu().numpy(), rollout.begins[1:].cpu().numpy(), strict=True)
        for reward, over in steps:
            self.so_far += reward
            if over.any():
                total, number = total + float(self.so_far[over].sum()), number + int(over.sum())
                self.so_far[over] = 0
        self.ended = total, number

    def evaluate(self) -> dict[str, NDArray[np.float32]]:
        """Mean return of the training episodes that ended since the last call; empty where none did."""
        (total, number), self.ended = self.ended, (0.0, 0)
        return {"training": np.array([total / number], np.float32)} if number else {}
