"""Updates a second of CRAR in labyrinths on one core: ours beside a plain loop of the same algorithm.

    python benchmarks/crar_labyrinth.py [--repeats 5] [--warm 20] [--worlds 48×48 16×16 12×12]

Both train one base on the source task, 32 transitions an update. The loop is what one would write with torch
alone: ``nn.Conv2d``, ``nn.MaxPool2d``, ``nn.Linear`` and ``nn.Tanh``, all states and all that followed them
encoded wherever a term reads them, ``clip_grad_norm_``, one ``torch.optim.RMSprop`` for each loss term
(reward and discount share one), and target nets that are copied every 1,000 updates. It is checked first to
compute the same losses. All take turns, round by round; times are of the processor, of one thread; speeds
are medians over rounds, a ratio is the median over rounds of ours ÷ the loop's. A second ratio holds ours on
smaller pictures beside the loop on the largest.
"""

from __future__ import annotations

import os

if __name__ == "__main__":
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[_name] = "1"

import argparse
import copy
import dataclasses
import platform
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from trainers.crar_labyrinth import LabyrinthCRAR, LabyrinthSettings, LabyrinthTrainer
from trainers.crar_terms import Batch
from trainers.envs.labyrinth import LABYRINTHS
from trainers.nets import ConvNet
from trainers.plan import BASE_PLAN, TransferPlan
from trainers.settings import preset

ALGORITHMS = ("separate", "shared", "summed")
COARSE = "labyrinth-coarse"
WORLDS = {"48×48": ("labyrinth",), "16×16": ("labyrinth", f"world={COARSE}"), "12×12": ("labyrinth-small",)}
"""By the size of a picture a preset and its changes: the paper's world and nets; the same world at two pixels
a tile; and the smaller world, with nets of half the width."""

CHECKED, TOLERANCE = 5, 1e-3
"""Updates whose losses are compared, and how far apart they may be: steps of RMSprop enlarge rounding."""

ROUND = 1.0
"""Seconds that each contender trains in a round, about."""


def agent_of(world: str, *changes: str) -> LabyrinthCRAR:
    """The agent of one of the worlds, its data cut short."""
    name, *own = WORLDS[world]
    settings = preset(name).with_overrides(["data.steps=2000", *own, *changes])
    assert isinstance(settings, LabyrinthSettings)
    return LabyrinthCRAR.of(settings)


def modules(net: ConvNet, named: Mapping[str, Tensor], component: str) -> nn.Sequential:
    """A net of torch's own modules with these weights, tanh right after each layer, as in Keras."""
    layers: list[nn.Module] = []
    planes, last = net.planes, len(net.convs) + len(net.dense) - 1
    for number, conv in enumerate(net.convs):
        before = (conv.kernel - 1) // 2
        layers.append(nn.ZeroPad2d((before, conv.kernel - 1 - before) * 2))
        layers.append(nn.Conv2d(planes, conv.filters, conv.kernel))
        layers += [nn.Tanh()] * (number < last)
        layers += [nn.MaxPool2d(conv.pool, ceil_mode=True)] * (conv.pool > 1)
        planes = conv.filters
    if net.dense:
        layers.append(nn.Flatten())
    for number in range(len(net.convs), last + 1):
        fan_out, fan_in = named[f"{component}/{number}.weight"].shape
        layers += [nn.Linear(fan_in, fan_out), *[nn.Tanh()] * (number < last)]
    with_weights = [layer for layer in layers if isinstance(layer, nn.Conv2d | nn.Linear)]
    for number, layer in enumerate(with_weights):
        assert layer.bias is not None
        layer.weight.data.copy_(named[f"{component}/{number}.weight"])
        layer.bias.data.copy_(named[f"{component}/{number}.bias"])
    return nn.Sequential(*layers)


