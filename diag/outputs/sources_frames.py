"""Several sources as tables: a row for each measure of each source."""

from __future__ import annotations

import pandas as pd

from diag.outputs.tidy import cells, number
from diag.sourcing.result import SourcesCompared


def frames(result: SourcesCompared) -> dict[str, pd.DataFrame]:
    """``rankings``, ``measures``, ``between`` and ``remains``."""

    def name(source: int | None) -> str | None:
        return None if source is None else result.names[source]

    rankings = [
        {
            "what": one.what,
            "measure": one.measure,
            "best": name(one.best),
            "second": name(one.second),
            "told_apart": one.apart,
            **cells(one.lead),
        }
        for one in result.rankings
    ]
    measures = [
        {"source": name(one.source), "component": one.component, "measure": measure, **cells(value)}
        for one in result.likeness
        for measure, value in (
            ("r2_as_it_is", one.as_it_is),
            ("r2_linear", one.linear),
            ("cka_debiased", one.cka),
        )
    ]
    for suiting in result.suits:
        found = {**{f"loss_{term}": loss for term, loss in suiting.losses.items()}, "reward_r2": suiting.told}
        measures += [
            {"source": name(suiting.source), "component": None, "measure": measure, **cells(value)}
            for measure, value in found.items()
        ]
    between = [{"one": name(b.one), "other": name(b.other), **cells(b.cka)} for b in result.between]
    remains = [
        {
            "source": name(one.source),
            "component": one.component,
            "update": step,
            "share": number(share.value),
            **cells(fraction),
        }
        for one in result.remains
        for step, fraction, share in zip(one.steps, one.fractions, one.shares, strict=True)
    ]
    return {
        "rankings": pd.DataFrame(rankings),
        "measures": pd.DataFrame(measures),
        "between": pd.DataFrame(between),
        "remains": pd.DataFrame(remains),
    }
