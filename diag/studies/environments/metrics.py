r"""The environment metrics of a study of agents that act: ``diag environment-metrics``.

Dean, Toyama and Precup (*Don't Freeze Your Embedding*, section 4.1.2, table 1) compare "episode rewards from
5 points: 1) trained from scratch on target flavor […], 2) random policy, 3) pretrain then freeze the
embedding, 4) pretrain then freeze the head, and 5) pretrain then update everything", and show 2 to 5 "all
normalized by 1)". For a plan p in a look, with G the mean return of an episode of the target task,

    metric(p) = mean over runs of G(p) / mean over seeds of G(from scratch),

both at the end of the same budget of target frames. Random says how hard a look is, update-all how similar
it is to the source, the two freezes in which way (ibid.). Where rewards are positive and negative, the paper
does not normalise and gives the mean returns themselves (table 2, section 4.2.2): ratios are undefined here,
too, for a look in which any mean return is negative or from-scratch's interval reaches down to 0, and always
where the world names a share that its returns stand for (:class:`trainers.system.Share`). The share has a
true zero, and its ratios are given. No other shift is made.

Both are also taken of the mean return over the whole budget (the area under the curve of training returns),
which the paper shows as curves only. A random agent's return is known from thousands of episodes and counts
as exact. Intervals: :mod:`diag.studies.environments.bootstrap`.

Frames to a level, which the paper lacks: the level is nine tenths of the way from a random agent's return to
from-scratch's own last one, unless a threshold is given. There is none where from-scratch's last return is
not surely above a random agent's, or its gain is below a tenth of the best plan's. Runs that never reach it
count with their budget, and are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from diag.studies import StudyError
from diag.studies.environments.asked import asked
from diag.studies.environments.bootstrap import Units, combined, mean, of_one
from diag.studies.environments.gathered import RUN, Gathered, LookFacts, gathered
from diag.studies.environments.reaching import Run
from diag.studies.environments.result import (
    RANDOM,
    SCRATCH,
    WAYS,
    Earned,
    Entry,
    EnvironmentMetrics,
    Level,
    LookMetrics,
    Reached,
    Way,
)
from probes import Floats, Measure

REACHED = 0.9
"""Share of the way from a random agent's return to from-scratch's last one that makes the level. At the last
one itself, noise would keep half of from-scratch's own runs below their mean."""

LEARNED = 0.1
"""Share of the best plan's gain over a random agent below which from-scratch has learned next to nothing in
its budget: every run of a plan passes such a level at once, and its frames say nothing."""

MOST_POINTS = 60
"""Points of a curve that are drawn."""

NO_SCRATCH = "no run from scratch with these settings"
SIGN = "returns are negative for some: a ratio of them says nothing"
NO_ZERO = "a return of 0 does not mean that nothing was achieved: see the share"
NEAR_ZERO = "from scratch earns nothing that is surely above 0"
NO_CURVES = "no curves: the checkpoints of the study are not there"


def environment_metrics(folder: str | Path, *, threshold: float | None = None) -> EnvironmentMetrics:
    """The environment metrics of the study in a folder of ``diag study run``, finished or not.

    ``threshold`` is the mean return whose frames are counted, in place of from-scratch's own level. Raises
    :class:`diag.studies.StudyError` for a folder without a study, without scores, without a run from
    scratch, or of a system that does not say what a random agent earns.
    """
    root = Path(folder)
    try:
        return metrics_of(gathered(root), threshold)
    except StudyError as error:
        words = str(error)
        raise StudyError(words if words.startswith(str(root)) else f"{root}: {words}") from None


def metrics_of(found: Gathered, threshold: float | None = None) -> EnvironmentMetrics:
    """The metrics of gathered runs; raises :class:`diag.studies.StudyError` as above."""
    if threshold is not None and not np.isfinite(threshold):
        raise StudyError(f"found a threshold of {threshold}, expected a mean return")
    runs = _with_curves(found)
    if not np.isfinite(runs["score"]).any():
        raise StudyError("found no scores, expected a study of a system that acts and so earns returns")
    if not runs["fresh"].any():
        raise StudyError(
            'found no run from scratch to normalise by; add a variant with plans = ["from-scratch"] and the '
            "same settings to the study, and run it again into the same folder"
        )
    if all(look.random is None for look in found.looks):
        raise StudyError(
            "found no score of a random agent, expected one from the system (`standards` in "
            "trainers/system.py, with random=True)"
        )
    looks = [look for look in found.looks if (runs["look"] == look.name).any()]
    metrics = tuple(
        _look(look, found.plans, pd.DataFrame(runs[runs["look"] == look.name]), threshold) for look in looks
    )
    kept = pd.DataFrame(runs[~runs["fresh"]])
    answers = {way: asked(kept, _COLUMN[way]) for way in WAYS}
    shares = {look.share.name for look in looks if look.share is not None}
    return EnvironmentMetrics(
        found.study,
        metrics,
        _drawn(found, runs),
        {way: answer for way, answer in answers.items() if answer is not None},
        shares.pop() if len(shares) == 1 else "",
        "updates" if any(look.frames_of_update is None for look in looks) else "frames",
        found.missing,
    )


