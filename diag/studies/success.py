"""When a transfer succeeds: by its states, by its score, or by its relation, whichever its world offers.

Where systems act, a score is judged between two others: that of the transfer's base on the source task, and
that of an agent that has learned nothing of the task (:class:`trainers.system.Standards`), of which the
better one counts: what comes without learning is no success. The transfer succeeds if its score is the nearer
to its base's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from diag.studies.result import StudyFacts
from diag.studies.scored import Standing, VariantFacts
from diag.wording import listed
from trainers.system import Standard


@dataclass(frozen=True)
class Judged:
    """The last rows of transfers with ``success``, ``matched``, ``base_score`` and ``retained``."""

    rows: pd.DataFrame
    by: Standing
    rule: str
    """The rule by which a transfer succeeds, in words."""


def judged(last: pd.DataFrame, bases: pd.DataFrame, facts: StudyFacts) -> Judged:
    """Say of each transfer whether it succeeds; ``bases`` are the last rows of the bases.

    ``retained`` is the share of what the base earns more than an agent that has learned nothing: 1 for a
    transfer that scores as its base does, 0 for one that has nothing of it; missing where none can be had.
    """
    matched = (last["relation"] == "matched").to_numpy(bool)
    rows = last.assign(matched=matched, **_scores(last, bases, facts))
    if last["succeeded"].notna().any():
        landed = last["succeeded"].fillna(False).to_numpy(bool)
        return Judged(rows.assign(success=landed), "states", _by_states(last))
    begun = rows.empty and bases["score"].notna().any() and any(v.standards for v in facts.variants.values())
    if begun or rows["retained"].notna().any():
        landed = (rows["retained"] >= HALFWAY).to_numpy(bool)
        return Judged(rows.assign(success=landed), "score", _by_score(facts.variants))
    return Judged(
        rows.assign(success=matched), "relation", "the embedding's relation to the base's is matched"
    )


HALFWAY = 0.5
"""Share of its base's gain that a transfer retains which is as near to its base's score as to chance."""


def lower(standards: tuple[Standard, ...]) -> Standard | None:
    """Of agents that have learned nothing the one that earns most."""
    return max(standards, key=lambda standard: standard.score, default=None)


def base_row(bases: pd.DataFrame, facts: StudyFacts, variant: str, seed: int) -> pd.Series | None:
    """The last row of the base that a variant's transfers were made of; None where there is none."""
    own = bases[bases["base_seed"] == seed]
    owner = facts.variants[variant].owner if variant in facts.variants else variant
    same = own[own["variant"] == owner]
    own = own if same.empty else same
    return None if own.empty else own.iloc[0]


def _scores(last: pd.DataFrame, bases: pd.DataFrame, facts: StudyFacts) -> dict[str, list[float]]:
    of_base, retained = [], []
    for variant, seed, score in zip(last["variant"], last["base_seed"], last["score"], strict=True):
        base = base_row(bases, facts, variant, seed)
        start = np.nan if base is None else float(base["score"])
        known = facts.variants.get(variant)
        least = None if known is None else lower(known.standards)
        of_base.append(start)
        gain = np.nan if least is None else start - least.score
        # A base that has learned nothing itself has nothing that could be retained.
        share = (score - least.score) / gain if least is not None and gain > 0 else -np.inf
        retained.append(np.nan if least is None or np.isnan(start) or np.isnan(score) else share)
    return {"base_score": of_base, "retained": retained}


def _by_states(last: pd.DataFrame) -> str:
    states, needed = common(last, "states"), common(last, "success_states")
    if states is None or needed is None:
        return "enough states are nearest to their own base state"
    return f"at least {needed} of the {states} states are nearest to their own base state"


def _by_score(variants: Mapping[str, VariantFacts]) -> str:
    least = [lower(facts.standards) for facts in variants.values()]
    whose = list(dict.fromkeys(one.whose for one in least if one is not None))
    return f"its score is nearer to its base's, on the source task, than to that of {listed(whose)}"


def common(rows: pd.DataFrame, column: str) -> int | None:
    """The one value that all rows have, or None."""
    values = rows[column].dropna().unique()
    return int(values[0]) if len(values) == 1 else None
