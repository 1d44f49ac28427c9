"""Layers of two networks as tables: a row for each measure of each layer, and for each pair of layers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from diag.layerwise.result import LayerPair, LayersCompared
from diag.outputs.tidy import cells, number
from probes import Measure


def frames(result: LayersCompared) -> dict[str, pd.DataFrame]:
    """``layers``, ``measures`` and ``map``."""
    layers = [
        {
            "layer": one.name,
            "kind": one.kind,
            "relation": one.relation,
            "differs": one.differs,
            "agreement": number(one.agreement),
            "weights_moved": number(one.moved),
            "frozen": one.frozen,
        }
        for one in result.layers
    ]
    measures = [
        {"layer": one.name, "measure": name, **cells(measure)}
        for one in result.layers
        for name, measure in _measures(one).items()
    ]
    return {"layers": pd.DataFrame(layers), "measures": pd.DataFrame(measures), "map": _map(result)}


def _measures(one: LayerPair) -> dict[str, Measure]:
    return {
        "r2_as_it_is": one.as_it_is,
        "r2_units_matched": one.matched,
        "r2_linear": one.linear,
        "cka_debiased": one.cka,
    }


def _map(result: LayersCompared) -> pd.DataFrame:
    whole = result.map
    if whole.cka.size == 0:
        return pd.DataFrame()
    return pd.DataFrame(
        {
            "base": np.repeat(np.array(whole.base), len(whole.transfer)),
            "transfer": np.tile(np.array(whole.transfer), len(whole.base)),
            "cka_debiased": whole.cka.ravel(),
            "cka_low": whole.cka_low.ravel(),
            "cka_high": whole.cka_high.ravel(),
            "r2_linear": whole.r2.ravel(),
        }
    )
