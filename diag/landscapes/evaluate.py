"""Losses at many points of parameter space, a few points at a time, reduced to sums over groups at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from diag.landscapes.corners import Corners
from diag.landscapes.heights import Draws, barrier
from diag.landscapes.result import TOTAL, Route
from diag.landscapes.space import Space, between
from diag.sources.batches import stacked, to_device
from diag.subject import LatentObjective, Objective, Sampled, StackedObjective
from probes import Floats, make_groups
from probes._resampling import Groups, expanded_tail

if TYPE_CHECKING:
    from torch import Tensor


SPLITS = 4
"""Number of splits of the groups into halves: one half chooses where a wall is highest, the other says how
high."""


@dataclass(frozen=True)
class Evaluate:
    """Coordinates (k, …) on a route or a plane -> per-sample losses {term: (k, n)}."""

    losses: Callable[[Tensor], Mapping[str, Tensor]]
    at_once: int = 1
    """Preferred number of coordinates in one call."""

    def __call__(self, at: Tensor) -> Mapping[str, Tensor]:
        """The losses at coordinates (k, …)."""
        return self.losses(at)


Vectors: TypeAlias = Callable[["Tensor"], "Tensor"]
"""Coordinates (k, …) -> vectors (k, P) of a space."""


@dataclass(frozen=True)
class Data:
    """The batch that losses are taken on at every point, and how it is resampled."""

    batch: Any
    groups: Groups
    parts: NDArray[np.bool_]
    """(SPLITS, groups) whether a group is in the first half of each split."""
    n: int

    @classmethod
    def of(cls, sampled: Sampled, seed: int, device: str = "cpu") -> Data:
        """Sampled data, moved to the device."""
        groups = make_groups(sampled.groups, seed)
        rng = np.random.default_rng([seed, 2])
        parts = np.stack([rng.permutation(groups.count) % 2 == 0 for _ in range(SPLITS)])
        return cls(to_device(sampled.batch, device), groups, parts, len(sampled.groups))

    def draws(self, sums: Mapping[str, Floats], weights: Mapping[str, float]) -> Draws:
        """Resampled means of the total and each term from sums over groups {term: (k, groups)}."""
        sizes = self.groups.sums(np.ones((self.n, 1)))

        def resampled(part: NDArray[np.bool_]) -> dict[str, Floats]:
            often = self.groups.weights[:, part]
            with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
                curves = {t: often @ sums[t][:, part].T / (often @ sizes[part]) for t in weights}
                return with_total(curves, weights)

        whole = resampled(np.ones(self.groups.count, bool))
        halves = [(resampled(part), resampled(~part)) for part in self.parts]
        return Draws(
            whole,
            {c: np.stack([[one[c], other[c]] for one, other in halves]) for c in whole},
            self.groups.count,
        )


@contextmanager
def differentiable(device: str) -> Iterator[None]:
    """Run without the kernels that have no gradients, or no second ones.

    Fused attention has no second derivative, and the fast path of transformers, which is taken where no
    gradient is asked for, gives other numbers than the way that has one. On CUDA recurrent layers know no
    gradients in evaluation mode.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            if torch.device(device).type != "cuda":
                yield
                return
            with torch.backends.cudnn.flags(enabled=False):
                yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@contextmanager
def left_out(missing: dict[str, str], part: str) -> Iterator[None]:
    """Leave out a part that torch cannot differentiate, or not in float32; ``missing`` gets the reason."""
    try:
        yield
    except RuntimeError as error:
        missing[part] = f"torch says: {str(error).strip().partition(chr(10))[0]}"


def on_route(
    objective: Objective, space: Space, path: Vectors, batch: Any, corners: Corners | None = None
) -> Evaluate:
    """The losses of a batch at coordinates of ``path``; one coordinate alone is evaluated as it stands.

    With ``corners``, the checkpoints have their own state and other points that of the nearest.
    """

    many = objective if isinstance(objective, StackedObjective) else None

    def along(at: Tensor, space: Space) -> dict[str, Tensor]:
        vectors = path(at)
        if len(vectors) > 1 and many is not None:
            return many.losses_many(space.many(vectors), batch)
        return stacked([objective.losses(space.one(vector), batch) for vector in vectors])

    def losses(at: Tensor) -> Mapping[str, Tensor]:
        if corners is None:
            return along(at, space)
        parts = [
            along(at[rows], one) if own is None else stacked([objective.losses(own, batch)])
            for rows, one, own in corners.parts(at)
        ]
        return parts[0] if len(parts) == 1 else {t: torch.cat([p[t] for p in parts]) for t in parts[0]}

    return Evaluate(losses, 1 if many is None else many.at_once)


