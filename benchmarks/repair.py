"""What mends failed transfers, and with how much training: every way that `diag repair` knows, side by side.

    python benchmarks/bases.py --preset simple-maze-summed --out runs/summed --bases 0-11
    python benchmarks/repair.py runs/summed --bases 6-11        # 0 to 5 were used to design the repair

Each folder holds base/seed<N>.safetensors and transfers-of-base<N>/seed<M>.safetensors. Failed are the
transfers that the ladder does not call matched. Training takes 5% of the transfer's own updates, unless a row
says otherwise; transfers are trained side by side. Nothing is written to the folders.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import numpy as np
import torch
from scipy import stats
from torch import Tensor

import diag
import probes
from diag.repairs.anchored import Anchored
from diag.repairs.asked import known_rows, r2_as_it_is
from diag.repairs.fits import Fit, few_pairs, fits
from diag.repairs.search import How, search
from diag.repairs.system import Case, case_of, relayered
from diag.repairs.training import continued
from diag.units import last_layer as mending
from trainers.crar import Trainer
from trainers.envs import collect
from trainers.plan import TransferPlan
from trainers.run import seeds_from
from trainers.streams import stream_of

SHARE = 0.05
"""Of the transfer's updates."""

FEW = (16, 8, 5, 3)
"""Numbers of random pairs that are tried."""

PARTS = ("pairs", "search", "gradient", "before")

Models = list[Mapping[str, Tensor]]


@dataclass(frozen=True)
class Failed:
    """A transfer, its base, and where the base has the states."""

    name: str
    case: Case
    y: np.ndarray
    plan: TransferPlan
    relation: str
    own: int


def cases_in(folder: Path, bases: Sequence[int]) -> list[Failed]:
    """Every transfer of these bases."""
    found = []
    for number in bases:
        base = folder / "base" / f"seed{number}.safetensors"
        there = diag.open_subject(base)
        paths = (folder / f"transfers-of-base{number}").glob("seed*.safetensors")
        for path in sorted(p for p in paths if re.fullmatch(r"seed\d+\.safetensors", p.name)):
            one = diag.open_subject(path)
            case = case_of(there, one)
            compared = diag.compare(there, one)
            plan = one.encoder.origin.plan
            name = f"{number}, {path.stem}"
            y = case.embedding(case.base, "source")
            found.append(Failed(name, case, y, plan, compared.relation or "undecided", compared.own_states))
    return found


def hidden_and_embedding(one: Failed) -> tuple[np.ndarray, np.ndarray]:
    return one.case.hidden(one.case.transfer), one.case.embedding(one.case.transfer)


def folded(one: Failed, choose: Callable[[tuple[Fit, ...]], Fit], pairs: int | None, seed: int) -> Mapping:
    """The transfer with a fit of so many pairs folded in."""
    rows = known_rows(len(one.y), pairs, seed)
    hidden, x = hidden_and_embedding(one)
    chosen = choose(fits(x[rows], hidden[rows], one.y[rows], seed=seed))
    fold = mending.folded if chosen.method == "map" else relayered
    return fold(one.case.transfer, one.case.last, chosen.map)


def named(prefix: str) -> Callable[[tuple[Fit, ...]], Fit]:
    return lambda found: next(f for f in found if f.name.startswith(prefix))


def best(found: tuple[Fit, ...]) -> Fit:
    return found[0]


def paired(failed: Sequence[Failed], starts: Models, pairs: int | None, updates: int) -> Models:
    """Trained on with the pairs, all side by side."""
    states = len(failed[0].y)
    known = np.zeros((len(failed), states), bool)
    for index, row in enumerate(known):
        row[known_rows(states, pairs, index)] = True
    stack = Anchored(
        failed[0].case.objective,
        starts,
        np.stack([one.y for one in failed]),
        known,
        updates,
        data_seeds=[one.case.data_seed for one in failed],
    )
    for _ in range(updates):
        stack.update()
    return [stack.member(i) for i in range(len(failed))]


def as_before(
    failed: Sequence[Failed], starts: Models, updates: int, task: str = "target", scale: float = 1.0
) -> Models:
    """Trained on as the transfers were, all side by side; on the source task it is the bases, likewise."""
    case = failed[0].case
    settings = case.encoder.agent.settings.with_overrides([f"transfer.updates={updates}"])
    rate = settings.transfer.learning_rate * scale
    phase = settings.transfer.model_copy(update={"learning_rate": rate})
    seeds = [one.case.data_seed for one in failed]
    data = settings.data
    stream = stream_of(base=False)
    trainer = Trainer(
        replace(case.encoder.agent, settings=settings),
        phase,
        task,
        continued(failed[0].plan, settings.loss.terms),
        starts,
        [collect(case.encoder.agent.world, data.steps, data.episode_steps, seed, stream) for seed in seeds],
        [(seed, stream, 1) for seed in seeds],
    )
    for _ in range(updates):
        trainer.update()
    return [trainer.stack.member(i) for i in range(len(failed))]


def row(what: str, failed: Sequence[Failed], models: Models, task: str = "target") -> str:
    """One line of the table: how many are matched, how many succeed, and how near they are."""
    own, matched, r2 = [], 0, []
    for one, parameters in zip(failed, models, strict=True):
        x = one.case.embedding(parameters, task)
        states = np.arange(len(x))
        matched += probes.relation(x, one.y, groups=states).relation == "matched"
        own.append(int(probes.nearest_own(x, one.y)[1].sum()))
        r2.append(r2_as_it_is(x, one.y) or 0.0)
    need = failed[0].case.encoder.agent.world.success_states
    n, success = len(failed), sum(count >= need for count in own)
    words = (
        f"| {what} | {share(matched, n)} | {share(success, n)} | {statistics.median(own):g}, {min(own)} "
        f"| {statistics.median(r2):.3f}, {min(r2):.3f} |"
    )
    sys.stdout.write(words + "\n")
    sys.stdout.flush()
    return words


