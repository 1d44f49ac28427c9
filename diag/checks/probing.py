"""The probe check: does a linear probe read from the transfer what it reads from the base?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

import probes
from diag.checks.judging import Found, absent, judged
from diag.checks.settings import ProbeCheck
from diag.embed import embedded, shared_tasks
from diag.subject import Subject
from probes import Measure


def scores_of(
    subject: Subject, seed: int, say: Callable[[str], None] = lambda words: None
) -> Mapping[str, Measure] | None:
    """{variable: held-out score of a linear probe, at least chance}; None where no variables are known."""
    if subject.encoder is None or subject.tasks is None or not (known := subject.tasks.variables()):
        return None
    pairs = subject.tasks.paired_observations(None, seed)
    x = probes.as_matrix(embedded(subject, pairs, say), f"{subject.path}: the embedding")
    found = {}
    for name, values in known.items():
        variable = probes.as_variable(values, f"{subject.path}: {name!r}")
        probe = probes.linear_probe(x, variable, groups=pairs.groups, shuffles=0, seed=seed)
        found[name] = _above(probe.score, probe.chance)
    return found


def _above(score: Measure, chance: float) -> Measure:
    """Below chance nothing is read, and no less than nothing can be."""
    ends = (score.value, score.low, score.high)
    value, low, high = (None if end is None else max(end, chance) for end in ends)
    return Measure(value, low, high, score.reason)


def of_probes(
    base: Subject,
    transfer: Subject,
    own: Mapping[str, Measure] | None,
    limits: ProbeCheck,
    seed: int,
    say: Callable[[str], None] = lambda words: None,
) -> Iterator[Found]:
    """How far each variable's score falls from the base's ``own``; ``say`` is told what to warn of."""
    found = scores_of(transfer, seed, say) if own is not None else None
    if own is None or found is None:
        yield absent("probe", "nothing is known of the states")
        return
    shared_tasks((base, transfer))
    told = False
    for name, score in own.items():
        other = found.get(name, Measure.undefined("not known there"))
        if score.value is None:  # nothing to lose
            continue
        told = True
        read = f"{score.value:.2f} from the base"
        if other.value is not None:
            read = f"{other.value:.2f} instead of {score.value:.2f}"
        words = f"{name!r} is read at {read}; the fall"
        yield judged("probe", words, fall(score, other), "max_drop", most=limits.max_drop, of=name)
    if not told:
        why = next((score.reason for score in own.values() if score.reason is not None), "there is none")
        yield absent("probe", f"no variable can be probed ({why})")


def fall(before: Measure, after: Measure) -> Measure:
    """``before`` − ``after`` with an interval from both, as if they were independent: at most too wide."""
    for score in (before, after):
        if score.value is None:
            return Measure.undefined(score.reason or "a score is undefined")
    assert before.value is not None
    assert after.value is not None
    value = before.value - after.value
    ends = (before.low, before.high, after.low, after.high)
    if any(end is None for end in ends):
        return Measure(value, reason=before.reason or after.reason or "a score has no interval")
    low, high, low_after, high_after = (float(end) for end in ends if end is not None)
    return Measure(
        value,
        value - float(np.hypot(before.value - low, high_after - after.value)),
        value + float(np.hypot(high - before.value, after.value - low_after)),
    )