_COLUMN: Mapping[Way, str] = {"end": "score", "area": "area"}


def _with_curves(found: Gathered) -> pd.DataFrame:
    """The runs with ``area`` and ``curve`` (None for none); runs from scratch once each, for all bases."""
    looks = {look.name: look for look in found.looks}
    curves: dict[tuple[Any, ...], Run] = {}
    for key, points in found.curves.groupby(list(RUN)):
        ordered = points.sort_values("step")
        step, score = ordered["step"].to_numpy(float), ordered["score"].to_numpy(float)
        curves[key] = Run(step, score, float(looks[str(key[0])].updates))
    keys = [*found.runs[list(RUN)].itertuples(index=False, name=None)]
    own: list[Any] = [curves.get(key) for key in keys]
    units: list[Any] = [(base, seed) for _, _, base, seed in keys]
    areas = [np.nan if curve is None else curve.area() for curve in own]
    runs = found.runs.assign(curve=own, area=areas, unit=units)
    fresh = runs["fresh"].to_numpy(bool)
    again = runs[fresh].duplicated(["look", "plan", "seed"]).reindex(runs.index, fill_value=False)
    return pd.DataFrame(runs[~again])


@dataclass(frozen=True, eq=False)
class _Part:
    """The runs of one plan in one look, in the units that are resampled."""

    rows: pd.DataFrame
    units: Sequence[object]

    @classmethod
    def of(cls, rows: pd.DataFrame) -> _Part:
        """Whole bases where there are several and something of them was kept, else single runs."""
        several = rows["base_seed"].nunique() > 1 and not rows["fresh"].any()
        return cls(rows, rows["base_seed" if several else "unit"].tolist())

    def column(self, name: str) -> Units:
        return Units.of(self.rows[name].astype(float).tolist(), self.units)

    def curves(self, number: Callable[[Run], float]) -> Units:
        """A number of each run that has a curve."""
        values = [np.nan if curve is None else number(curve) for curve in self.rows["curve"]]
        return Units.of(values, self.units)


def _look(look: LookFacts, plans: Sequence[str], runs: pd.DataFrame, threshold: float | None) -> LookMetrics:
    kept = runs[~runs["fresh"]]
    parts = {plan: _Part.of(mine) for plan in plans if len(mine := kept[kept["plan"] == plan])}
    scratch = _Part.of(runs[runs["fresh"]])
    level = _level(look, scratch, parts, threshold)
    everyone = [*parts.values(), scratch]
    signed = {
        way: any(part.column(_COLUMN[way]).mean < 0 for part in everyone) or (look.random or 0.0) < 0
        for way in WAYS
    }
    entries = []
    if look.random is not None:
        earned = {way: _at_random(look, scratch.column(_COLUMN[way]), signed[way]) for way in WAYS}
        entries.append(Entry(RANDOM, 0, 0, earned, None, {}, Measure.undefined("it has no embedding")))
    for plan, part in [*parts.items(), (SCRATCH, scratch)]:
        if not len(part.rows):
            continue
        earned = {
            way: _earned(look, part.column(_COLUMN[way]), scratch.column(_COLUMN[way]), signed[way], plan)
            for way in WAYS
        }
        rows = part.rows
        entries.append(
            Entry(
                plan,
                len(rows),
                0 if plan == SCRATCH else rows["base_seed"].nunique(),
                earned,
                _reached(look, level, part, scratch),
                _relations(rows),
                mean(part.column("cka")),
            )
        )
    return LookMetrics(look.name, look.updates * _frames(look), level, tuple(entries))


def _frames(look: LookFacts) -> int:
    return look.frames_of_update or 1


def _relations(rows: pd.DataFrame) -> dict[str, int]:
    names = [
        (relation if isinstance(relation, str) else "undecided") if finite else "not finite"
        for relation, finite in zip(rows["relation"], rows["finite"], strict=True)
    ]
    return {name: names.count(name) for name in dict.fromkeys(sorted(names))}


