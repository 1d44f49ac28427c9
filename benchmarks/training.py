"""Seed-updates a second on one core: our stacks beside a loop that trains one seed at a time.

    python benchmarks/training.py [--repeats 7] [--warm 800]

Both train transfers of the example's base on the simple maze (plan ``freeze-dynamics``), 32 transitions an
update, on the processor. The loop is what one would write with torch alone: ``nn.Linear`` and ``nn.Tanh``,
batches of gathered observations encoded each time, ``clip_grad_norm_`` and one ``torch.optim.RMSprop`` for
each loss term. It is checked first to compute the same losses. Contenders take turns, round by round, after
``--warm`` updates of each (the running squares of a satisfied loss term sink slowly, and tiny numbers cost
time); times are of the processor, of one thread; speeds are medians over rounds, a ratio is the median over
rounds of ours ÷ the loop's.
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
from pathlib import Path

import torch
from torch import Tensor, nn

from trainers import checkpoint as files
from trainers.crar import CRAR, Trainer
from trainers.crar_terms import Batch
from trainers.envs import collect, world
from trainers.plan import named_plan
from trainers.settings import preset

ALGORITHMS = ("separate", "shared", "summed")
STACKS = (1, 4, 8, 11, 22)
CHECKED, TOLERANCE = 10, 1e-4
ROUND = 0.15
"""Seconds that each contender trains in a round, about."""

BASE = Path(__file__).parent.parent / "examples" / "base.safetensors"


def stack(algorithm: str, size: int) -> Trainer:
    """``size`` transfers of the example's base, each on its own walk."""
    settings = preset("simple-maze").with_overrides([f"transfer.algorithm={algorithm}"])
    the_world, data = world("simple-maze"), settings.data
    return Trainer(
        CRAR(settings, the_world),
        settings.transfer,
        "target",
        named_plan("freeze-dynamics"),
        [files.read(BASE).tensors] * size,
        [collect(the_world, data.steps, data.episode_steps, seed) for seed in range(size)],
        [(seed,) for seed in range(size)],
    )


def first_of(trainer: Trainer, size: int) -> Trainer:
    """The first seeds of a stack, going on from where they are in a stack of their own."""
    found = stack(trainer.phase.algorithm, size)
    found.step = trainer.step
    for component, rows in trainer.stack.buffers.items():
        found.stack.buffers[component].copy_(rows[:size])
    for optimiser, squares in trainer.squares.items():
        found.squares[optimiser] = {component: rows[:size].clone() for component, rows in squares.items()}
    return found


class Loop:
    """One seed, plainly."""

    def __init__(self, algorithm: str) -> None:
        settings = preset("simple-maze")
        self.algorithm, self.terms = algorithm, settings.loss.terms
        tensors, the_world = files.read(BASE).tensors, world("simple-maze")
        self.pictures = torch.from_numpy(the_world.observations["target"]).flatten(1)
        self.actions = the_world.actions
        d = collect(the_world, settings.data.steps, settings.data.episode_steps, 0)
        self.columns = [torch.from_numpy(c) for c in (d.state, d.action, d.terminal, d.next_state)]
        self.encoder, self.transition = net(tensors, "encoder"), net(tensors, "transition")
        self.transition.requires_grad_(False)
        self.parameters = list(self.encoder.parameters())
        rate = settings.transfer.learning_rate
        rates = {"summed": rate} if algorithm == "summed" else dict.fromkeys(self.terms, rate)
        if "entropy_successive" in rates:
            rates["entropy_successive"] = rate / 5
        self.optimisers = {
            name: torch.optim.RMSprop(self.parameters, lr=lr, alpha=0.9, eps=1e-4)
            for name, lr in rates.items()
        }
        self.generator = torch.Generator().manual_seed(0)

    def update(self) -> None:
        chosen = torch.randint(len(self.columns[0]), (32,), generator=self.generator)
        self.learn(*(column[chosen] for column in self.columns))

    def learn(self, state: Tensor, action: Tensor, terminal: Tensor, after: Tensor) -> dict[str, Tensor]:
        """One update on a batch; gives the losses that its steps saw."""
        s, s_after = self.pictures[state], self.pictures[after]
        one_hot = nn.functional.one_hot(action, self.actions).float()
        goes_on = 1 - terminal.float()
        seen = {}
        if self.algorithm == "separate":
            for term in self.terms:
                x = self.encoder(s)
                x_after = self.encoder(s_after) if term in ("transition", "entropy_successive") else x
                loss = self.loss(term, x, x_after, one_hot, goes_on)
                self.optimisers[term].zero_grad()
                loss.backward()
                self.step(term)
                seen[term] = loss
        else:
            x, x_after = self.encoder(s), self.encoder(s_after)
            seen = {term: self.loss(term, x, x_after, one_hot, goes_on) for term in self.terms}
        if self.algorithm == "shared":
            found = {t: torch.autograd.grad(seen[t], self.parameters, retain_graph=True) for t in self.terms}
            for term, gradients in found.items():
                for parameter, gradient in zip(self.parameters, gradients, strict=True):
                    parameter.grad = gradient
                self.step(term)
        elif self.algorithm == "summed":
            weights = {"entropy_successive": 1 / 5}
            self.optimisers["summed"].zero_grad()
            torch.stack([weights.get(t, 1.0) * seen[t] for t in self.terms]).sum().backward()
            self.step("summed")
        return {term: loss.detach() for term, loss in seen.items()}

    def step(self, name: str) -> None:
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimisers[name].step()

    def loss(self, term: str, x: Tensor, x_after: Tensor, one_hot: Tensor, goes_on: Tensor) -> Tensor:
        if term == "transition":
            error = x + self.transition(torch.cat([x, one_hot], 1)) - x_after
            return (error.square().mean(1) * goes_on).mean()
        if term == "bound":
            return (x.square().amax(1) - 1).clamp(0, 100).mean()
        other = x.roll(1, 0) if term == "entropy_random" else x_after
        return torch.exp(-5 * (x - other).square().sum(1).clamp(1e-6, 10).sqrt()).mean()


