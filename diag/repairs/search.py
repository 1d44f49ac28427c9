"""Search without pairs for the map that leads back, judged by the frozen models' losses on the target task.

Training bends a failed embedding to the frozen models, so that of all maps of it the one that leaves it as
it is loses least at first. What tells the right one is where training goes from there: every candidate is
trained on for a while, the best few that lie apart for a while longer, and the losses of where they end are
compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import probes
from diag.repairs.anchored import Anchored
from diag.repairs.system import Case
from diag.result import measure_tree
from diag.subject import SubjectError
from diag.units.last_layer import folded
from probes import Floats, Map, Measure

How = Literal["permutations", "gradient"]

MOST_DIMENSIONS = 6
"""Dimensions up to which all signed permutations are listed: 46,080 of them."""

MOST_TRAINED = 16
"""Most candidates that are trained further, those of least loss: in two dimensions all eight."""

RESTARTS = 32
"""Number of random orthogonal maps that gradient descent starts from, half of them reflections."""

MAP_STEPS, MAP_RATE = 200, 0.02
"""Number of Adam steps, and learning rate, that fit a candidate's offset or rotation to a fixed encoder."""

FINALISTS = 2
"""Number of candidates in the last round of training, each ending elsewhere than the others."""

APART = 0.9
"""R² between two embeddings from which they count as the same answer."""

NEAR = 1.15
"""Most loss of an answer, as a multiple of the base's on its own task: the failed transfers of the maze that
this was made with lose 1.23 times as much or more."""

FIRST = 0.4
"""Share of the updates spent on all candidates; the rest is spent on the finalists."""


@dataclass(frozen=True)
class Candidate:
    """A map of the embedding, and the losses before and after training from it."""

    words: str
    before: float
    """Loss with the map folded in, before training."""
    after: float
    """Loss after training."""
    updates: int
    final: bool
    """Whether the candidate reached the last round of training."""

    def to_tree(self) -> dict[str, Any]:
        return {
            "map": self.words,
            "loss_before": self.before,
            "loss": self.after,
            "updates": self.updates,
            "final": self.final,
        }


@dataclass(frozen=True)
class Search:
    """A search without pairs: the candidates, the best first, and how sure the choice is."""

    how: How
    tried: int
    """Number of maps whose losses were computed."""
    candidates: tuple[Candidate, ...]
    """Candidates that were trained further."""
    margin: Measure
    """Loss of the best rival that lies apart minus the winner's, bootstrapped over states."""
    base_loss: float
    updates: int
    """Number of updates spent on all candidates together."""
    separated: bool
    """Whether the margin's whole interval is above 0."""
    near: bool
    """Whether the winner's loss is near the base's on its own task (:data:`NEAR`)."""

    def to_tree(self) -> dict[str, Any]:
        return {
            "how": self.how,
            "tried": self.tried,
            "candidates": [c.to_tree() for c in self.candidates],
            "margin": measure_tree(self.margin),
            "base_loss": self.base_loss,
            "updates": self.updates,
            "separated": self.separated,
            "near": self.near,
        }


