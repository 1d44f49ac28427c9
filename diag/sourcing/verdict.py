"""The answer in words: which source a target resembles or suits its task, or that they are not told apart."""

from __future__ import annotations

from collections.abc import Sequence

from diag.result import Verdict
from diag.sourcing.ranking import Ranking
from diag.sourcing.result import Question
from diag.wording import listed
from trainers.safe_text import plain

NOT_APART = "not told apart"
"""Words for sources whose order may be chance."""

COMPONENTS = {"latent": "latent space", "reward": "reward model's answers", "critic": "critic's answers"}
"""Words for components; others are called by their names."""


def verdict_of(
    question: Question, rankings: Sequence[Ranking], main: str, names: Sequence[str], task: str
) -> Verdict:
    """What the chief ranking says, then the others that name another source."""
    first = next((one for one in rankings if one.what == main), None)
    if first is None or first.best is None or first.second is None:
        return Verdict("inconclusive", f"The sources are {NOT_APART}: {_why(first)}.")
    best, second = plain(names[first.best]), plain(names[first.second])
    lead = _lead(first)
    if question == "resembles":
        part = COMPONENTS.get(main, main)
        if first.apart:
            words = f"The target's {part} resembles {best}'s most, {second}'s next (CKA, by {lead})."
        else:
            words = (
                f"The sources are {NOT_APART} by the target's {part}: {best} leads {second} by {lead} of CKA."
            )
    elif first.apart:
        words = f"{best} suits {plain(task)} best as it stands: its loss is lower than {second}'s by {lead}."
    else:
        words = (
            f"The sources are {NOT_APART} by their losses on {plain(task)}: {best}'s is lower than "
            f"{second}'s by {lead}."
        )
    others = [one for one in rankings if one is not first and one.apart and one.best is not None]
    if first.apart:
        others = [one for one in others if one.best != first.best]
    if others:
        by: dict[int, list[str]] = {}
        for one in others:
            by.setdefault(one.best or 0, []).append(_named(one))
        told = listed([f"{plain(names[source])} by {listed(what)}" for source, what in by.items()])
        words += f" Other measures name {told}."
    return Verdict("pass" if first.apart else "inconclusive", words)


def _named(one: Ranking) -> str:
    """What names a source: ``the reward loss``."""
    if one.measure == "r2":
        return "what the latent space tells of rewards"
    return f"the {one.what} loss" if one.measure == "loss" else f"the {one.what}"


def _lead(one: Ranking) -> str:
    lead = one.lead
    if lead.value is None:
        return "nothing"
    if lead.low is None or lead.high is None:
        return f"{lead.value:.3g}"
    return f"{lead.value:.3g} [{lead.low:.3g}, {lead.high:.3g}]"


def _why(first: Ranking | None) -> str:
    return (
        "no measure has a number for two of them" if first is None else first.lead.reason or "nothing varies"
    )
