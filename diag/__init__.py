"""transfer-diag: did a transferred network land where it should, why not, and what mends it.

>>> import diag
>>> diag.compare("examples/base.safetensors", "examples/mirrored.safetensors").relation
'flipped'

The names below do what the commands of the same names do; nothing heavy is imported before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diag._check import check as check
    from diag._compare import compare as compare
    from diag._forecast import forecast as forecast
    from diag._landscape import landscape as landscape
    from diag._probe import probe as probe
    from diag._repair import repair as repair
    from diag._show import show as show
    from diag._watch import watch as watch
    from diag.sources import open_subject as open_subject

__all__ = ["check", "compare", "forecast", "landscape", "open_subject", "probe", "repair", "show", "watch"]

_HOME = {
    "check": "diag._check",
    "compare": "diag._compare",
    "forecast": "diag._forecast",
    "landscape": "diag._landscape",
    "open_subject": "diag.sources",
    "probe": "diag._probe",
    "repair": "diag._repair",
    "show": "diag._show",
    "watch": "diag._watch",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'diag' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
