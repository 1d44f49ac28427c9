"""How much of what a fraction of a base put into a transfer is still there after training.

Fractional transfer begins at θ₀ = θ_fresh + λ·θ_S (the second paper, section 4.1). Of the parameters θ of a
checkpoint, two numbers tell what became of the source's part, each over all numbers of a component:

- what remains of λ, the regression of θ − θ_fresh on θ_S: ⟨θ − θ_fresh, θ_S⟩ / ⟨θ_S, θ_S⟩, at first λ;
- the share of θ that λ·θ_S explains: 1 − ‖θ − λ·θ_S‖² / ‖θ‖², negative where θ is nearer to nothing.

θ_fresh follows from the run's seed. Checkpoints that were kept on the way lie beside the last one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from diag.sources.systems import Trained
from trainers.checkpoint import Checkpoint, CheckpointError, read
from trainers.plan import ALL, TransferPlan
from trainers.stack import component_of
from trainers.streams import stream_of


@dataclass(frozen=True)
class Survival:
    """What remains of one component's fraction after some updates."""

    component: str
    fraction: float
    """λ of the plan."""
    steps: tuple[int, ...]
    """Updates, from 0, at which it is known."""
    remains: tuple[float, ...]
    """What remains of λ."""
    shares: tuple[float, ...]
    """Share of the component's fractional parameters that λ·θ_S explains."""


@dataclass(frozen=True)
class Fractions:
    """The parameters of a transfer that began with a fraction of a base, and what tells their course."""

    given: Mapping[tuple[str, float, int | str], Sequence[str]]
    """Names of parameters by component, λ, and the base's number or ``all``; empty where none was given."""
    bases: Sequence[Mapping[str, Tensor]]
    fresh: Mapping[str, Tensor]
    """The parameters as the run's seed began them."""
    way: Mapping[int, Mapping[str, Tensor]]
    """Tensors after so many updates, the checkpoint's own last."""


def fractions_of(trained: Trained) -> Fractions | None:
    """The fractions that a transfer was given; None where a base is gone, or is another file now."""
    checkpoint, plan = trained.checkpoint, trained.plan
    given: dict[tuple[str, float, int | str], list[str]] = {}
    if plan is not None:
        for name in trained.system.shapes():
            rule = plan.action_of(name)
            if rule.action == "fraction" and rule.fraction:
                given.setdefault((component_of(name), rule.fraction, rule.base or 0), []).append(name)
    if plan is None or not given:
        return Fractions({}, [], {}, {})
    bases = bases_of(checkpoint)
    if bases is None:
        return None
    fresh = trained.system.fresh(trained.seed, stream_of(base=False), plan=plan, bases=len(bases))
    return Fractions(given, bases, fresh, on_the_way(checkpoint, plan))


def survival(trained: Trained) -> tuple[Survival, ...] | None:
    """What remains of each component that a fraction was given to, unless λ is 0.

    None where a fraction was given, and a base is not where it was, or is another file now.
    """
    fractions = fractions_of(trained)
    if fractions is None:
        return None
    bases = fractions.bases
    found = []
    for (component, fraction, which), names in fractions.given.items():
        source = _flat(names, bases if which == ALL else [bases[int(which)]])
        begun = _flat(names, [fractions.fresh])
        points = {0: begun + fraction * source}
        points |= {step: _flat(names, [own]) for step, own in fractions.way.items()}
        size = source.square().sum().clamp_min(torch.finfo(torch.float64).tiny)
        remains = [float(((theta - begun) * source).sum() / size) for theta in points.values()]
        shares = [
            float(1 - (theta - fraction * source).square().sum() / theta.square().sum())
            for theta in points.values()
        ]
        found.append(Survival(component, fraction, tuple(points), tuple(remains), tuple(shares)))
    return tuple(found)


def _flat(names: Sequence[str], each: Sequence[Mapping[str, Tensor]]) -> Tensor:
    """Parameters of these names in a row, the mean of several sets of them."""
    rows = [torch.cat([tensors[name].double().flatten() for name in names]) for tensors in each]
    return torch.stack(rows).mean(0)


def bases_of(checkpoint: Checkpoint) -> list[Mapping[str, Tensor]] | None:
    """The tensors of the bases that a header names; None where one is gone, or another by now."""
    found = []
    for named in checkpoint.header.bases:
        try:
            base = read(named["path"])
        except CheckpointError:
            return None
        if base.identity != named["identity"]:
            return None
        found.append(base.tensors)
    return found


def on_the_way(checkpoint: Checkpoint, plan: TransferPlan) -> dict[int, Mapping[str, Tensor]]:
    """Tensors of the run's checkpoints that lie beside this one, by update; and its own, last."""
    path, header = Path(checkpoint.path), checkpoint.header
    steps: dict[int, Mapping[str, Tensor]] = {}
    for beside in path.parent.glob(f"{path.stem.partition('.')[0]}.step*.safetensors"):
        try:
            kept = read(beside)
        except CheckpointError:
            continue
        same = (kept.header.seed, kept.header.plan, list(kept.header.bases))
        if same == (header.seed, plan.to_tree(), list(header.bases)) and kept.header.step < header.step:
            steps[kept.header.step] = kept.tensors
    return {step: steps[step] for step in sorted(steps)} | {header.step: checkpoint.tensors}
