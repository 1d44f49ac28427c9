"""The outcome of a check's answer: what its level, and its ``on_inconclusive``, make of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from diag.checks.config import Config
from diag.checks.judging import Found
from diag.checks.kind import Check
from diag.checks.result import Finding, Outcome

_AS: dict[Outcome, str] = {"pass": "a pass", "warn": "a warning", "fail": "a failure"}


def settled(answer: Found, config: Config) -> Finding:
    """Turn a check's answer into the finding that counts.

    What an error check finds bad fails; a warn check never does more than warn. What the data cannot tell is
    as the check's ``on_inconclusive`` says; without it, it is inconclusive. A check that the configuration
    asks for and that has no data is inconclusive too: nobody is to believe that it passed.
    """
    own: Check = getattr(config.settings.check, answer.check)
    level: Literal["error", "warn"] = "warn" if own.level == "warn" else "error"
    bad: Outcome = "fail" if level == "error" else "warn"
    state, message = answer.state, answer.message
    if state == "absent" and answer.check in config.given:
        state, message = "unsure" if level == "error" else "odd", f"asked for, but {message}"
    outcome: Outcome
    match state:
        case "good":
            outcome = "pass"
        case "odd":
            outcome = "warn"
        case "bad":
            outcome = bad
        case "absent" | "idle":
            outcome = "skipped"
        case "unsure":
            outcome = own.on_inconclusive or "inconclusive"
            outcome = bad if outcome == "fail" else outcome
            if own.on_inconclusive is not None:
                taken = _AS[outcome]
                message += f"; that counts as {taken} (check.{answer.check}.on_inconclusive)"
    threshold = None if answer.limit is None else config.threshold(f"check.{answer.check}.{answer.limit}")
    if threshold is not None and threshold.value is None and answer.instead is not None:
        threshold = replace(threshold, value=answer.instead, origin="world")
    return Finding(
        answer.check,
        outcome,
        message,
        answer.of,
        level,
        answer.measure,
        threshold,
        answer.better,
        answer.word,
    )
