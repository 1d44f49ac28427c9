"""Updates a second of Dreamer on one core: ours beside a plain loop of torch's modules at equal sizes.

    python benchmarks/dreamer.py [--repeats 5] [--sizes small paper-conv]

Both train on the same batches of MinAtar's Breakout (10 channels). The loop is what one would write with
torch alone, as public Dreamers are written: ``nn.Linear``, ``nn.Conv2d``, ``nn.LayerNorm`` and ``nn.ELU``,
every layer of a step inside the loop over time, ``OneHotCategoricalStraightThrough`` for samples,
``kl_divergence`` twice for KL balancing, imagined steps with their graph, ``torch.optim.Adam`` with
``clip_grad_norm_``. It is checked first to compute the same losses of the world model from the same weights
and draws. What is timed: ``model``, the world model alone; ``both``, with actor and critic from 64 states of
a batch in both; ``all``, from every state in both, which public Dreamers do. All take turns, round by round;
times are of the processor, of one thread; speeds are medians over rounds, a ratio is the median over rounds
of ours ÷ the loop's.
"""

from __future__ import annotations

import os

if __name__ == "__main__":
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[_name] = "1"

import argparse
import copy
import platform
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Independent, OneHotCategoricalStraightThrough, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from trainers.dreamer import Dreamer
from trainers.dreamer_training import DreamerTraining
from trainers.imagination import lambda_returns, reached
from trainers.plan import named_plan
from trainers.replay import Sequences
from trainers.settings import preset
from trainers.streams import generator

SIZES = {
    "small": (),
    "paper-conv": (
        "model.groups=20",
        "model.classes=20",
        "model.deterministic=200",
        "model.hidden=200",
        "model.codec=grid",
        "model.widths=[8,16,32,64]",
        "loss.image=gaussian",
    ),
}
"""Changes of the preset ``minatar-small``: none, or the paper's nets for grids with 20×20 latents."""

STARTS = {"both": 64, "all": 0}
"""States of a batch that steps are imagined from; 0 for all."""

TOLERANCE = 1e-4
"""How far the loop's losses may lie from ours, relative to them."""

Sampler = Callable[[Tensor], Tensor]


def training_of(size: str, starts: int) -> DreamerTraining:
    """Our training of one seed, with some random steps in its replay."""
    changes = [*SIZES[size], "tasks.target=breakout", "acting.prefill=2000", f"batches.starts={starts}"]
    dreamer = Dreamer.of(preset("minatar-small").with_overrides(changes))
    training = DreamerTraining(dreamer, named_plan("all-trained"), dreamer.fresh(0, 1), 0)
    training.update()
    return training


def batch_of(training: DreamerTraining, number: int) -> Sequences:
    sizes = training.dreamer.settings.batches
    assert training.experience is not None
    return training.experience.replay.sample(generator(0, number), sizes.sequences, sizes.length)


