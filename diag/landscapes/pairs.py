"""landscape_pairs: the walls between every two of several checkpoints.

Each checkpoint is opened once, its own losses are taken once, and its hidden units are looked at once; what
is left for each pair are the points between the two. One straight line gives the heights from either end.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from diag.landscapes import LandscapeError, basins
from diag.landscapes.corners import Corners, on_line
from diag.landscapes.evaluate import Data, Evaluate, Taken, on_route, take, with_total
from diag.landscapes.heights import Draws, barrier
from diag.landscapes.landscape import POINTS, check_numbers, told_of
from diag.landscapes.pairs_result import CheckpointPair, Crossing, LandscapePairs
from diag.landscapes.result import TOTAL, RouteName
from diag.landscapes.routes import SAME_FUNCTION, check_finite, copies, units_in
from diag.landscapes.sheets import STEPS
from diag.landscapes.space import Straight
from diag.landscapes.state import notes_of
from diag.landscapes.system import System, distance, gaps, system_of
from diag.landscapes.verdict import NOTHING
from diag.result import FileRef
from diag.sources import Source
from diag.sources.batches import stacked
from diag.sources.supplied import NOTHING as NO_MORE
from diag.sources.supplied import Supplied
from diag.subject import SAMPLES, Layered
from diag.units.symmetry import SymmetryError, Units
from diag.wording import listed
from probes import Floats, Measure
from probes._resampling import expanded_tail
from trainers.threads import one_thread

if TYPE_CHECKING:
    from torch import Tensor

    from diag.subject import Parameters

LEAST, MOST = 2, len(string.ascii_uppercase)
"""Fewest and most checkpoints: each has a letter, and a matrix of more could not be read."""


@one_thread()
def landscape_pairs(
    checkpoints: Sequence[Source],
    *,
    move: Sequence[str] | None = None,
    task: str | None = None,
    points: int = POINTS,
    samples: int = SAMPLES,
    device: str | None = None,
    supplied: Supplied = NO_MORE,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> LandscapePairs:
    """Heights of the walls between every two of 2 to 26 checkpoints of one system, and who shares a basin.

    For each pair the straight line between the weights, and where hidden units are known the lines to the
    second checkpoint's two copies with units matched to the first's, as in
    :func:`diag.landscapes.landscape.landscape`, with its intervals. Samples are the same everywhere.

    Args:
        checkpoints: Files or subjects.
        move: Components that move; by default those that differ between any two.
        task: The task, ``source`` or ``target``, on whose data losses are taken; that of the checkpoints if
            None, the target task where they have several.
        points: Points from one checkpoint to another, both ends among them.
        samples: Transitions, at least 124.
        device: Where losses are taken; where the parameters are if None.
        supplied: What files of weights alone do not say.
        seed: Seed of samples and resamples.
        progress: Called with the points done, and the points in all.

    Raises:
        SubjectError, CheckpointError: files that are no checkpoints of one system, or one file twice.
        LandscapeError: bad numbers, fewer than 2 checkpoints or more than 26.
    """
    check_numbers(points, samples, STEPS, 0.0)
    if not LEAST <= len(checkpoints) <= MOST:
        raise LandscapeError(f"found {len(checkpoints)} checkpoints, expected {LEAST} to {MOST}")
    system, warnings = _on_one_task(system_of(checkpoints, move, task, device, supplied), task)
    data = system.data(system.headline, samples, seed)
    system = system.steady(data, seed)
    told = told_of(system, data.batch)
    lines = _Lines(system, data, np.linspace(0.0, 1.0, points), progress)
    pairs = lines.all()
    count = len(system.subjects)
    straight, matched = basins.by_straight_lines(count, pairs), basins.by_all_ways(count, pairs)
    names = tuple(string.ascii_uppercase[:count])
    lost = sum(pair.ways["raw"].gaps for pair in pairs)
    return LandscapePairs(
        checkpoints=tuple(FileRef.of(s) for s in system.subjects),
        names=names,
        losses=tuple(end.loss for end in lines.ends),
        verdict=basins.verdict_of(names, pairs, straight, matched, system.headline),
        straight=straight,
        matched=matched,
        pairs=pairs,
        task=system.headline,
        weights=dict(system.objective.terms),
        moved=system.moved,
        pinned=system.pinned,
        samples=data.n,
        points=points,
        evaluations=lines.evaluations,
        seed=seed,
        warnings=(
            *system.warnings,
            *told,
            *warnings,
            *lines.warnings,
            *gaps({system.headline: (lost, points * len(pairs))}),
        ),
        notes=(*system.read_as, *notes_of(system.fresh, system.objective)),
    )


def _on_one_task(system: System, task: str | None) -> tuple[System, list[str]]:
    """The system with the losses of one task, and a warning where its checkpoints come from several."""
    seen = {one.task or system.headline for one in system.subjects}
    headline, words = system.headline, list[str]()
    if task is None and len(seen) > 1:
        headline = "target" if "target" in system.names else system.names[0]
        others = [
            n for n, s in zip(string.ascii_uppercase, system.subjects, strict=False) if s.task != headline
        ]
        verb = "was" if len(others) == 1 else "were"
        words.append(
            f"{listed(others)} {verb} trained on another task than the {headline} task, on which losses are "
            "taken (--task chooses)"
        )
    return replace(system, headline=headline, names=(headline,), encoder=None), words


@dataclass(frozen=True)
class _End:
    """What is measured of one checkpoint, once."""

    whole: Parameters
    """All of its parameters and state."""
    taken: Taken
    loss: Measure
    seen: Mapping[str, Tensor]
    """What its hidden units do on the samples, where that can be seen."""


class _Lines:
    """The ways between every two checkpoints of a system."""

    def __init__(self, system: System, data: Data, t: Floats, progress: Callable[[int, int], None]) -> None:
        self.system, self.data, self.t = system, data, t
        self.warnings: list[str] = []
        self.evaluations = 0
        self._units: tuple[Units, ...] = ()
        count = len(system.subjects)
        layered = isinstance(system.objective, Layered)
        if isinstance(system.objective, Layered):
            self._units = units_in(system.objective, system.space)
        ways = 3 if layered and self._units else 1
        self._of = count + count * (count - 1) // 2 * ways * (len(t) - 1)
        self._progress, self._done = progress, 0
        self.ends = [self._end(i) for i in range(count)]

    def all(self) -> tuple[CheckpointPair, ...]:
        """Every pair, in order."""
        count = len(self.ends)
        pairs = tuple(self._pair(i, j) for i in range(count) for j in range(i + 1, count))
        self._progress(self._of, self._of)
        return pairs

    def _step(self, count: int) -> None:
        self.evaluations += count
        self._told(count)

    def _told(self, count: int) -> None:
        self._done = min(self._done + count, self._of)
        self._progress(self._done, self._of)

    def _end(self, index: int) -> _End:
        """A checkpoint's own losses, and what its hidden units do."""
        system, batch = self.system, self.data.batch
        own = system.own[index]
        evaluate = Evaluate(lambda at: stacked([system.objective.losses(own, batch)]))
        taken = take(evaluate, np.zeros(1), self.data, progress=self._step)
        whole = {**own, **system.spaces[index].fixed}
        seen: Mapping[str, Tensor] = {}
        if self._units and isinstance(system.objective, Layered):
            try:
                check_finite(system.space, own)
                with torch.inference_mode():
                    seen = system.objective.activations(whole, batch)
            except SymmetryError as error:
                path = system.subjects[index].path
                self.warnings.append(f"hidden units of {path} were not matched: {error}")
                return _End(whole, taken, self._loss(taken), {})
        return _End(whole, taken, self._loss(taken), seen)

    def _total(self, taken: Taken) -> tuple[Floats, Draws]:
        """The total loss (points,) and its resamples; terms by themselves are left to landscapes of two."""
        weights = self.system.objective.terms
        total = {term: w * taken.sums[term] for term, w in weights.items()}
        draws = self.data.draws({TOTAL: sum(total.values(), np.zeros(()))}, {TOTAL: 1.0})
        return with_total(taken.means, weights)[TOTAL], draws

    def _loss(self, taken: Taken) -> Measure:
        """The total at one point, with its interval."""
        losses, draws = self._total(taken)
        value = float(losses[0])
        if not np.isfinite(value):
            return Measure.undefined("the loss is not finite")
        tail = expanded_tail(self.data.groups.count)
        low, high = np.quantile(draws.whole[TOTAL][:, 0], [tail, 1 - tail])
        return Measure(value, min(value, float(low)), max(value, float(high)))

    def _pair(self, i: int, j: int) -> CheckpointPair:
        system, t = self.system, self.t
        straight = Straight(system.vectors[i], system.vectors[j])
        spaces = system.spaces[i], system.spaces[j]
        corners = on_line(spaces, (system.own[i], system.own[j]))
        inside = self._taken(straight, corners, t[1:-1])
        raw = self._crossing(straight, _joined([self.ends[i].taken, inside, self.ends[j].taken]))
        ways: dict[RouteName, Crossing] = {"raw": raw}
        to_a_copy = on_line(spaces, (system.own[i], None))
        for name, vector in self._copies(i, j).items():
            if torch.equal(vector, system.vectors[j]):  # B is that copy
                ways[name] = raw
                self._told(len(t) - 1)
                continue
            path = Straight(system.vectors[i], vector)
            beyond = self._taken(path, to_a_copy, t[1:])
            way = self._crossing(path, _joined([self.ends[i].taken, beyond]), raw.losses)
            own, copy = raw.losses[-1], way.losses[-1]
            # A loss near 0 is only as exact as the rounding of the larger losses around it.
            room = SAME_FUNCTION * abs(own) + NOTHING * float(np.nanmax(np.abs(raw.losses)))
            if not abs(own - copy) <= room:
                paths = (system.subjects[k].path for k in (j, i))
                self.warnings.append(
                    f"the {name} copy of {next(paths)} beside {next(paths)} has a loss of {copy:.4g}, the "
                    f"checkpoint itself {own:.4g}: the description of its hidden units is wrong"
                )
                continue
            ways[name] = way
        return CheckpointPair(i, j, ways)

    def _copies(self, i: int, j: int) -> dict[RouteName, Tensor]:
        """The vectors of the second checkpoint's copies whose hidden units are matched to the first's."""
        one, two = self.ends[i], self.ends[j]
        if not self._units or bool(one.seen) != bool(two.seen):
            return {}
        try:
            made = copies(self._units, self.system.space, (one.whole, two.whole), (one.seen, two.seen))
        except SymmetryError as error:
            self.warnings.append(f"hidden units were not matched: {error}")
            return {}
        return {name: self.system.space.pack(copy) for name, copy in made.items()}

    def _taken(self, path: Straight, corners: Corners, t: Floats) -> Taken:
        system = self.system
        evaluate = on_route(system.objective, system.space, path, self.data.batch, corners)
        return take(evaluate, t, self.data, progress=self._step)

    def _crossing(self, path: Straight, taken: Taken, straight: Floats | None = None) -> Crossing:
        """The losses and the heights, from both ends, of losses taken at every t of a way.

        ``straight`` are those of the straight line, where the way is another.
        """
        t, data = self.t, self.data
        losses, draws = self._total(taken)
        tail = expanded_tail(data.groups.count)
        with np.errstate(invalid="ignore"):
            low, high = np.quantile(draws.whole[TOTAL], [tail, 1 - tail], axis=0)
        there = barrier(t, {TOTAL: losses}, draws)
        turned = Draws(
            {TOTAL: draws.whole[TOTAL][:, ::-1]}, {TOTAL: draws.halves[TOTAL][..., ::-1]}, draws.groups
        )
        way = Crossing(
            t=t,
            losses=losses,
            low=low,
            high=high,
            there=there["escape"],
            back=barrier(t, {TOTAL: losses[::-1]}, turned, ["escape"])["escape"],
            frankle=there["frankle"],
            entezari=there["entezari"],
            length=distance(path.a, path.b),
            gaps=int((~np.isfinite(losses)).sum()),
            between="open",
        )
        largest = way.losses if straight is None else straight
        return replace(way, between=basins.between(way.wall, way.losses, largest))


def _joined(parts: Sequence[Taken]) -> Taken:
    """Losses of several stretches of a way as those of the whole."""

    def put(of: Callable[[Taken], Mapping[str, Any]]) -> dict[str, Floats]:
        return {term: np.concatenate([of(part)[term] for part in parts]) for term in of(parts[0])}

    return Taken(put(lambda one: one.means), put(lambda one: one.sums), None)