def search(
    case: Case, how: How, updates: int, seed: int, progress: Callable[[int], None]
) -> tuple[Search, dict[str, Tensor]]:
    """The best map without pairs, and the parameters after training from it.

    ``updates`` is what may be spent on all candidates together; ``progress`` is told updates done. Raises
    SubjectError for more dimensions than can be listed, and for fewer updates than candidates.
    """
    if case.of_planes:
        raise SubjectError(case.path, "an embedding of planes with --unpaired", "pairs, which --use K draws")
    tried, maps = _maps(case, how, seed)
    if updates < (least := len(maps) + FINALISTS):
        few = f"{updates} updates to train on from {len(maps)} maps"
        raise SubjectError(
            case.path, few, f"--train {least} or more: one for each map, two more for the best"
        )
    each = max(1, int(updates * FIRST) // len(maps))
    starts = [folded(case.transfer, case.last, m) for m in maps]
    losses = [float(case.losses_of_states(one, "target").mean()) for one in starts]
    trained = _trained(case, starts, each, seed, progress)
    spent = each * len(maps)
    first = [case.losses_of_states(one, "target") for one in trained]
    finalists = _apart(case, trained, np.argsort([f.mean() for f in first], kind="stable"))
    more = max(1, (updates - spent) // len(finalists))
    ends = _trained(case, [trained[i] for i in finalists], more, seed + 1, progress)
    spent += more * len(finalists)
    last = [case.losses_of_states(one, "target") for one in ends]
    order = np.argsort([f.mean() for f in last], kind="stable")
    winner = int(order[0])
    margin = _margin(last, [case.embedding(one) for one in ends], order, seed)
    base = float(case.losses_of_states(case.base, "source").mean())
    candidates = [
        Candidate(
            in_words(maps[i]),
            losses[i],
            float((last[finalists.index(i)] if i in finalists else first[i]).mean()),
            each + (more if i in finalists else 0),
            i in finalists,
        )
        for i in range(len(maps))
    ]
    candidates.sort(key=lambda c: (not c.final, c.after))
    return (
        Search(
            how,
            tried,
            tuple(candidates),
            margin,
            base,
            spent,
            margin.low is not None and margin.low > 0,
            candidates[0].after <= NEAR * base,
        ),
        ends[winner],
    )


def in_words(candidate: Map) -> str:
    """A map in words: ``negated: 1``, ``axes in the order +1, -0``, or a matrix."""
    d = 0 if candidate.offset is None else len(candidate.offset)
    matrix = candidate(np.eye(d)) - candidate(np.zeros((1, d)))
    rounded = np.round(matrix)
    if not np.allclose(rounded, matrix, atol=1e-6):
        return "; ".join(" ".join(f"{v:.2f}" for v in row) for row in matrix)
    order = np.abs(rounded).argmax(0)
    signs = rounded[order, np.arange(d)]
    if (order == np.arange(d)).all():
        negated = [str(i) for i in range(d) if signs[i] < 0]
        return "as it is" if not negated else f"negated: {', '.join(negated)}"
    axes = ", ".join(f"{'-' if s < 0 else '+'}{i}" for i, s in zip(order, signs, strict=True))
    return f"axes in the order {axes}"


def _maps(case: Case, how: How, seed: int) -> tuple[int, list[Map]]:
    """Number of maps tried, and those of least loss, the identity always among them."""
    x = case.embedding(case.transfer)
    d = x.shape[1]
    if how == "permutations":
        if d > MOST_DIMENSIONS:
            dimensions = f"{d} dimensions, whose signed permutations are too many"
            raise SubjectError(
                case.path, dimensions, f"at most {MOST_DIMENSIONS}, pairs, or a search by the gradient"
            )
        signs = [np.diag(s) for s in product((1.0, -1.0), repeat=d)]
        tried = np.stack([sign[list(order)] for order in permutations(range(d)) for sign in signs])
        if len(tried) > MOST_TRAINED:
            plain = _losses(case, x, torch.from_numpy(tried).float(), torch.zeros(len(tried), d))
            keep = np.argsort(plain.numpy(), kind="stable")[:MOST_TRAINED]
            count, tried = len(tried), tried[np.unique([0, *keep])]
        else:
            count = len(tried)
        matrices, offsets = _moved(case, x, tried, turning=False)
    else:
        rng = np.random.default_rng([seed, 5])
        random = np.linalg.qr(rng.normal(size=(RESTARTS, d, d)))[0]
        random[1::2, 0] *= np.sign(np.linalg.det(random[1::2]))[:, None] * -1
        random[0::2, 0] *= np.sign(np.linalg.det(random[0::2]))[:, None]
        count = RESTARTS + 1
        turned, moved = _moved(case, x, random, turning=True)
        losses = _losses(case, x, torch.from_numpy(turned).float(), torch.from_numpy(moved).float())
        order = _different(turned, np.argsort(losses.numpy(), kind="stable"))[: MOST_TRAINED - 1]
        matrices = np.concatenate([np.eye(d)[None], turned[order]])
        offsets = np.concatenate([np.zeros((1, d)), moved[order]])
    return count, [Map(matrix=m, offset=b) for m, b in zip(matrices, offsets, strict=True)]


def _different(matrices: Floats, order: NDArray[np.int64]) -> list[int]:
    """Indices of the best map of each kind: two rotations within some 15° are one kind."""
    kept: list[int] = []
    for i in order:
        if all(np.linalg.norm(matrices[i] - matrices[j]) > 0.25 * len(matrices[i]) ** 0.5 for j in kept):
            kept.append(int(i))
    return kept


class _Maps(nn.Module):
    """A stack of maps x ↦ x·Q + b."""

    def __init__(self, matrices: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(matrices)
        self.offset = nn.Parameter(torch.zeros(matrices.shape[:2]))


def _moved(case: Case, x: Floats, matrices: Floats, turning: bool) -> tuple[Floats, Floats]:
    """The maps after gradient steps of offsets, with ``turning`` of rotations too, on the task's losses."""
    maps = _Maps(torch.from_numpy(matrices).float())
    if turning:
        start = maps.weight.detach().clone()
        nn.utils.parametrizations.orthogonal(maps, "weight", "matrix_exp", use_trivialization=True)
        setattr(maps, "weight", start)  # noqa: B010 (it is set through the parametrisation)
    else:
        maps.weight.requires_grad_(False)
    adam = torch.optim.Adam([p for p in maps.parameters() if p.requires_grad], lr=MAP_RATE)
    for _ in range(MAP_STEPS):
        adam.zero_grad()
        _losses(case, x, maps.weight, maps.offset).sum().backward()  # type: ignore[no-untyped-call]
        adam.step()
    return maps.weight.detach().double().numpy(), maps.offset.detach().double().numpy()


LOSSES_AT_ONCE = 1024


def _losses(case: Case, x: Floats, matrices: Tensor, offsets: Tensor) -> Tensor:
    """(S,) the task's loss of each map of the embedding, on every transition."""
    losses = []
    for part in range(0, len(matrices), LOSSES_AT_ONCE):
        some = slice(part, part + LOSSES_AT_ONCE)
        points = torch.from_numpy(x).float() @ matrices[some] + offsets[some].unsqueeze(1)
        losses.append(case.losses_at_many(points))
    return torch.cat(losses)


def _trained(
    case: Case, starts: Sequence[dict[str, Tensor]], updates: int, seed: int, progress: Callable[[int], None]
) -> list[dict[str, Tensor]]:
    """Parameters after training each start for ``updates`` without pairs, all side by side."""
    count, states = len(starts), case.states
    dimensions = len(case.transfer[f"{case.last}.bias"])
    nothing = np.zeros((count, states, dimensions))
    stack = Anchored(
        case.objective,
        starts,
        nothing,
        np.zeros((count, states), bool),
        updates,
        data_seeds=[case.data_seed] * count,
        seed=seed,
    )
    for _ in range(updates):
        stack.update()
        progress(count)
    return [stack.member(i) for i in range(count)]


def _apart(case: Case, ends: Sequence[dict[str, Tensor]], order: NDArray[np.int64]) -> list[int]:
    """Indices of the best few candidates that end in different embeddings."""
    kept: list[int] = []
    points = [case.embedding(one) for one in ends]
    for i in order:
        if all(not _same(points[i], points[j]) for j in kept):
            kept.append(int(i))
    return kept[:FINALISTS]


def _same(a: Floats, b: Floats) -> bool:
    return bool(1 - np.square(a - b).sum() / np.square(b - b.mean(0)).sum() > APART)


def _margin(
    losses: Sequence[Floats], points: Sequence[Floats], order: NDArray[np.int64], seed: int
) -> Measure:
    """Loss of the best rival that ended apart from the winner, minus the winner's, with its interval."""
    winner = int(order[0])
    rival = next((int(i) for i in order[1:] if not _same(points[i], points[winner])), None)
    if rival is None:
        return Measure.undefined("all candidates end in one embedding")
    more = losses[rival] - losses[winner]
    resampling = probes.make_groups(np.arange(len(more)), seed)
    draws = resampling.resampled(more[:, None])[:, 0] / len(more)
    return probes.interval(float(more.mean()), draws, resampling.count)
