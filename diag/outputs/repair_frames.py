"""A repair as tables: a row for each stage, and for each map that was fitted."""

from __future__ import annotations

import pandas as pd

from diag.outputs.tidy import cells, number
from diag.repairs.result import Repair


def frames(result: Repair) -> dict[str, pd.DataFrame]:
    """``stages`` and ``fits``."""
    stages = [
        {
            "stage": stage.name,
            "relation": stage.relation,
            "status": stage.comparison.verdict.status,
            "own_states": number(stage.own_states),
            "success": stage.success,
            "r2": number(stage.r2),
            "l2": number(stage.comparison.measures["l2"].value),
            "updates": stage.updates,
            **{f"loss {term}": loss for term, loss in stage.losses.items()},
        }
        for stage in result.stages
    ]
    fits = [
        {"fit": fit.name, "method": fit.method, **cells(fit.r2), "chosen": fit is result.chosen}
        for fit in result.fits
    ]
    return {"stages": pd.DataFrame(stages), "fits": pd.DataFrame(fits)}
