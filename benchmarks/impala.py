"""Frames a second on one core: our learner beside a plain IMPALA loop of torch modules.

    python benchmarks/impala.py [--preset catch-small] [--repeats 9] [--recurrent-ppo]

Both play the same environments (the preset's world and number), with the same net, batch and optimiser. The
plain loop is what one would write with torch alone, after the public single-machine code: modules, a policy
step without gradients for each frame, then one forward pass over the whole unroll with the LSTM stepped
between ends of episodes (``nn.LSTM``, one step a call), V-trace in a loop, ``clip_grad_norm_`` and
``torch.optim``. Before any timing it is checked that from the same weights, on the same recorded play, both
compute the same losses and the same gradients.

``--recurrent-ppo`` adds sb3-contrib's RecurrentPPO, if it is installed, with one epoch over each unroll, on
the same environments behind its own interface, a near net (the same convolutions and LSTM) and its own
losses.

Contenders take turns, round by round, after two updates of warming up; times are of the processor, of one
thread; speeds are medians over rounds, and a ratio is the median over rounds of ours ÷ theirs, with its
range.
"""

from __future__ import annotations

import os

if __name__ == "__main__":
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[_name] = "1"

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.envs.acting import Envs
from trainers.impala import IMPALA, Rollout
from trainers.impala_training import ImpalaTrainer
from trainers.settings import preset
from trainers.stack import Gradients, gradients
from trainers.streams import BASE_PHASE, WORLD_STREAM

UPDATES = 2
"""Updates of a round."""

TOLERANCE = 1e-2
"""Largest difference of a gradient, as a share of its largest number: sums are taken in another order, and
over an even background rounding decides which of several equal numbers a max-pool takes."""


