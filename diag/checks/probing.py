"""The probe check: whether a linear probe reads from the transfer what it reads from the base."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar

from pydantic import Field

import probes
from diag.checks.judging import Found, absent, judged
from diag.checks.kind import Check, Level, Positive
from diag.checks.pair import Pair
from diag.embed import embedded, shared_tasks
from diag.subject import Subject
from probes import Measure


class ProbeCheck(Check):
    """Score of a linear probe for each known state variable, beside that of the base's embedding."""

    name: ClassVar[str] = "probe"
    asks: ClassVar[str] = "how much less a linear probe reads of each known state variable"
    limited_by: ClassVar[tuple[str, ...]] = ("max_drop",)

    level: Level = "warn"
    max_drop: Positive = Field(
        0.2, description="The score (R², or balanced accuracy) may fall by at most this"
    )

    def lacks(self, subject: Subject, is_base: bool) -> bool:
        return subject.encoder is None and subject.embeddings is None

    def measured(self, pair: Pair) -> Iterator[Found]:
        """Hold the fall of each variable's score from the base's against the limit."""
        base, transfer = pair.base.subject, pair.transfer
        own = pair.base.once(self.name, lambda: scores_of(base, pair.seed, pair.base.said.append))
        scores = scores_of(transfer, pair.seed, pair.say) if own is not None else None
        if own is None or scores is None:
            yield absent(self.name, "nothing is known of the states")
            return
        shared_tasks((base, transfer))
        known = {
            name: score for name, score in own.items() if score.value is not None
        }  # an undefined score cannot fall
        if not known:
            why = next((score.reason for score in own.values() if score.reason is not None), "there is none")
            yield absent(self.name, f"no variable can be probed ({why})")
        for name, score in known.items():
            other = scores.get(name, Measure.undefined("not known there"))
            read = f"{score.value:.2f} from the base"
            if other.value is not None:
                read = f"{other.value:.2f} instead of {score.value:.2f}"
            words = f"{name!r} is read at {read}; the fall"
            yield judged(
                self.name, words, probes.difference(score, other), "max_drop", most=self.max_drop, of=name
            )


def scores_of(
    subject: Subject, seed: int, say: Callable[[str], None] = lambda words: None
) -> Mapping[str, Measure] | None:
    """{variable: held-out score of a linear probe, at least chance}; None where no variables are known."""
    if subject.encoder is None or subject.tasks is None or not (known := subject.tasks.variables()):
        return None
    pairs = subject.tasks.paired_observations(None, seed)
    x = probes.as_matrix(embedded(subject, pairs, say), f"{subject.path}: the embedding")
    scores = {}
    for name, values in known.items():
        variable = probes.as_variable(values, f"{subject.path}: {name!r}")
        probe = probes.linear_probe(x, variable, groups=pairs.groups, shuffles=0, seed=seed)
        scores[name] = _above(probe.score, probe.chance)
    return scores


def _above(score: Measure, chance: float) -> Measure:
    """The score with its interval, raised to chance where it is below: below chance nothing is read."""
    ends = (score.value, score.low, score.high)
    value, low, high = (None if end is None else max(end, chance) for end in ends)
    return Measure(value, low, high, score.reason)