class Loop:
    """One seed, plainly."""

    def __init__(
        self,
        agent: LabyrinthCRAR,
        named: Mapping[str, Tensor],
        algorithm: str,
        plan: TransferPlan = BASE_PLAN,
    ) -> None:
        self.agent, self.algorithm, self.terms = agent, algorithm, agent.terms
        self.nets = {c: modules(net, named, c) for c, net in agent.nets.items()}
        for component, net in self.nets.items():
            net.requires_grad_(f"{component}/0.weight" in plan.trainable(named))
        loss, rate, self.step = agent.settings.loss, agent.settings.train.learning_rate, 0
        self.discount, self.slower = loss.discount, loss.entropy_successive_divisor
        every = [p for net in self.nets.values() for p in net.parameters() if p.requires_grad]
        rates = {"summed": rate} if algorithm == "summed" else dict.fromkeys(self.terms, rate)
        if "entropy_successive" in rates:
            rates["entropy_successive"] = rate / self.slower
        self.optimisers = {
            name: torch.optim.RMSprop(every, lr=lr, alpha=0.9, eps=1e-4) for name, lr in rates.items()
        }
        if "reward" in self.optimisers:
            self.optimisers["discount"] = self.optimisers["reward"]

    def learn(self, s: Tensor, s_after: Tensor, batch: Batch) -> dict[str, Tensor]:
        """One update on pictures (n, side, side) and a batch; gives the losses that its steps saw."""
        if self.step % self.agent.settings.loss.target_every == 0:
            self.targets = copy.deepcopy({c: self.nets[c] for c in ("encoder", "q")})
        self.step += 1
        s, s_after = s[:, None], s_after[:, None]
        seen = {}
        if self.algorithm == "separate":
            for term in self.terms:
                loss = seen[term] = self.loss(term, s, s_after, batch)
                self.optimisers[term].zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                self.descend(term)
        elif self.algorithm == "shared":
            parameters = self.trained()
            x, x_after = self.nets["encoder"](s), self.nets["encoder"](s_after)
            seen = {term: self.loss(term, s, s_after, batch, x, x_after) for term in self.terms}
            found = {
                t: torch.autograd.grad(seen[t], parameters, retain_graph=True, allow_unused=True)
                for t in self.terms
            }
            for term, gradients in found.items():
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter.grad = gradient
                self.descend(term)
        else:
            x, x_after = self.nets["encoder"](s), self.nets["encoder"](s_after)
            seen = {term: self.loss(term, s, s_after, batch, x, x_after) for term in self.terms}
            weights = {"entropy_successive": 1 / self.slower}
            self.optimisers["summed"].zero_grad()
            total = torch.stack([weights.get(t, 1.0) * seen[t] for t in self.terms]).sum()
            total.backward()  # type: ignore[no-untyped-call]
            self.descend("summed")
        return {term: loss.detach() for term, loss in seen.items()}

    def trained(self) -> list[nn.Parameter]:
        return [p for net in self.nets.values() for p in net.parameters() if p.requires_grad]

    def descend(self, name: str) -> None:
        nn.utils.clip_grad_norm_([p for p in self.trained() if p.grad is not None], 1.0)
        self.optimisers[name].step()

    def loss(
        self,
        term: str,
        s: Tensor,
        s_after: Tensor,
        batch: Batch,
        x: Tensor | None = None,
        x_after: Tensor | None = None,
    ) -> Tensor:
        """A term's batch mean; what it reads is encoded where it is not given."""
        encoder = self.nets["encoder"]
        x = encoder(s) if x is None else x
        if x_after is None and term in ("transition", "entropy_successive", "q"):
            x_after = encoder(s_after)
        one_hot = nn.functional.one_hot(batch.action, 4).float()
        goes_on = 1 - batch.terminal.float()
        inputs = torch.cat([x, one_hot[:, :, None, None].expand(-1, -1, *x.shape[2:])], 1)
        if term == "transition":
            error = x + self.nets["transition"](inputs) - x_after
            return (error.square().mean((1, 2, 3)) * goes_on).mean()
        if term == "reward":
            return (self.nets["reward"](inputs)[:, 0] - batch.reward).square().mean()
        if term == "discount":
            return (self.nets["discount"](inputs)[:, 0] - self.discount * goes_on).square().mean()
        if term == "bound":
            return (x.square().amax(1) - 1).clamp(0, 100).mean()
        if term == "q":
            assert x_after is not None
            with torch.no_grad():
                best = self.nets["q"](x_after).argmax(1, keepdim=True)
                worth = self.targets["q"](self.targets["encoder"](s_after)).gather(1, best)[:, 0]
                target = batch.reward + self.discount * goes_on * worth
            return (self.nets["q"](x).gather(1, batch.action[:, None])[:, 0] - target).square().mean()
        other = x.roll(1, 0) if term == "entropy_random" else x_after
        return torch.exp(-5 * (x - other).square().sum((1, 2, 3)).clamp(1e-6, 10).sqrt()).mean()


