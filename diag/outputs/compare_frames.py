"""A comparison as tables: a row for each measure, and for each rung of each ladder."""

from __future__ import annotations

import pandas as pd

from diag.comparisons.result import Comparison
from diag.outputs.tidy import cells, rows_of


def frames(result: Comparison) -> dict[str, pd.DataFrame]:
    """``measures`` and ``ladder``; of the latter, ``maps`` says which maps were fitted."""
    ladders = {
        "transfer to base": result.ladder,
        "transfer to base, with an offset": result.shifted,
        "base to transfer": result.back,
        "transfer to base, number by number": result.flat or (),
    }
    return {
        "measures": pd.DataFrame([{"measure": name, **cells(m)} for name, m in result.measures.items()]),
        "ladder": pd.DataFrame([row for maps, steps in ladders.items() for row in rows_of(steps, maps=maps)]),
    }