def between_embeddings(
    objective: LatentObjective, space: Space, path: Vectors, batch: Any
) -> tuple[Evaluate, float]:
    """The losses along the straight line between the embeddings at the path's two ends, and its length.

    Parameters other than the encoder's go along ``path``; where they are frozen they stay as they are.
    """
    ends = [space.one(v) for v in path(torch.tensor([0.0, 1.0]))]
    a, b = (objective.embeddings(parameters, batch) for parameters in ends)

    def losses(at: Tensor) -> Mapping[str, Tensor]:
        return stacked(
            [
                objective.losses_at(space.one(vector), between(a, b, t.to(a)), batch)
                for t, vector in zip(at, path(at), strict=True)
            ]
        )

    return Evaluate(losses), float((a.double() - b.double()).norm())


@dataclass(frozen=True)
class Taken:
    """Losses at k points: their means {term: (k,)} and their sums over groups {term: (k, groups)}."""

    means: Mapping[str, Floats]
    sums: Mapping[str, Floats]
    per_sample: Mapping[str, Floats] | None
    """{term: (k, n)}, where they were asked for."""


def take(
    evaluate: Evaluate,
    at: Floats,
    data: Data,
    *,
    keep: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> Taken:
    """Losses at coordinates ``at`` (k, …); the ends of a route are taken one by one, so that they are exact.

    ``progress`` is called with the number of points done since the last call.
    """
    means: dict[str, list[Floats]] = {}
    sums: dict[str, list[Floats]] = {}
    kept: dict[str, list[Floats]] = {}
    for start, stop in _chunks(at, evaluate.at_once):
        with torch.inference_mode():
            losses = evaluate(torch.from_numpy(at[start:stop]))
        for term, values in losses.items():
            rows = values.double().cpu().numpy()
            means.setdefault(term, []).append(rows.mean(1))
            sums.setdefault(term, []).append(data.groups.sums(np.ascontiguousarray(rows.T)).T)
            if keep:
                kept.setdefault(term, []).append(rows)
        progress(stop - start)
    return Taken(
        {term: np.concatenate(parts) for term, parts in means.items()},
        {term: np.concatenate(parts) for term, parts in sums.items()},
        {term: np.concatenate(parts) for term, parts in kept.items()} if keep else None,
    )


def _chunks(at: Floats, most: int) -> list[tuple[int, int]]:
    """Ranges of at most ``most`` coordinates; 0 and 1 of a route stand alone."""
    alone = at.ndim == 1
    chunks, start = [], 0
    while start < len(at):
        stop = start + 1
        if not (alone and at[start] in (0.0, 1.0)):
            while stop < len(at) and stop - start < most and not (alone and at[stop] in (0.0, 1.0)):
                stop += 1
        chunks.append((start, stop))
        start = stop
    return chunks


def with_total(curves: Mapping[str, Floats], weights: Mapping[str, float]) -> dict[str, Floats]:
    """The weighted ``total`` of the terms, and each term, by name."""
    total = sum((w * curves[term] for term, w in weights.items()), np.zeros(()))
    return {TOTAL: np.asarray(total), **{term: curves[term] for term in weights}}


def route(t: Floats, taken: Taken, weights: Mapping[str, float], data: Data, length: float) -> Route:
    """Curves, bands and heights of a route from the losses taken at t (k,)."""
    values = with_total(taken.means, weights)
    draws = data.draws(taken.sums, weights)
    tail = expanded_tail(data.groups.count)
    with np.errstate(invalid="ignore"):
        ends = {curve: np.quantile(d, [tail, 1 - tail], axis=0) for curve, d in draws.whole.items()}
    return Route(
        t=t,
        losses=values,
        low={curve: e[0] for curve, e in ends.items()},
        high={curve: e[1] for curve, e in ends.items()},
        barrier=barrier(t, values, draws),
        length=length,
        gaps=int((~np.isfinite(values[TOTAL])).sum()),
        per_sample=taken.per_sample,
    )


def total_of(objective: Objective, space: Space, batch: Any) -> Callable[[Tensor], Tensor]:
    """The weighted total, averaged over the batch, as a differentiable function of a vector (P,)."""

    def loss(vector: Tensor) -> Tensor:
        values = objective.losses(space.one(vector), batch)
        return torch.stack([w * values[term].mean() for term, w in objective.terms.items()]).sum()

    return loss


def totals_of(objective: Objective, space: Space, batch: Any) -> Callable[[Tensor], Tensor]:
    """The weighted total, averaged over the batch, as a differentiable function of vectors (k, P): (k,)."""

    def losses(vectors: Tensor) -> Tensor:
        values = on_route(objective, space, lambda v: v, batch)(vectors)
        return torch.stack([w * values[term].mean(1) for term, w in objective.terms.items()]).sum(0)

    return losses
