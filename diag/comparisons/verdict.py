"""The status and the sentence of a comparison, from what was measured."""

from __future__ import annotations

import probes
from diag.result import Verdict

DEFORMED = 0.9
"""Identity R² below which a matched transfer is called deformed. Of the maze's transfers, those with 29 or
more states in place have at least 0.97; of those below this, none has more than 17 (benchmarks/margins.py,
docs/results.md)."""

CERTAIN = 0.95
"""Share of resamples in which the transfer must not be matched for that to be a verdict on its own."""


def verdict_of(
    found: probes.RelationResult,
    frozen: tuple[str, ...] | None,
    own_states: int | None,
    success_states: int | None,
) -> Verdict:
    """Status, relation and sentence of a comparison from the relation that was measured."""
    sentence = _sentence(found)
    if found.relation is None:
        lost = found.mismatch >= CERTAIN and frozen != ()
        return Verdict("fail" if lost else "inconclusive", sentence)
    if found.relation == "matched":
        if own_states is not None and success_states is not None and own_states < success_states:
            sentence += f" But only {own_states} of {found.ladder.states} states are nearest to their own."
            return Verdict("warn", sentence, found.relation)
        if found.axes:
            kind = ("channel", "channels") if found.channels else ("axis", "axes")
            words = axes_in_words(found.axes, what=kind)
            sentence += (
                f" But {words}, of little variance, {'is' if len(found.axes) == 1 else 'are'} negated."
            )
            return Verdict("warn", sentence, found.relation, found.axes)
        deformed = found.rung is not None and (found.rung.r2.value or 0.0) < DEFORMED
        return Verdict("warn" if deformed else "pass", sentence, found.relation)
    if frozen == ():
        sentence += " Nothing frozen reads the embedding, so this is no failure."
        return Verdict("pass", sentence, found.relation, found.axes)
    return Verdict("fail", sentence, found.relation, found.axes)


def _sentence(found: probes.RelationResult) -> str:
    identity = found.ladder["identity"].r2
    turned = found.grid != probes.UNTURNED
    before = "" if identity.value is None or turned else f", {identity.value:.2f} before"
    grid = f", its grid {found.grid}" if turned else ""
    step = found.rung
    r2 = "" if step is None or step.r2.value is None else f"R² {step.r2.value:.2f}"
    also = " and displaced" if found.shifted else ""
    axis = ("channel", "channels") if found.channels else ("axis", "axes")
    match found.relation:
        case None if found.mismatch >= CERTAIN:
            return f"Not matched, but how it lies cannot be told ({found.reason})."
        case None:
            return f"Cannot tell: {found.reason}."
        case "matched":
            deformed = step is not None and (step.r2.value or 0.0) < DEFORMED
            tail = ", though deformed" if deformed else ""
            return f"Matched: the transfer lies in the base's embedding space{tail} ({r2})."
        case "flipped":
            axes = axes_in_words(found.axes, what=axis)
            return f"Flipped: the base's embedding with {axes} negated{also} ({r2}{before})."
        case "permuted" if found.grid != probes.UNTURNED:
            flips = f", {axes_in_words(found.axes, what=axis)} negated" if found.axes else ""
            return f"Permuted: the base's embedding with its grid {found.grid}{flips}{also} ({r2}{before})."
        case "permuted":
            return f"Permuted: the base's embedding with its axes swapped{also} ({r2}{before})."
        case "rotated":
            return f"Rotated: the base's embedding turned or reflected as a whole{grid} ({r2}{before})."
        case "rescaled":
            return f"Rescaled: the base's embedding at another scale{grid} ({r2}{before})."
        case "affine":
            how = "displaced" if found.shifted else "stretched or sheared"
            return f"Affine: the base's embedding {how}{grid} ({r2}{before})."
        case "collapsed":
            base_rank, rank = found.effective_rank
            return (
                f"Collapsed: effective rank {rank:.2f} of the base's {base_rank:.2f}, "
                f"variance {found.collapse.variance_ratio.value:.2g} times the base's."
            )
        case "unrelated":
            best = max(s.r2.value for s in found.ladder.steps if s.r2.value is not None)
            return f"Unrelated: no linear map brings the transfer to the base (best R² {best:.2f})."


def axes_in_words(axes: tuple[int, ...], most: int = 6, what: tuple[str, str] = ("axis", "axes")) -> str:
    """``axis 1``, ``axes 0 and 2``; beyond ``most`` they are counted. ``what`` names one and several.

    >>> axes_in_words((0, 2, 3))
    'axes 0, 2 and 3'
    """
    one, several = what
    if len(axes) == 1:
        return f"{one} {axes[0]}"
    if len(axes) > most:
        return f"{len(axes)} {several}"
    return f"{several} {', '.join(map(str, axes[:-1]))} and {axes[-1]}"
