"""The state of checkpoints beside the weights that move, and its values between two checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

import torch

from diag.landscapes.place import COUNTS
from diag.landscapes.space import Space
from diag.repeatable import HeldObjective
from diag.sources.batches import stacked
from diag.subject import Stateful, SubjectError

if TYPE_CHECKING:
    from torch import Tensor

    from diag.subject import Follows, Objective, Parameters, Subject

SHOWN = 3
"""Most names in a sentence; further ones are counted."""

AGREES = 1e-4
"""Largest difference of B's losses by A's network from those by B's own, as a share of their mean size: a
hundred times what float32 rounds."""


@dataclass(frozen=True)
class State:
    """The checkpoints' state, sorted by how it is obtained between them; ``spaces`` and ``own``: one each."""

    spaces: tuple[Space, ...]
    own: tuple[Parameters, ...]
    fresh: tuple[Follows, ...]
    uneven: tuple[str, ...]


def follows_in(objective: Objective) -> tuple[Follows, ...]:
    """The objective's state that follows from parameters."""
    return objective.follows if isinstance(objective, Stateful) else ()


def state_names(objective: Objective) -> set[str]:
    """Names of the objective's tensors that are not free weights."""
    names = {n for f in follows_in(objective) for n in f.names}
    return names | (set(objective.discrete) if isinstance(objective, Stateful) else set())


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers; NaN is the same as NaN."""
    if one.is_floating_point():
        return one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())
    return torch.equal(one, other)


def offsets_along(sets: Sequence[Parameters], objective: Objective) -> set[str]:
    """Names of the offsets of checkpoints' own derived state from that computed afresh, where they move.

    Batch statistics that are equal in all checkpoints were not tracked: they are constants.
    """
    return {
        n
        for f in follows_in(objective)
        if _differs(sets, f.names) or (f.of and _differs(sets, f.offsets))
        for n in f.offsets
    }


def _differs(sets: Sequence[Parameters], names: Sequence[str]) -> bool:
    return any(not same(sets[0][n], s[n]) for n in names for s in sets[1:])


def state_of(
    sets: Sequence[Parameters],
    moving: Sequence[str],
    chosen: Callable[[str], bool] | None,
    objective: Objective,
) -> State:
    """Sort the state of checkpoints between which ``moving`` moves.

    ``chosen`` tells whether a tensor goes along at all: others are held at A's values. All are where it is
    None. What follows from parameters is computed afresh where they move, or where it differs.
    """
    first, moves = sets[0], set(moving)
    goes = chosen or (lambda name: True)
    fresh = tuple(
        f for f in follows_in(objective) if goes(f.names[0]) and (moves & {*f.of} or _differs(sets, f.names))
    )
    dropped = {n for f in fresh for n in f.names}
    still = [n for n in first if n not in moves and n not in dropped]
    names = state_names(objective)
    apart = [n for n in still if (n in names or not first[n].is_floating_point()) and goes(n)]
    uneven = tuple(n for n in apart if _differs(sets, [n]))
    base = Space.of({n: t for n, t in first.items() if n not in dropped}, list(moving))
    spaces = tuple(replace(base, fixed={**base.fixed, **{n: s[n] for n in uneven}}) for s in sets)
    own = tuple({n: (t if goes(n) or n in moves else first[n]) for n, t in s.items()} for s in sets)
    return State(spaces, own, fresh, uneven)


def matters(
    objective: Objective, own: Parameters, other: Parameters, names: Sequence[str], batch: Any
) -> bool:
    """Whether a checkpoint's losses change when its tensors of these names are replaced by another's."""
    with torch.inference_mode():
        one = objective.losses(own, batch)
        two = objective.losses({**own, **{n: other[n] for n in names}}, batch)
    return any(not same(one[term], two[term]) for term in one)


def check_own(objective: Objective, own: Parameters, subject: Subject, first: str, batch: Any) -> None:
    """Raise SubjectError where a checkpoint's losses by A's network are not those by its own.

    Then the two differ in something that is neither a parameter nor a buffer, and B's curve would be another
    network's.
    """
    theirs = subject.objective
    if theirs is None or theirs is objective or not isinstance(objective, Stateful):
        return
    if isinstance(theirs, HeldObjective) and isinstance(objective, HeldObjective):
        theirs = theirs.at_seed(objective.chance.seed)  # both draw the same
    with torch.inference_mode():
        by_ours, by_theirs = objective.losses(own, batch), theirs.losses(own, batch)
        for term, values in by_theirs.items():
            one, two = by_ours[term].double(), values.double()
            near = (one - two).abs() <= AGREES * two[two.isfinite()].abs().sum() / max(1, len(two))
            if bool((near | (one == two) | (one.isnan() & two.isnan())).all()):
                continue
            raise SubjectError(
                subject.path,
                f"{term!r} of {float(two.mean()):.4g} by its own module and {float(one.mean()):.4g} by that "
                f"of {first}, given the same parameters and buffers",
                "modules that differ in nothing else: register_buffer(…) for tensors and numbers that differ",
            )


def in_short(names: Sequence[str]) -> str:
    """Names in a sentence, such as ``a, b, c and 4 more``."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def notes_of(fresh: Sequence[Follows], objective: Objective) -> list[str]:
    """Sentences on the state computed afresh between the checkpoints, and on the precision of the losses."""
    words = []
    spectral = [f.where for f in fresh if f.what == "spectral norm"]
    if spectral:
        words.append(
            f"Spectral norm of {in_short(spectral)}: the largest singular value is computed afresh from the "
            "weight at every point, times the ratio to it of what each checkpoint's own stored vectors give, "
            "so that both checkpoints have their own."
        )
    averages = [f.where for f in fresh if f.what == "batch statistics"]
    if averages:
        words.append(
            f"Batch statistics of {in_short(averages)}: re-estimated on the given samples at every point, "
            "and shifted by the difference between each checkpoint's own averages and those of its samples, "
            "so that both checkpoints have their own."
        )
    if isinstance(objective, Stateful) and objective.half:
        words.append(
            f"Precision: the network holds {' and '.join(objective.half)}; losses are computed in it, as the "
            "network does. The way between the checkpoints, gradients, curvature and the curve are computed "
            "in float32 from the same weights."
        )
    return words


def uneven_in_words(names: Sequence[str]) -> str:
    """A warning about state that jumps halfway between the checkpoints."""
    verb = "differs" if len(names) == 1 else "differ"
    return (
        f"{in_short(names)} {verb} between the checkpoints and cannot be interpolated: each point takes the "
        "nearest checkpoint's, so that the losses jump halfway"
    )


def jumps(
    objective: Objective,
    spaces: Sequence[Space],
    vectors: Sequence[Tensor],
    own: Sequence[Parameters],
    batch: Any,
    weights: Mapping[str, float],
) -> list[str]:
    """Warnings about checkpoints whose own losses differ from those with state computed afresh."""
    words = []
    for name, space, vector, held in zip(ascii_uppercase, spaces, vectors, own, strict=False):
        with torch.inference_mode():
            losses = stacked([objective.losses(held, batch), objective.losses(space.one(vector), batch)])
        stored, afresh = sum(w * losses[t].double().mean(1) for t, w in weights.items()).tolist()  # type: ignore[union-attr]
        if abs(stored - afresh) > COUNTS * abs(stored):
            words.append(
                f"{name}'s own loss is {stored:.4g}, and {afresh:.4g} with its spectral norms computed "
                "afresh: the vectors that it stores are no singular vectors, and the curve jumps there"
            )
    return words