class Residual(nn.Module):
    """x + conv(relu(conv(relu(x))))."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(filters, filters, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(functional.relu(self.first(functional.relu(x))))


class Net(nn.Module):
    """The agent's net, of torch's own modules."""

    def __init__(self, agent: IMPALA) -> None:
        super().__init__()
        model, (planes, height, width) = agent.settings.model, agent.world.observation_shape
        layers: list[nn.Module] = []
        if model.net == "residual":
            for filters in model.filters:
                layers += [nn.Conv2d(planes, filters, 3, padding=1), nn.MaxPool2d(3, 2, padding=1)]
                layers += [Residual(filters), Residual(filters)]
                planes = filters
            layers.append(nn.ReLU())
        else:
            for filters, kernel, stride in model.convs:
                layers += [nn.Conv2d(planes, filters, kernel, stride), nn.ReLU()]
                planes = filters
        layers.append(nn.Flatten())
        self.encoder = nn.Sequential(*layers)
        with torch.no_grad():
            size = self.encoder(torch.zeros(1, agent.world.observation_shape[0], height, width)).shape[1]
        self.embedding = nn.Linear(size, model.embedding)
        self.actions, self.feedback = agent.world.actions.n, model.feedback
        self.lstm = nn.LSTM(model.embedding + (self.actions + 1) * model.feedback, model.lstm)
        self.dense = nn.Linear(model.lstm, model.dense)
        self.policy, self.value = nn.Linear(model.dense, self.actions), nn.Linear(model.dense, 1)

    def load(self, parameters: dict[str, Tensor]) -> None:
        """Take up our agent's weights."""
        with torch.no_grad():
            for ours, theirs in self.pairs(parameters):
                theirs.copy_(parameters[ours])
            self.lstm.bias_hh_l0.zero_()

    def pairs(self, parameters: dict[str, Tensor]) -> list[tuple[str, nn.Parameter]]:
        """Our names, each with the module's parameter."""
        named: list[tuple[str, nn.Parameter]] = []
        convs = [m for m in self.encoder.modules() if isinstance(m, nn.Conv2d)]
        layers = dict.fromkeys(n.rpartition(".")[0] for n in parameters if n.startswith("encoder/"))
        order = [n for n in sorted(layers, key=_order) if n != "encoder/dense"]
        for name, module in [
            *zip(order, convs, strict=True),
            ("encoder/dense", self.embedding),
            ("core/dense", self.dense),
        ]:
            named += [(f"{name}.weight", module.weight), (f"{name}.bias", module.bias)]
        named += [("core/lstm.weight_input", self.lstm.weight_ih_l0)]
        named += [
            ("core/lstm.weight_hidden", self.lstm.weight_hh_l0),
            ("core/lstm.bias", self.lstm.bias_ih_l0),
        ]
        for name, head in (("policy", self.policy), ("value", self.value)):
            named += [(f"{name}/weight", head.weight), (f"{name}/bias", head.bias)]
        return named

    def forward(
        self, pictures: Tensor, action: Tensor, reward: Tensor, begins: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Logits (T, N, A), values (T, N) and the state after pictures (T, N, …) of 0 … 255."""
        steps, number = begins.shape
        x = functional.relu(self.embedding(self.encoder(pictures.flatten(0, 1).float() / 255))).view(
            steps, number, -1
        )
        goes_on = (~begins).float()
        if self.feedback:
            last = [functional.one_hot(action, self.actions).float(), reward.clamp(-1, 1).unsqueeze(-1)]
            x = torch.cat([x, torch.cat(last, -1) * goes_on.unsqueeze(-1)], -1)
        outputs = []
        for one, on in zip(x.unbind(), goes_on.unbind(), strict=True):
            state = (state[0] * on.view(1, -1, 1), state[1] * on.view(1, -1, 1))
            output, state = self.lstm(one.unsqueeze(0), state)
            outputs.append(output)
        thought = functional.relu(self.dense(torch.cat(outputs)))
        return self.policy(thought), self.value(thought).squeeze(-1), state


def _order(name: str) -> tuple[int, ...]:
    parts = name.removeprefix("encoder/").split(".")
    return tuple(-1 if part == "conv" else int(part) if part.isdigit() else 99 for part in parts)


def plain_losses(net: Net, rollout: Rollout, agent: IMPALA) -> Tensor:
    """The total loss of a rollout, with V-trace as the public code has it."""
    loss = agent.settings.loss
    state = (rollout.hidden[None], rollout.cell[None])
    action = torch.cat([rollout.last_action[None], rollout.actions])
    reward = torch.cat([rollout.last_reward[None], rollout.rewards])
    logits, values, _ = net(rollout.observations, action, reward, rollout.begins, state)
    logits, bootstrap, values = logits[:-1], values[-1].detach(), values[:-1]
    log_policy = functional.log_softmax(logits, -1)
    chosen = -functional.nll_loss(
        log_policy.flatten(0, 1), rollout.actions.flatten(), reduction="none"
    ).view_as(values)
    with torch.no_grad():
        rhos = torch.exp(chosen - rollout.behaviour)
        clipped = torch.clamp(rhos, max=1.0)
        discounts = loss.discount * (~rollout.begins[1:]).float()
        rewards = rollout.rewards.clamp(-1, 1)
        after = torch.cat([values[1:], bootstrap[None]])
        deltas = clipped * (rewards + discounts * after - values)
        beyond, all_beyond = torch.zeros_like(bootstrap), []
        for step in reversed(range(len(values))):
            beyond = deltas[step] + discounts[step] * clipped[step] * beyond
            all_beyond.append(beyond)
        targets = torch.stack(all_beyond[::-1]) + values
        advantages = clipped * (rewards + discounts * torch.cat([targets[1:], bootstrap[None]]) - values)
    entropy = torch.sum(functional.softmax(logits, -1) * log_policy)
    return (
        torch.sum(-chosen * advantages)
        + loss.value * 0.5 * torch.sum((targets - values) ** 2)
        + loss.entropy * entropy
    )


class Plain:
    """The plain loop: act for an unroll without gradients, then learn from it."""

    def __init__(self, agent: IMPALA, net: Net, envs: Envs) -> None:
        self.agent, self.net, self.envs, settings = agent, net, envs, agent.settings
        rate, optimiser = settings.train.learning_rate, settings.optimiser
        parameters = net.parameters()
        self.optimiser: torch.optim.Optimizer = (
            torch.optim.Adam(parameters, rate, eps=optimiser.epsilon)
            if optimiser.method == "adam"
            else torch.optim.RMSprop(parameters, rate, alpha=optimiser.decay, eps=optimiser.epsilon)
        )
        number = settings.acting.environments
        self.state = (
            torch.zeros(1, number, settings.model.lstm),
            torch.zeros(1, number, settings.model.lstm),
        )
        self.begins = torch.ones(number, dtype=torch.bool)
        self.action, self.reward = torch.zeros(number, dtype=torch.long), torch.zeros(number)

    def rollout(self) -> Rollout:
        """One unroll of play."""
        first = self.action, self.reward, self.state
        columns: dict[str, list[Tensor]] = {n: [] for n in ("picture", "begins", "action", "reward", "log")}
        for _ in range(self.agent.settings.acting.unroll):
            picture = torch.from_numpy(self.envs.observations)
            columns["picture"].append(picture)
            columns["begins"].append(self.begins)
            with torch.no_grad():
                logits, _, self.state = self.net(
                    picture[None], self.action[None], self.reward[None], self.begins[None], self.state
                )
                self.action = torch.multinomial(functional.softmax(logits[0], 1), 1).squeeze(1)
                columns["log"].append(
                    functional.log_softmax(logits[0], 1).gather(1, self.action[:, None]).squeeze(1)
                )
            step = self.envs.step(self.action.numpy())
            self.reward, self.begins = torch.from_numpy(step.rewards), torch.from_numpy(step.ended)
            columns["action"].append(self.action)
            columns["reward"].append(self.reward)
        columns["picture"].append(torch.from_numpy(self.envs.observations))
        columns["begins"].append(self.begins)
        stacked = (torch.stack(columns[name]) for name in ("picture", "begins", "action", "reward", "log"))
        memory = first[2][0][0], first[2][1][0]
        # As in the public code, a time limit is an end: it has none of its own.
        uncut = torch.zeros(len(columns["action"]), len(self.begins), dtype=torch.bool)
        return Rollout(*stacked, first[0], first[1], *memory, uncut, columns["picture"][0][:0])

    def update(self) -> None:
        """One unroll, and one step of the optimiser."""
        total = plain_losses(self.net, self.rollout(), self.agent)
        self.optimiser.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), self.agent.settings.optimiser.clip)
        self.optimiser.step()


def check(agent: IMPALA, member: dict[str, Tensor], net: Net, rollout: Rollout) -> float:
    """Largest difference of both gradients of a rollout, as a share of the largest; raises if large."""
    trainer = ImpalaTrainer(agent, None, member, 0)
    weights = {name: view[0] for name, view in trainer.stack.views.items()}
    embeddings = agent.embed(weights, rollout.pictures)
    losses = agent.losses_of(*agent.outputs(weights, embeddings, rollout), rollout)
    total = torch.stack([agent.weights[term] * values.sum() for term, values in losses.items()]).sum()
    ours = Gradients(trainer.stack)
    gradients(total, trainer.stack, trainer.components, ours)
    net.zero_grad()
    plain = plain_losses(net, rollout, agent)
    plain.backward()
    assert float((total - plain).detach().abs()) <= TOLERANCE * float(plain.detach().abs()), (total, plain)
    worst = 0.0
    for name, parameter in net.pairs(member):
        assert parameter.grad is not None
        difference = (ours.views[name][0] - parameter.grad).abs().max() / parameter.grad.abs().max()
        worst = max(worst, float(difference))
    assert worst < TOLERANCE, worst
    return worst


def recurrent_ppo(agent: IMPALA, envs: Envs) -> Callable[[], None]:
    """One epoch of sb3-contrib's RecurrentPPO on an unroll of the same environments."""
    import numpy as np
    from gymnasium import spaces
    from sb3_contrib import RecurrentPPO
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
    from stable_baselines3.common.vec_env import VecEnv

    settings = agent.settings

    class Features(BaseFeaturesExtractor):
        def __init__(self, space: spaces.Box) -> None:
            super().__init__(space, settings.model.embedding)
            net = Net(agent)
            self.encoder, self.embedding = net.encoder, net.embedding

        def forward(self, observations: Tensor) -> Tensor:
            return functional.relu(self.embedding(self.encoder(observations)))

    class Behind(VecEnv):  # our environments behind its interface
        def __init__(self) -> None:
            space = spaces.Box(0, 255, agent.world.observation_shape, np.uint8)
            super().__init__(settings.acting.environments, space, spaces.Discrete(agent.world.actions.n))
            self.infos = [{} for _ in range(self.num_envs)]

        def reset(self) -> object:
            return envs.observations

        def step_async(self, actions: object) -> None:
            self.actions = actions

        def step_wait(self) -> object:
            step = envs.step(self.actions)
            return envs.observations, step.rewards, step.ended, self.infos

        def close(self) -> None: ...
        def get_attr(self, name: str, indices: object = None) -> list[object]:
            return [None] * self.num_envs

        def set_attr(self, name: str, value: object, indices: object = None) -> None: ...
        def env_method(
            self, name: str, *args: object, indices: object = None, **more: object
        ) -> list[object]:
            return [None] * self.num_envs

        def env_is_wrapped(self, wrapper: object, indices: object = None) -> list[bool]:
            return [False] * self.num_envs

    model = RecurrentPPO(
        "CnnLstmPolicy",
        Behind(),
        n_steps=settings.acting.unroll,
        batch_size=settings.frames_of_update,
        n_epochs=1,
        policy_kwargs={
            "features_extractor_class": Features,
            "lstm_hidden_size": settings.model.lstm,
            "net_arch": [settings.model.dense],
            "enable_critic_lstm": False,
            "shared_lstm": True,
        },
        device="cpu",
    )
    return lambda: model.learn(settings.frames_of_update, reset_num_timesteps=False) and None


def main() -> None:
    """Check, time and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="catch-small")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--recurrent-ppo", action="store_true")
    parser.add_argument("--set", action="append", default=[])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    settings = preset(asked.preset).with_overrides(asked.set)
    agent = IMPALA.of(settings)
    member = agent.fresh(0, BASE_PHASE)

    def envs() -> Envs:
        return agent.world.envs(agent.variant("source"), agent.settings.acting.environments, WORLD_STREAM, 0)

    net = Net(agent)
    net.load(member)
    plain = Plain(agent, net, envs())
    plain.rollout()
    worst = check(agent, member, net, plain.rollout())
    print(f"gradients of one unroll differ by {worst:.1e} of the largest number")
    contenders: dict[str, Callable[[], None]] = {
        "ours": ImpalaTrainer(agent, None, member, 0).update,
        "plain torch": plain.update,
    }
    if asked.recurrent_ppo:
        contenders["RecurrentPPO"] = recurrent_ppo(agent, envs())
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(asked.repeats + 1):
        for name, update in contenders.items():
            begun = time.process_time()
            for _ in range(UPDATES):
                update()
            if turn:
                times[name].append(time.process_time() - begun)
    frames = UPDATES * agent.settings.frames_of_update
    print(
        f"{asked.preset}, {platform.processor() or platform.machine()}, torch {torch.__version__}, one thread"
    )
    for name, taken in times.items():
        ratios = [theirs / ours for theirs, ours in zip(taken, times["ours"], strict=True)]
        print(
            f"{name:14} {frames / statistics.median(taken):8,.0f} frames/s   "
            f"ours is {statistics.median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
