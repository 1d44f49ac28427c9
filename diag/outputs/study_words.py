"""Tests and differences of a study's groups in words, as its text and its page write them."""

from __future__ import annotations

from diag.studies.result import PValue, StudyFacts
from diag.wording import listed, p_value
from probes import Measure


def corrected_p(p: PValue | None) -> str:
    """The corrected p, or a dash."""
    return "–" if p is None else p_value(p.corrected)


def shares_apart(measure: Measure) -> str:
    """A difference of shares: ``+12% [-3%, +27%]``; without an interval for one base.

    Where all three are told alike, they are told once.
    """
    if measure.value is None:
        return "–"
    if measure.low is None or measure.high is None:
        return _signed(measure.value)
    told = [_signed(end) for end in (measure.value, measure.low, measure.high)]
    return told[0] if len(set(told)) == 1 else f"{told[0]} [{told[1]}, {told[2]}]"


def _signed(share: float) -> str:
    """A share with its sign, but for none: ``+12%``, ``0%``."""
    words = f"{share:+.0%}"
    return "0%" if words in ("+0%", "-0%") else words


def measured_words(facts: StudyFacts) -> str:
    """Which versions of the code measured the rows, and what to do; empty where it was one."""
    if len(facts.measured_by) < 2:
        return ""
    named = listed([f"{code} ({rows:,} rows)" for code, rows in facts.measured_by.items()])
    return (
        f"by {named}: numbers of two versions need not compare; diag study measure measures again what "
        "another version than the one at hand measured"
    )
