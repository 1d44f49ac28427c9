"""How far weights moved on a page: a bar and a row for each component and layer."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from diag.outputs.drift_text import weights_in_words
from diag.outputs.words import number
from diag.units.drift import Drift
from diag.wording import listed
from reports import Figure, Section, layers
from trainers.safe_text import plain

MOST_BARS = 60
"""Most components and layers that have a bar each; of more, the components alone have one."""


def drift_sections(weights: Sequence[Drift], of: str) -> list[Section]:
    """The section on how far weights lie from those ``of`` another checkpoint; none where none are known."""
    if not weights:
        return []
    planned = any(one.plan for one in weights)
    rows = []
    for one in weights:
        distance, relative, fate, plan = weights_in_words(one)
        name = plain(one.component) if one.layer is None else f"· {plain(one.layer)}"
        row = {"weights of": name, "parameters": f"{one.parameters:,}", "norm": number(one.norm)}
        row |= {"distance": distance, "of norm": relative, "of all": f"{one.share:.0%}", "fate": fate}
        rows.append(row | ({"plan": plan} if planned else {}))
    whole = [one for one in weights if one.layer is None]
    drawn = list(weights) if len(weights) <= MOST_BARS else whole
    bars = pd.DataFrame(
        [
            {
                "place": place,
                "name": plain(one.component if one.layer is None else f"· {one.layer}"),
                "whole": one.layer is None,
                "relative": one.relative,
                "fate": "moved though frozen" if one.broken else "moved" if one.kept is None else "kept",
                "said": "kept" if one.kept is not None else number(one.relative),
                "told": f"{plain(one.layer or one.component)}: {weights_in_words(one)[0]}, "
                f"{one.share:.0%} of all movement",
            }
            for place, one in enumerate(drawn)
        ]
    )
    figure = Figure(layers.weights(bars), "How far the weights of each component and layer moved.")
    notes = [
        f"How far each component lies from that of {of}, and each of its layers (·): the Euclidean distance, "
        f"that as a share of the norm of {of}, and its share of the squared distance of all weights."
    ]
    title, table = "How far the weights moved", pd.DataFrame(rows)
    return [Section(title, _words(whole, of), figure, table, notes, folded=True, short="Weights")]


def _words(whole: Sequence[Drift], of: str) -> list[str]:
    """Which component holds most of the movement, which kept their weights, and plans that were broken."""
    most = max(whole, key=lambda one: one.share)
    kept = [plain(one.component) for one in whole if one.kept is not None]
    broken = [plain(one.component) for one in whole if one.broken]
    told = []
    if most.share > 0:
        told.append(f"{most.share:.0%} of all movement is that of {plain(most.component)}.")
    if kept:
        told.append(f"The weights of {of} are kept in {listed(kept)}.")
    if broken:
        told.append(f"The plan froze {listed(broken)}, whose weights moved all the same.")
    return [" ".join(told)] if told else []
