"""A chart as it stands on a page without scripts: inline SVG whose inner names are its own."""

from __future__ import annotations

import re
import threading
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any

import vl_convert

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
    """The drawing of a chart's specification; ``place`` tells its inner names from other drawings'."""
    svg = _renamed(_compact(vl_convert.vegalite_to_svg(_still(spec), vl_version=VEGA_LITE)), place)
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


# Names for readers by ear (the drawing has one as a whole), and values that hold anyway.
_NEEDLESS = re.compile(
    r' (?:aria-[a-z]+|role|class|pointer-events|stroke-miterlimit)="[^"]*"| (?:opacity|stroke-width)="1"'
    r'| stroke-dasharray=""| font-family="[^"]*"'
)
_LONG = re.compile(r"-?\d+\.\d{2,}(?:e-?\d+)?")
_POSITION = re.compile(r' (?:d|transform|x|y|x1|y1|x2|y2|width|height|points)="[^"]*"')
_EMPTY = re.compile(r'<path d="M0,0h0v0h0Z"[^>]*/>|<g[^>]*></g>|<g[^>]*/>')


def _compact(svg: str) -> str:
    """A drawing without what changes nothing in it: about a third of what the renderer writes."""
    svg = _TAG.sub(lambda tag: _NEEDLESS.sub("", tag[0]), svg)
    svg = _TAG.sub(lambda tag: _POSITION.sub(_rounded, tag[0]), svg)
    while (shorter := _EMPTY.sub("", svg)) != svg:
        svg = shorter
    svg = _RGB.sub(_hex, _shared(svg))
    return svg.replace("<svg ", '<svg font-family="system-ui, sans-serif" ', 1)


_SHAPE = re.compile(r"<path((?: [a-z-]+=\"[^\"]*\")*)/>")
_PLACE = re.compile(r' transform="translate\(([\d.-]+),([\d.-]+)\)"')
_FILL = re.compile(r' fill="[^"]*"')
_RGB = re.compile(r"rgb\((\d+), (\d+), (\d+)\)")

OFTEN = 8
"""Times that a shape must be drawn to be kept once and named."""


def _shared(svg: str) -> str:
    """A drawing whose repeated shapes, such as the points of a cloud, stand in it once."""
    kinds = Counter(_kind(shape[1]) for shape in _SHAPE.finditer(svg) if _PLACE.search(shape[1]))
    often = [kind for kind, count in kinds.items() if count >= OFTEN]
    if not often:
        return svg
    names = {kind: f"shape{place}" for place, kind in enumerate(often)}

    def used(shape: re.Match[str]) -> str:
        place, kind = _PLACE.search(shape[1]), _kind(shape[1])
        if place is None or kind not in names:
            return shape[0]
        fill = _FILL.search(shape[1])
        x, y = place[1], place[2]
        return f'<use href="#{names[kind]}" x="{x}" y="{y}"{fill[0] if fill else ""}/>'

    kept = "".join(f'<path id="{name}"{kind}/>' for kind, name in names.items())
    head, body = svg.split(">", 1)
    return f"{head}><defs>{kept}</defs>{_SHAPE.sub(used, body)}"


def _kind(attributes: str) -> str:
    """What the same marks at other places and in other colours have in common."""
    return _FILL.sub("", _PLACE.sub("", attributes))


def _hex(colour: re.Match[str]) -> str:
    return f"#{int(colour[1]):02x}{int(colour[2]):02x}{int(colour[3]):02x}"


def _rounded(attribute: re.Match[str]) -> str:
    """Places to a tenth of a pixel."""
    return _LONG.sub(lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), attribute[0])


def _renamed(svg: str, place: int) -> str:
    """A drawing whose inner names (clips, gradients) are counted anew.

    The renderer counts them on over all that a process draws, so that one chart would never give the same
    bytes twice.
    """
    names = dict.fromkeys(name for tag in _TAG.findall(svg) for name in _NAME.findall(tag))
    new = {name: f"d{place}-{count}" for count, name in enumerate(names)}
    return _TAG.sub(lambda tag: _USE.sub(lambda use: new.get(use[0], use[0]), tag[0]), svg)