def share(count: int, of: int) -> str:
    low, high = stats.binomtest(count, of).proportion_ci(method="wilson")
    return f"{count} of {of} [{low:.0%}, {high:.0%}]"


def searched(failed: Sequence[Failed], how: How, updates: int) -> None:
    """Without pairs: the row of what was chosen, and how often the tool would have been sure, and right."""
    models, sure = [], []
    for index, one in enumerate(failed):
        found, parameters = search(one.case, how, updates, index, lambda n: None)
        models.append(parameters)
        sure.append(found.separated and found.near)
    row(f"no pairs, {how}, {SHARE:.0%}", failed, models)
    if any(sure):
        row(
            "… of these, those that it is sure of",
            [one for one, certain in zip(failed, sure, strict=True) if certain],
            [one for one, certain in zip(models, sure, strict=True) if certain],
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bases", default="6-11")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    began = monotonic()
    everyone = cases_in(options.folder, seeds_from(options.bases))
    failed = [one for one in everyone if one.relation != "matched"]
    landed = [one for one in everyone if one.relation == "matched"]
    agent = failed[0].case.encoder.agent
    budget = agent.settings.transfer.updates
    updates = round(SHARE * budget)
    kinds = [one.relation for one in failed]
    words = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
    sys.stdout.write(
        f"{len(everyone)} transfers of bases {options.bases} ({agent.settings.preset}, {budget:,} updates): "
        f"{len(failed)} are not matched ({words}). 5% are {updates:,} updates.\n\n"
        "| | matched | success | states in place: median, least | R² as it is: median, least |\n"
        "|---|---|---|---|---|\n"
    )
    if "pairs" in options.parts:
        with_pairs(failed, updates)
    if "search" in options.parts:
        searched(failed, "permutations", updates)
    if "gradient" in options.parts:
        searched(failed, "gradient", updates)
    if "before" in options.parts:
        without_the_base(failed, landed, everyone, updates)
    sys.stdout.write(f"\n{monotonic() - began:.0f} s on one core.\n")


def with_pairs(failed: Sequence[Failed], updates: int) -> None:
    """Maps alone, and training on with the pairs."""
    untouched: Models = [one.case.transfer for one in failed]
    row("as they were", failed, untouched)
    for what, choose in (
        ("signs + offset", named("signs")),
        ("orthogonal + offset", named("orthogonal")),
        ("affine", named("affine")),
        ("last layer (best ridge)", named("last layer")),
    ):
        row(f"{what}, no training", failed, [folded(one, choose, None, 0) for one in failed])
    starts = [folded(one, best, None, 0) for one in failed]
    row("best on held-out pairs, no training", failed, starts)
    whole = paired(failed, starts, None, updates)
    row("best, 5% with all pairs", failed, whole)
    row("best, 1% with all pairs", failed, paired(failed, starts, None, updates // 5))
    row("no map, 5% with all pairs", failed, paired(failed, untouched, None, updates))
    for pairs in FEW:
        some = [folded(one, best, pairs, index) for index, one in enumerate(failed)]
        row(f"{pairs} random pairs, no training", failed, some)
        row(f"{pairs} random pairs, 5% with them", failed, paired(failed, some, pairs, updates))
    enough = []
    for one in failed:
        hidden, x = hidden_and_embedding(one)
        found = few_pairs(fits(x, hidden, one.y)[0], x, hidden, one.y)
        if found is not None and found.pairs.value is not None:
            enough.append(found.pairs.value)
    sys.stdout.write(
        f"\nPairs that map held-out states nearly as well as 25 do: median {statistics.median(enough):g}, "
        f"from {min(enough):g} to {max(enough):g}.\n"
    )


def without_the_base(
    failed: Sequence[Failed], landed: Sequence[Failed], everyone: Sequence[Failed], updates: int
) -> None:
    """Trained on as before, where nothing but the frozen models tells of the base; and what that does to
    embeddings that are in place."""
    for what, choose in (
        ("orthogonal + offset", named("orthogonal")),
        ("last layer (best ridge)", named("last layer")),
    ):
        starts = [folded(one, choose, None, 0) for one in failed]
        row(f"{what}, 5% as before", failed, as_before(failed, starts, updates))
    whole = paired(failed, [folded(one, best, None, 0) for one in failed], None, updates)
    for scale in (1.0, 0.2):
        words = "" if scale == 1 else f" at {scale:g} of the rate"
        after = as_before(failed, whole, updates, scale=scale)
        row(f"best, 5% with all pairs, then 5% as before{words}", failed, after)
    own = list({one.y.tobytes(): one for one in everyone}.values())
    moved = as_before(own, [one.case.base for one in own], updates, "source")
    row("(the bases' encoders, as many on their own task)", own, moved, "source")
    if landed:
        before: Models = [one.case.transfer for one in landed]
        row("(matched transfers, as they were)", landed, before)
        row("(matched transfers, 5% more as before)", landed, as_before(landed, before, updates))
    untouched: Models = [one.case.transfer for one in failed]
    row("as they were, 5% more as before", failed, as_before(failed, untouched, updates))


if __name__ == "__main__":
    main()
