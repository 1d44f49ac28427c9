"""transfer-diag: did a transferred network land where it should, why not, and what mends it.

>>> import diag
>>> diag.compare("examples/base.safetensors", "examples/mirrored.safetensors").relation
'flipped'

The names below do what the commands of the same names do; nothing heavy is imported before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diag.checks.check import check as check
    from diag.comparisons.compare import compare as compare
    from diag.forecasts.forecast import forecast as forecast
    from diag.forecasts.watch import watch as watch
    from diag.landscapes.landscape import landscape as landscape
    from diag.landscapes.pairs import landscape_pairs as landscape_pairs
    from diag.layerwise.layers import layers as layers
    from diag.probing.probe import probe as probe
    from diag.repairs.repair import repair as repair
    from diag.saved.kinds import load as load
    from diag.sources import open_subject as open_subject
    from diag.sources.description import show as show
    from diag.sourcing.sourcing import compare_sources as compare_sources

__all__ = [
    "check",
    "compare",
    "compare_sources",
    "forecast",
    "landscape",
    "landscape_pairs",
    "layers",
    "load",
    "open_subject",
    "probe",
    "repair",
    "show",
    "watch",
]

_HOME = {
    "check": "diag.checks.check",
    "compare": "diag.comparisons.compare",
    "compare_sources": "diag.sourcing.sourcing",
    "forecast": "diag.forecasts.forecast",
    "landscape": "diag.landscapes.landscape",
    "landscape_pairs": "diag.landscapes.pairs",
    "layers": "diag.layerwise.layers",
    "load": "diag.saved.kinds",
    "open_subject": "diag.sources",
    "probe": "diag.probing.probe",
    "repair": "diag.repairs.repair",
    "show": "diag.sources.description",
    "watch": "diag.forecasts.watch",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'diag' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