def _over(one: Floats, other: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(other > 0, one / other, np.nan)


def _refused(look: LookFacts, scratch: Units, signed: bool) -> str:
    """Why ratios of returns say nothing; empty where they do."""
    if not len(scratch):
        return NO_SCRATCH
    if look.share is not None:
        return NO_ZERO
    return SIGN if signed else _near_zero(mean(scratch))


def _near_zero(scratch: Measure) -> str:
    least = scratch.value if scratch.low is None else scratch.low
    return NEAR_ZERO if least is None or least <= 0 else ""


def _earned(look: LookFacts, units: Units, scratch: Units, signed: bool, plan: str) -> Earned:
    def over(one: Units, other: Units, reason: str) -> Measure:
        if reason:
            return Measure.undefined(reason)
        return Measure(1.0) if plan == SCRATCH else combined(_over, one, other, "no run has it")

    ratio = over(units, scratch, _refused(look, scratch, signed))
    if look.share is None:
        return Earned(mean(units), ratio)
    of = look.share.of
    shares, of_scratch = _shares(units, of), _shares(scratch, of)
    why = NO_SCRATCH if not len(scratch) else _near_zero(mean(of_scratch))
    return Earned(mean(units), ratio, mean(shares), over(shares, of_scratch, why))


def _shares(units: Units, of: Callable[[float], float]) -> Units:
    return Units(tuple(np.array([of(float(v)) for v in values]) for values in units.values))


def _at_random(look: LookFacts, scratch: Units, signed: bool) -> Earned:
    """A random agent's return, known exactly, over from-scratch's."""
    assert look.random is not None
    score = look.random

    def over(known: float, units: Units, reason: str) -> Measure:
        if reason:
            return Measure.undefined(reason)
        return of_one(lambda m: _over(np.full_like(m, known), m), units, NO_SCRATCH)

    ratio = over(score, scratch, _refused(look, scratch, signed))
    if look.share is None:
        return Earned(Measure(score), ratio)
    share, of_scratch = look.share.of(score), _shares(scratch, look.share.of)
    why = NO_SCRATCH if not len(scratch) else _near_zero(mean(of_scratch))
    return Earned(Measure(score), ratio, Measure(share), over(share, of_scratch, why))


def _level(look: LookFacts, scratch: _Part, parts: Mapping[str, _Part], threshold: float | None) -> Level:
    if threshold is not None:
        return Level(threshold, "the threshold that was asked for")
    if not len(scratch.rows):
        return Level(None, NO_SCRATCH)
    last = scratch.curves(lambda curve: curve.end())
    if not len(last):
        return Level(None, NO_CURVES)
    if look.random is None:
        return Level(None, "what a random agent earns is not known")
    lowest = mean(last).low
    if (last.mean if lowest is None else lowest) <= look.random:
        return Level(None, "from scratch is not surely better than a random agent in the end")
    gains = [part.curves(lambda curve: curve.end()).mean - look.random for part in parts.values()]
    if last.mean - look.random < LEARNED * max((g for g in gains if np.isfinite(g)), default=0.0):
        return Level(None, "from scratch learns next to nothing within the budget")
    words = f"{REACHED:.0%} of the way from a random agent to the end of training from scratch"
    return Level(look.random + REACHED * (last.mean - look.random), words)


def _reached(look: LookFacts, level: Level, part: _Part, scratch: _Part) -> Reached | None:
    if level.score is None:
        return None
    mine, mine_never = _times(look, level.score, part)
    other, other_never = _times(look, level.score, scratch)
    if not len(mine):
        return None
    bound: Literal["", "at most", "at least", "either way"] = ""
    if mine_never or other_never:
        bound = "either way" if mine_never and other_never else "at most" if mine_never else "at least"
    if mine_never == mine.runs and other_never == other.runs:
        speed = Measure.undefined("no run reaches it, from scratch or so")
    elif part is scratch:
        speed = Measure(1.0)
    else:
        speed = combined(lambda own, base: base / own, mine, other, NO_SCRATCH)
    return Reached(mine.runs - mine_never, mine.runs, mean(mine), speed, bound)


def _times(look: LookFacts, level: float, part: _Part) -> tuple[Units, int]:
    """Frames until a level of each run with a curve, the budget for never; and how many never reach it."""
    never = 0

    def frames(curve: Run) -> float:
        nonlocal never
        when = curve.reached(level)
        never += when is None
        return (curve.budget if when is None else when) * _frames(look)

    return part.curves(frames), never


def _drawn(found: Gathered, runs: pd.DataFrame) -> pd.DataFrame:
    """Mean curves by look and plan, with intervals at each point."""
    rows = [row for look in found.looks for row in _curves(look, runs[runs["look"] == look.name])]
    return pd.DataFrame(rows, columns=["look", "plan", "frames", "mean", "low", "high", "runs"])


def _curves(look: LookFacts, runs: pd.DataFrame) -> Iterator[dict[str, Any]]:
    names = [SCRATCH if fresh else plan for fresh, plan in zip(runs["fresh"], runs["plan"], strict=True)]
    for name in dict.fromkeys(names):
        part = _Part.of(runs[[other == name for other in names]])
        steps = sorted({float(s) for curve in part.rows["curve"] if curve is not None for s in curve.step})
        places = np.unique(np.linspace(0, max(len(steps) - 1, 0), MOST_POINTS).round().astype(int))
        for step in (steps[place] for place in places if steps):
            units = part.curves(lambda curve, now=step: _at(curve, now))  # type: ignore[misc]
            middle = mean(units)
            if middle.value is not None:
                yield {
                    "look": look.name,
                    "plan": name,
                    "frames": step * _frames(look),
                    "mean": middle.value,
                    "low": middle.value if middle.low is None else middle.low,
                    "high": middle.value if middle.high is None else middle.high,
                    "runs": units.runs,
                }


def _at(curve: Run, step: float) -> float:
    """The point of a curve at a step; NaN where it has none."""
    here = np.flatnonzero(curve.step == step)
    return float(curve.score[here[0]]) if len(here) else float("nan")
