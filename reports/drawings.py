"""A chart as it stands on a page without scripts: inline SVG whose inner names are its own."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from functools import cache
from typing import Any

import vl_convert

from reports.compact import compact
from reports.page import Drawing
from reports.spec import LIVE, Spec, finished, n, q

VEGA_LITE = "6.4"


@dataclass(frozen=True)
class Drawn:
    """An SVG drawing and its width in CSS pixels."""

    svg: str
    width: float


_FIRST = {
    "data": {"values": [{"x": 1, "name": "a"}]},
    "mark": "point",
    "encoding": {"x": q("x"), "y": n("name", sort=["a"]), "color": n("name"), "shape": n("name")},
}


def warmed() -> None:
    """Start the renderer in a thread of its own, while the charts that it is to draw are made.

    It takes half a second to load Vega, which Python need not wait for. A second call costs nothing.
    """
    threading.Thread(target=_warm, name="renderer").start()


@cache
def _warm() -> None:
    vl_convert.vegalite_to_svg(finished(_FIRST).tree, vl_version=VEGA_LITE)


def specification(chart: Any) -> dict[str, Any]:
    """The chart with all its rows: Altair's own limit of 5,000 is against slips, and callers thin.

    It is not validated, which takes longer than all else: the renderer refuses what it cannot draw.
    """
    if isinstance(chart, Spec):
        return chart.to_dict()
    import altair as alt  # what needs it has loaded it

    with alt.data_transformers.enable("default", max_rows=None):
        spec: dict[str, Any] = chart.to_dict(validate=False)
    return spec


def as_it_stands(figure: Drawing) -> Drawn:
    """A drawing that was made elsewhere."""
    return Drawn(figure.svg, _width(figure.svg))


def drawn(spec: dict[str, Any], place: int) -> Drawn:
    """The drawing of a chart's specification; ``place`` tells its inner names from other drawings'.

    Marks are not described one by one, which :func:`reports.compact.compact` would take away again.
    """
    still = {**_still(spec), "config": {**spec.get("config", {}), "aria": False}}
    svg = _renamed(compact(vl_convert.vegalite_to_svg(still, vl_version=VEGA_LITE)), place)
    return Drawn(svg, _width(svg))


def _still(tree: dict[str, Any]) -> dict[str, Any]:
    """A chart without the layers that only a pointer brings out."""
    still = dict(tree)
    if "params" in still:
        still["params"] = [
            param for param in still["params"] if not str(param.get("views", [""])[0]).startswith(LIVE)
        ]
    if "layer" in still:
        still["layer"] = [part for part in still["layer"] if not str(part.get("name")).startswith(LIVE)]
    for parts in ("layer", "concat", "hconcat", "vconcat"):
        if parts in still:
            still[parts] = [_still(part) for part in still[parts]]
    if "spec" in still:
        still["spec"] = _still(still["spec"])
    return still


_TAG, _NAME = re.compile(r"<[^<>]*>"), re.compile(r'(?<= id=")[^"]+')
_USE = re.compile(r"""(?<= id=")[^"]+|(?<=url\(#)[^)]+|(?<=href="#)[^"]+""")
_WIDTH = re.compile(r'<svg[^>]*? width="([\d.]+)')


def _width(svg: str) -> float:
    found = _WIDTH.search(svg)
    return float(found[1]) if found else 0.0


def _renamed(svg: str, place: int) -> str:
    """A drawing whose inner names (clips, gradients) are counted anew.

    The renderer counts them on over all that a process draws, so that one chart would never give the same
    bytes twice.
    """
    names = dict.fromkeys(name for tag in _TAG.findall(svg) for name in _NAME.findall(tag))
    new = {name: f"d{place}-{count}" for count, name in enumerate(names)}
    return _TAG.sub(lambda tag: _USE.sub(lambda use: new.get(use[0], use[0]), tag[0]), svg)