class Loop(nn.Module):
    """The plain loop, with the weights of a training of ours."""

    def __init__(self, training: DreamerTraining, starts: int) -> None:
        super().__init__()
        self.dreamer, self.starts = training.dreamer, starts
        dreamer, weights = training.dreamer, training.member(0)
        rssm, model = dreamer.rssm, dreamer.settings.model
        self.groups, self.classes = model.groups, model.classes

        def linear(name: str) -> nn.Linear:
            out, fan_in = weights[f"{name}.weight"].shape
            layer = nn.Linear(fan_in, out, bias=f"{name}.bias" in weights)
            layer.weight.data.copy_(weights[f"{name}.weight"])
            if f"{name}.bias" in weights:
                layer.bias.data.copy_(weights[f"{name}.bias"])
            return layer

        def dense(component: str, layers: int, last_linear: bool = True) -> nn.Sequential:
            steps: list[nn.Module] = []
            for layer in range(layers):
                steps.append(linear(f"{component}/{layer}"))
                steps += [nn.ELU()] * (layer < layers - 1 or not last_linear)
            return nn.Sequential(*steps)

        self.encoder: nn.Module
        self.decoder: nn.Module
        if model.codec == "mlp":
            self.encoder = nn.Sequential(nn.Flatten(), dense("encoder", len(model.widths), False))
            shape = dreamer.world.observation_shape
            self.decoder = nn.Sequential(dense("decoder", len(model.widths) + 1), nn.Unflatten(1, shape))
        else:
            convs: list[nn.Module] = []
            deconvs: list[nn.Module] = [linear("decoder/0"), nn.Unflatten(1, (4 * model.widths[-1], 1, 1))]
            for layer in range(4):
                weight = weights[f"encoder/{layer}.weight"]
                convs += [nn.Conv2d(weight.shape[1], weight.shape[0], 3), nn.ELU()]
                back = weights[f"decoder/{layer + 1}.weight"]
                deconvs.append(nn.ConvTranspose2d(back.shape[0], back.shape[1], back.shape[2]))
                deconvs += [nn.ELU()] * (layer < 3)
                for made, name in (
                    (convs[2 * layer], f"encoder/{layer}"),
                    (deconvs[2 + 2 * layer], f"decoder/{layer + 1}"),
                ):
                    made.weight.data.copy_(weights[f"{name}.weight"])  # type: ignore[union-attr, operator]
                    made.bias.data.copy_(weights[f"{name}.bias"])  # type: ignore[union-attr, operator]
            self.encoder, self.decoder = nn.Sequential(*convs, nn.Flatten()), nn.Sequential(*deconvs)
        self.input, self.gates = linear("recurrent/input"), linear("recurrent/gates")
        self.norm = nn.LayerNorm(3 * rssm.deterministic)
        self.norm.weight.data.copy_(weights["recurrent/gates.gain"])
        self.norm.bias.data.copy_(weights["recurrent/gates.offset"])
        self.prior, self.posterior = (
            nn.Sequential(linear(f"recurrent/{n}.0"), nn.ELU(), linear(f"recurrent/{n}.1"))
            for n in ("prior", "posterior")
        )
        heads = len(model.heads) + 1
        self.reward, self.discount, self.actor, self.critic = (
            dense(name, heads) for name in ("reward", "discount", "actor", "critic")
        )
        self.target = copy.deepcopy(self.critic).requires_grad_(False)
        world = [self.encoder, self.decoder, self.input, self.gates, self.norm, self.prior, self.posterior]
        self.world = nn.ModuleList([*world, self.reward, self.discount])
        phase = training.phase
        self.optimisers = [
            torch.optim.Adam(part.parameters(), lr=rate, eps=phase.epsilon)
            for part, rate in (
                (self.world, phase.model_rate),
                (self.actor, phase.actor_rate),
                (self.critic, phase.critic_rate),
            )
        ]

    def distribution(self, logits: Tensor) -> Independent:
        split = logits.reshape(*logits.shape[:-1], self.groups, self.classes)
        return Independent(OneHotCategoricalStraightThrough(logits=split), 1)

    def drawn(self, logits: Tensor) -> Tensor:
        return self.distribution(logits).rsample().flatten(-2)

    def step(self, h: Tensor, z: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """The next deterministic state, and its prior's logits."""
        x = nn.functional.elu(self.input(torch.cat([z, action], -1)))
        reset, candidate, update = self.norm(self.gates(torch.cat([x, h], -1))).chunk(3, -1)
        candidate, update = torch.tanh(reset.sigmoid() * candidate), (update - 1).sigmoid()
        h = update * candidate + (1 - update) * h
        return h, self.prior(h)

    def model_losses(self, batch: Sequences, sample: Sampler) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """The world model's losses, and the states z and h (T, B, …)."""
        settings, rssm = self.dreamer.settings.loss, self.dreamer.rssm
        seen = batch.observation.float() / 255
        length, size = batch.reward.shape
        embeddings = self.encoder(seen.flatten(0, 1)).reshape(length, size, -1)
        actions = one_hot(batch.action, rssm.actions).float()
        h, z = torch.zeros(size, rssm.deterministic), torch.zeros(size, rssm.latents.size)
        hs, zs, priors, posteriors = [], [], [], []
        for now in range(length):
            stay = (~batch.first[now]).float().unsqueeze(-1)
            h, prior = self.step(h * stay, z * stay, actions[now] * stay)
            posterior = self.posterior(torch.cat([h, embeddings[now]], -1))
            z = sample(posterior)
            for values, value in ((hs, h), (zs, z), (priors, prior), (posteriors, posterior)):
                values.append(value)
        h, z, prior, posterior = (torch.stack(values) for values in (hs, zs, priors, posteriors))
        features = torch.cat([z, h], -1)
        pictures = self.decoder(features.flatten(0, 1))
        wanted = seen.flatten(0, 1)
        if settings.image == "bernoulli":
            image = binary_cross_entropy_with_logits(pictures, wanted, reduction="none")
        else:
            image = (pictures - wanted).square() / 2
        to_prior = kl_divergence(self.distribution(posterior.detach()), self.distribution(prior))
        to_posterior = kl_divergence(self.distribution(posterior), self.distribution(prior.detach()))
        goes_on = (~batch.terminal).float()
        losses = {
            "image": image.flatten(1).sum(1).mean(),
            "reward": (self.reward(features)[..., 0] - batch.reward).square().mean() / 2,
            "discount": binary_cross_entropy_with_logits(self.discount(features)[..., 0], goes_on),
            "kl": (settings.balance * to_prior + (1 - settings.balance) * to_posterior).mean(),
        }
        return losses, z.detach(), h.detach()

    def descend(self, number: int, loss: Tensor, part: nn.Module) -> None:
        self.optimisers[number].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(part.parameters(), 100.0)
        self.optimisers[number].step()

    def update(self, batch: Sequences, acts: bool) -> None:
        losses, z, h = self.model_losses(batch, self.drawn)
        weights = self.dreamer.weights
        self.descend(0, sum((weights[t] * value for t, value in losses.items()), torch.zeros(())), self.world)
        if acts:
            self.learn_to_act(z.flatten(0, 1), h.flatten(0, 1), (~batch.terminal).float().flatten())

    def learn_to_act(self, z: Tensor, h: Tensor, goes_on: Tensor) -> None:
        settings, sizes = self.dreamer.settings.loss, self.dreamer.settings.batches
        if self.starts:
            rows = torch.randperm(len(z))[: self.starts]
            z, h, goes_on = z[rows], h[rows], goes_on[rows]
        features, chances, entropies = [torch.cat([z, h], -1)], [], []
        for _ in range(sizes.horizon):
            policy = OneHotCategoricalStraightThrough(logits=self.actor(features[-1].detach()))
            action = policy.rsample()
            chances.append(policy.log_prob(action.detach()))
            entropies.append(policy.entropy())
            h, prior = self.step(h, z, action)
            z = self.drawn(prior)
            features.append(torch.cat([z, h], -1))
        every = torch.stack(features)
        reward = self.reward(every[1:])[..., 0]
        discount = settings.discount * self.discount(every[1:])[..., 0].sigmoid()
        values = self.target(every)[..., 0]
        returns = lambda_returns(reward, discount, values[1:], settings.mixing)
        weights = reached(discount, goes_on).detach()
        advantage = (returns - values[:-1]).detach()
        gain = torch.stack(chances) * advantage + settings.entropy * torch.stack(entropies)
        error = (self.critic(every[:-1].detach())[..., 0] - returns.detach()).square() / 2
        self.descend(1, -(weights * gain).mean(), self.actor)
        self.descend(2, (weights * error).mean(), self.critic)


def check(training: DreamerTraining, loop: Loop) -> float:
    """Largest relative difference of the world model's losses; raises SystemExit beyond the tolerance."""
    batch, dreamer = batch_of(training, 0), training.dreamer
    noise = dreamer.rssm.latents.noise(generator(1), *batch.reward.shape)
    draws = iter(noise)
    with torch.no_grad():
        theirs, _, _ = loop.model_losses(
            batch, lambda logits: dreamer.rssm.latents.drawn(logits, next(draws))
        )
        seen = dreamer.observe(training.fixed(), batch, noise)
        rows = dreamer.predictions(training.fixed(), batch, seen.state.features)
        ours = {term: values.mean() for term, values in rows.items()} | {"kl": dreamer.kl(seen)}
    worst = max(abs(float(theirs[t] / ours[t]) - 1) for t in ours)
    if worst > TOLERANCE:
        raise SystemExit(f"the loop's losses differ by a share of {worst:.2g}: {theirs} beside {ours}")
    return worst


def ours(training: DreamerTraining, acts: bool) -> Callable[[Sequences], None]:
    def update(batch: Sequences) -> None:
        rng = generator(2, training.step)
        noise = training.dreamer.rssm.latents.noise(rng, *batch.reward.shape)
        seen = training.learn(batch, noise, training.dreamer.terms)
        if acts:
            training.learn_to_act(seen, batch, rng, training.dreamer.terms)
        training.step += 1

    return update


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Updates a second of Dreamer beside a plain loop.")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--updates", type=int, default=10, help="updates of each in a round")
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, numpy {np.__version__}, {platform.machine()}, one thread")
    for size in options.sizes:
        contenders: dict[tuple[str, str], Callable[[Sequences], None]] = {}
        for what, starts in STARTS.items():
            training = training_of(size, starts)
            loop = Loop(training, starts)
            if what == "both":
                print(f"{size}: losses agree to {check(training, loop):.1g}")
                contenders["model", "ours"] = ours(training, acts=False)
                contenders["model", "loop"] = lambda batch, loop=loop: loop.update(batch, False)  # type: ignore[misc]
            contenders[what, "ours"] = ours(training, acts=True)
            contenders[what, "loop"] = lambda batch, loop=loop: loop.update(batch, True)  # type: ignore[misc]
        batches = [batch_of(training, number) for number in range(options.updates)]
        speeds: dict[tuple[str, str], list[float]] = {key: [] for key in contenders}
        for update in contenders.values():
            update(batches[0])
        for _ in range(options.repeats):
            for key, update in contenders.items():
                begun = time.process_time()
                for batch in batches:
                    update(batch)
                speeds[key].append(len(batches) / (time.process_time() - begun))
        for what in ("model", *STARTS):
            own, other = (np.array(speeds[what, who]) for who in ("ours", "loop"))
            ratio = np.median(own / other)
            print(
                f"  {what:6s} ours {np.median(own):7.2f}/s  loop {np.median(other):7.2f}/s  ratio {ratio:.2f}"
            )
        across = np.median(np.array(speeds["both", "ours"]) / np.array(speeds["all", "loop"]))
        print(f"  ours from 64 states beside the loop from all: {across:.2f}")


if __name__ == "__main__":
    main()
