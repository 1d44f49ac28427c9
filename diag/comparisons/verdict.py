"""The status and the sentence of a comparison, from what was measured."""

from __future__ import annotations

import probes
from diag.result import Verdict
from diag.wording import listed

DEFORMED = 0.9
"""Identity R² below which a matched transfer is called deformed. Of the maze's transfers, those with 29 or
more states in place have at least 0.97; of those below this, none has more than 17 (benchmarks/margins.py,
docs/results.md)."""

CERTAIN = 0.95
"""Share of resamples in which the transfer must not be matched for that to be a verdict on its own."""

FAR = 1e4
"""Size of an R² from which on its decimals say nothing."""


def verdict_of(
    result: probes.RelationResult,
    frozen: tuple[str, ...] | None,
    own_states: int | None,
    success_states: int | None,
) -> Verdict:
    """Status, relation and sentence of a comparison from the relation that was measured."""
    sentence = _sentence(result)
    if result.relation is None:
        lost = result.mismatch >= CERTAIN and frozen != ()
        return Verdict("fail" if lost else "inconclusive", sentence)
    if result.relation == "matched":
        return _verdict_of_match(result, sentence, own_states, success_states)
    if frozen == ():
        sentence += " Nothing frozen reads the embedding, so this is no failure."
        return Verdict("pass", sentence, result.relation, result.axes)
    return Verdict("fail", sentence, result.relation, result.axes)


def _verdict_of_match(
    result: probes.RelationResult, sentence: str, own_states: int | None, success_states: int | None
) -> Verdict:
    """The verdict on a matched transfer: a warning where states or axes are off, or where it is deformed."""
    if own_states is not None and success_states is not None and own_states < success_states:
        sentence += f" But only {own_states} of {result.ladder.states} states are nearest to their own."
        return Verdict("warn", sentence, result.relation)
    if result.axes:
        verb = "is" if len(result.axes) == 1 else "are"
        sentence += f" But {_axes(result)}, of little variance, {verb} negated."
        return Verdict("warn", sentence, result.relation, result.axes)
    deformed = result.rung is not None and (result.rung.r2.value or 0.0) < DEFORMED
    return Verdict("warn" if deformed else "pass", sentence, result.relation)


def _sentence(result: probes.RelationResult) -> str:
    match result.relation:
        case None if result.mismatch >= CERTAIN:
            return f"Not matched, but its relation cannot be told ({result.reason})."
        case None:
            return f"Cannot tell: {result.reason}."
        case "matched":
            step = result.rung
            deformed = step is not None and (step.r2.value or 0.0) < DEFORMED
            tail = ", though deformed" if deformed else ""
            return f"Matched: the transfer lies in the base's embedding space{tail} ({_r2(result)})."
        case "collapsed":
            base_rank, rank = result.effective_rank
            return (
                f"Collapsed: effective rank {rank:.2f} of the base's {base_rank:.2f}, "
                f"variance {result.collapse.variance_ratio.value:.2g} times the base's."
            )
        case "unrelated":
            best = max(s.r2.value for s in result.ladder.steps if s.r2.value is not None)
            return f"Unrelated: no linear map brings the transfer to the base (best R² {best:.2f})."
        case relation:
            evidence = f"{_r2(result)}{_before(result)}"
            but = ", but" if result.channels else ""
            return f"{relation.capitalize()}: the base's embedding{but} {_mapped(result)} ({evidence})."


def _mapped(result: probes.RelationResult) -> str:
    """The map that takes the base's embedding to the transfer's, in words."""
    if result.channels:
        return listed(_of_channels(result))
    also = " and displaced" if result.shifted else ""
    match result.relation:
        case "flipped":
            return f"with {_axes(result)} negated{also}"
        case "permuted":
            return f"with its axes swapped{also}"
        case "rotated":
            return "turned or reflected as a whole"
        case "rescaled":
            return "at another scale"
        case _:
            return "displaced" if result.shifted else "stretched or sheared"


def _of_channels(result: probes.RelationResult) -> list[str]:
    """Clauses on what is done to the base's channels, alike at every place, and to its grid."""
    clauses = [f"{_these(cycle)} are {_swapped(cycle)}" for cycle in cycles(result.order)]
    if result.axes:
        clauses.append(f"{_these(result.axes)} {'is' if len(result.axes) == 1 else 'are'} negated")
    match result.relation:
        case "rotated":
            clauses.append("its channels are turned or reflected together")
        case "rescaled":
            clauses.append("its channels are turned or reflected together, at another scale")
        case "affine" if not result.shifted:
            clauses.append("its channels are mixed by a linear map")
    if result.shifted:
        clauses.append("its channels are displaced")
    if result.grid != probes.UNTURNED:
        # The symmetry's name says what brings the transfer back; the sentence speaks of the way there.
        clauses.append(f"the grid is {probes.BACK.get(result.grid, result.grid)}")
    return clauses


def cycles(order: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The axes that change places among each other, each group in rising order.

    >>> cycles((1, 0, 2, 4, 5, 3)), cycles(())
    ([(0, 1), (3, 4, 5)], [])
    """
    found, seen = [], set[int]()
    for start in range(len(order)):
        cycle, at = [], start
        while at not in seen:
            seen.add(at)
            cycle.append(at)
            at = order[at]
        if len(cycle) > 1:
            found.append(tuple(sorted(cycle)))
    return found


def _these(axes: tuple[int, ...]) -> str:
    return axes_in_words(axes, what=("channel", "channels"))


def _swapped(cycle: tuple[int, ...]) -> str:
    return "swapped" if len(cycle) == 2 else "exchanged in turn"


def _r2(result: probes.RelationResult) -> str:
    """R² of the rung that names the relation, in words; empty where there is none."""
    step = result.rung
    return "" if step is None or step.r2.value is None else f"R² {step.r2.value:.2f}"


def _before(result: probes.RelationResult) -> str:
    """R² of the identity, in words; empty where the grid has to be turned first."""
    identity = result.ladder["identity"].r2
    turned = result.grid != probes.UNTURNED
    if identity.value is None or turned:
        return ""
    # Far offsets make it very negative: then its size is all that it says.
    form = ".2f" if abs(identity.value) < FAR else ".2g"
    told = f"{identity.value:{form}}"
    return f", {'0.00' if told == '-0.00' else told} before"


def _axes(result: probes.RelationResult) -> str:
    kind = ("channel", "channels") if result.channels else ("axis", "axes")
    return axes_in_words(result.axes, what=kind)


def axes_in_words(axes: tuple[int, ...], most: int = 6, what: tuple[str, str] = ("axis", "axes")) -> str:
    """Numbered axes in words, such as ``axes 0 and 2``; more than ``most`` are only counted.

    ``what`` is the noun for one of them and for several.

    >>> axes_in_words((0, 2, 3))
    'axes 0, 2 and 3'
    """
    one, several = what
    if len(axes) == 1:
        return f"{one} {axes[0]}"
    if len(axes) > most:
        return f"{len(axes)} {several}"
    return f"{several} {listed([*map(str, axes)])}"
