"""A chart as it stands on a page without scripts: inline SVG whose inner names are its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import altair as alt
import vl_convert

from reports.page import Drawing

VEGA_LITE = "6.4"


@dataclass(frozen=True)
class Drawn:
    """An SVG drawing and its width in CSS pixels."""

    svg: str
    width: float


def specification(chart: Any) -> dict[str, Any]:
    """The chart with all its rows: Altair's own limit of 5,000 is against slips, and callers thin.

    It is not validated, which takes longer than all else: the renderer refuses what it cannot draw.
    """
    with alt.data_transformers.enable("default", max_rows=None):
        spec: dict[str, Any] = chart.to_dict(validate=False)
    return spec


def as_it_stands(figure: Drawing) -> Drawn:
    """A drawing that was made elsewhere."""
    return Drawn(figure.svg, _width(figure.svg))


def drawn(spec: dict[str, Any], place: int) -> Drawn:
    """The drawing of a chart's specification; ``place`` tells its inner names from other drawings'."""
    svg = _renamed(_compact(vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE)), place)
    return Drawn(svg, _width(svg))


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
    return svg.replace("<svg ", '<svg font-family="system-ui, sans-serif" ', 1)


def _rounded(attribute: re.Match[str]) -> str:
    """Places to a tenth of a pixel."""
    return _LONG.sub(lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), attribute[0])


def _renamed(svg: str, place: int) -> str:
    """A drawing whose inner names (clips, gradients) are counted anew.

    The renderer counts them on over all that a process draws, so that one chart would never give the same
    bytes twice.
    """
    names = dict.fromkeys(name for tag in _TAG.findall(svg) for name in _NAME.findall(tag))
    new = {name: f"drawing{place}-{count}" for count, name in enumerate(names)}
    return _TAG.sub(lambda tag: _USE.sub(lambda use: new.get(use[0], use[0]), tag[0]), svg)