def net(tensors: dict[str, Tensor], component: str) -> nn.Sequential:
    """A net of ``nn.Linear`` and ``nn.Tanh`` with the weights of a checkpoint's component."""
    layers: list[nn.Module] = []
    for number in range(sum(name.startswith(f"{component}/") for name in tensors) // 2):
        weight, bias = tensors[f"{component}/{number}.weight"], tensors[f"{component}/{number}.bias"]
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.weight.data.copy_(weight)
        linear.bias.data.copy_(bias)
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def check(algorithm: str) -> float:
    """The largest difference between the losses of the first updates; raises where there is one."""
    ours, plain, worst = stack(algorithm, 2), Loop(algorithm), 0.0
    for _ in range(CHECKED):
        batch: Batch = ours._batch()
        seen = plain.learn(*(c[0] for c in (batch.state, batch.action, batch.terminal, batch.next_state)))
        ours.update()
        for term, values in ours.take_losses().items():
            difference = abs(float(values[0]) - float(seen[term]))
            worst = max(worst, difference)
            assert difference < TOLERANCE, (algorithm, term, values[0], seen[term])
    return worst


def contenders(algorithm: str, warm: int) -> dict[int, Callable[[], None]]:
    """The loop, as 0, and a stack of each size, all of them ``warm``."""
    plain, largest = Loop(algorithm), stack(algorithm, max(STACKS))
    for _ in range(warm):
        plain.update()
        largest.update()
    return {0: plain.update} | {size: first_of(largest, size).update for size in STACKS}


def speed(update: Callable[[], None], seeds: int, times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        update()
    return seeds * times / (time.process_time() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--warm", type=int, default=800)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.machine()}, torch {torch.__version__}, python {platform.python_version()}, one thread")
    for algorithm in ALGORITHMS:
        worst = check(algorithm)
        print(f"{algorithm}: losses of {CHECKED} updates differ by at most {worst:.1e}", flush=True)
    print("\nSeed-updates a second, and how many times the loop's:\n")
    print("| algorithm | loop |" + "".join(f" {size} in a stack |" for size in STACKS) + " best stack |")
    print("|---|---|" + "---|" * len(STACKS) + "---|")
    for algorithm in ALGORITHMS:
        updates = contenders(algorithm, asked.warm)
        times = {n: max(3, int(ROUND * speed(f, 1, 5))) for n, f in updates.items()}
        rounds = [
            {n: speed(f, max(n, 1), times[n]) for n, f in updates.items()} for _ in range(asked.repeats)
        ]
        median = {n: statistics.median(r[n] for r in rounds) for n in updates}
        ratio = {n: statistics.median(r[n] / r[0] for r in rounds) for n in STACKS}
        cells = [f"{median[n]:.0f} (×{ratio[n]:.1f})" for n in STACKS]
        best = max(STACKS, key=lambda n: ratio[n])
        print(f"| {algorithm} | {median[0]:.0f} | " + " | ".join(cells) + f" | {best} |", flush=True)


if __name__ == "__main__":
    main()
