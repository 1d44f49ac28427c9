"""The margin δ within which a transfer counts as matched: given, default, or from known-good transfers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import probes
from diag.comparisons.evidence import read_once
from diag.comparisons.pairing import Pair, is_streamed
from diag.subject import Subject, SubjectError

KNOWN_MARGIN = "the default, see docs/results.md"

WIDE_MARGIN = 0.2
"""Margin from known-good transfers that is worth a warning: four times the default."""

NOT_GOOD = ("flipped", "permuted", "rotated", "collapsed", "unrelated")
"""Relations that are never those of a good transfer, whatever the margin."""


@dataclass(frozen=True)
class Margin:
    """δ of the ladder, in R², and its origin in words."""

    value: float
    source: str
    warnings: tuple[str, ...] = ()


def fixed_margin(given: float | None) -> Margin:
    """The margin given, else the default."""
    return Margin(probes.MARGIN, KNOWN_MARGIN) if given is None else Margin(given, "given")


def margin_of_good(
    base: Subject,
    transfer: Subject,
    good: Sequence[Subject],
    paired: Callable[[Subject], Pair],
    drop_nonfinite: bool,
    seed: int,
) -> Margin:
    """The margin within which known-good transfers of the base lie (:func:`probes.equivalence_margin`).

    ``paired`` pairs one of them with the base. Raises SubjectError where one is the base, the transfer, given
    twice or in a relation that is not good; ProbeError for fewer than three.
    """
    gaps: list[float] = []
    seen = {base.sha256: "the base itself", transfer.sha256: "the transfer itself"}
    for one in good:
        if one.sha256 in seen:
            raise SubjectError(one.path, seen[one.sha256], "another transfer that is known to be good")
        seen[one.sha256] = "a known-good transfer for the second time"
        pair = paired(one)
        if is_streamed(pair):
            relation = read_once(pair, drop_nonfinite, seed, lambda rows: None).relation()
        else:
            relation = probes.relation(
                pair.transfer, pair.base, groups=pair.groups, layout=pair.layout, seed=seed
            )
        if relation.relation in NOT_GOOD:
            raise SubjectError(one.path, f"a transfer that is {relation.relation}", "one known to be good")
        gaps.append(float("nan") if relation.gap_high is None else relation.gap_high)
    margin = probes.equivalence_margin(gaps)
    wide = f"the known-good transfers lie far apart: a margin of {margin:.2f} is wide"
    warnings = (wide,) if margin > WIDE_MARGIN else ()
    return Margin(margin, f"from {len(good)} known-good transfers", warnings)