def seen_by(trainer: LabyrinthTrainer, step: int) -> tuple[Tensor, Tensor, Batch]:
    """The first seed's batch of an update, with a picture of each state and of each that followed."""
    states, batch = trainer.batch_of(step)
    own = {name: column[0] if column.dim() == 2 else column for name, column in vars(batch).items()}
    alone = Batch(**own)
    pictures = torch.from_numpy(trainer.agent.world.observations(states[0], trainer.shown))
    return pictures[alone.state], pictures[alone.next_state], alone


def both(world: str, algorithm: str) -> tuple[LabyrinthTrainer, Loop]:
    """Our training of a world's base, and the loop with the same weights."""
    agent = agent_of(world, f"train.algorithm={algorithm}")
    ours = agent.training(None, [agent.fresh(0)], [0])
    assert isinstance(ours, LabyrinthTrainer)
    return ours, Loop(agent, agent.fresh(0), algorithm)


def check(world: str, algorithm: str) -> float:
    """The largest difference between the losses of the first updates; raises where there is one."""
    (ours, plain), worst = both(world, algorithm), 0.0
    for step in range(CHECKED):
        seen = plain.learn(*seen_by(ours, step))
        ours.update()
        for term, values in ours.take_losses().items():
            difference = abs(float(values[0]) - float(seen[term]))
            worst = max(worst, difference)
            assert difference < TOLERANCE, (algorithm, term, values[0], seen[term])
    return worst


def contenders(world: str, algorithm: str, warm: int) -> Sequence[Callable[[], None]]:
    """An update of ours and one of the loop's, both warm; the loop renders its pictures as well."""
    ours, plain = both(world, algorithm)

    def looped() -> None:
        plain.learn(*seen_by(ours, plain.step))

    for _ in range(warm):
        ours.update()
        looped()
    return ours.update, looped


def speed(update: Callable[[], None], times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        update()
    return times / (time.process_time() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--warm", type=int, default=20)
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS), choices=list(WORLDS))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    LABYRINTHS[COARSE] = dataclasses.replace(LABYRINTHS["labyrinth"], pixels=2)
    print(f"{platform.machine()}, torch {torch.__version__}, python {platform.python_version()}, one thread")
    print("\nUpdates a second:\n")
    large = f"ratio to the loop at {asked.worlds[0]}"
    print(f"| pictures | algorithm | ours | loop | ratio | {large} | losses differ by |")
    print("|---|---|---|---|---|---|---|")
    for algorithm in ALGORITHMS:
        worst = {world: check(world, algorithm) for world in asked.worlds}
        updates = [update for world in asked.worlds for update in contenders(world, algorithm, asked.warm)]
        times = [max(2, int(ROUND * speed(update, 3))) for update in updates]
        rounds = np.array(
            [
                [speed(update, n) for update, n in zip(updates, times, strict=True)]
                for _ in range(asked.repeats)
            ]
        )
        for number, world in enumerate(asked.worlds):
            ours, loop = rounds[:, 2 * number], rounds[:, 2 * number + 1]
            ratios = " | ".join(f"×{np.median(ours / other):.2f}" for other in (loop, rounds[:, 1]))
            speeds = f"{np.median(ours):.1f} | {np.median(loop):.1f}"
            print(f"| {world} | {algorithm} | {speeds} | {ratios} | {worst[world]:.0e} |", flush=True)


if __name__ == "__main__":
    main()
