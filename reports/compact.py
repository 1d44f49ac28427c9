"""SVG drawings in a fraction of the letters that the renderer takes: what is repeated stands in them once."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import groupby

_TAG = re.compile(r"<[^<>]*>")

# Names for readers by ear (the drawing has one as a whole), and values that hold anyway.
_NEEDLESS = re.compile(
    r' (?:aria-[a-z]+|role|class|pointer-events|stroke-miterlimit)="[^"]*"| (?:opacity|stroke-width)="1"'
    r'| stroke-dasharray="(?:1,0)?"| font-family="[^"]*"| font-size="12px"'
)
_STROKES = re.compile(r' stroke-(?:width|dasharray|opacity|linecap|linejoin)="[^"]*"')
_LONG = re.compile(r"-?\d+\.\d{2,}(?:e-?\d+)?")
_POSITION = re.compile(r' (?:d|transform|x|y|x1|y1|x2|y2|width|height|points)="[^"]*"')
_OPACITY = re.compile(r'(?<=opacity=")0\.\d{3,}(?=")')
_EMPTY = re.compile(
    r'<path d="M0,0h0v0h0Z"[^>]*/>|<path d="" display="none"/>|<g[^>]*></g>|<g[^>]*/>'
    # Nothing is filled or drawn unless it says so; what limits a drawing is no part of it.
    r'|(?<!<clipPath)(?<=>)<path(?: transform="[^"]*")? d="[^"]*"/>(?!</clipPath>)'
)
_RGB = re.compile(r"rgb\((\d+), (\d+), (\d+)\)")


def compact(svg: str) -> str:
    """A drawing that looks as before, in about a fifth of the letters for a cloud of points."""
    svg = _TAG.sub(_plain, svg)
    svg = _TAG.sub(lambda tag: _POSITION.sub(_rounded, tag[0]), svg)
    svg = _OPACITY.sub(lambda found: f"{float(found[0]):.2f}", svg)
    while (shorter := _EMPTY.sub("", svg)) != svg:
        svg = shorter
    svg = _together(_flat(_merged(_RGB.sub(_hex, svg))))
    return svg.replace("<svg ", '<svg font-family="system-ui, sans-serif" font-size="12px" ', 1)


def _plain(tag: re.Match[str]) -> str:
    """A tag without what changes nothing."""
    kept = _NEEDLESS.sub("", tag[0])
    return kept if ' stroke="' in kept or kept.startswith(("<g", "<svg")) else _STROKES.sub("", kept)


def _rounded(attribute: re.Match[str]) -> str:
    """Places to a tenth of a pixel."""
    return _LONG.sub(lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), attribute[0])


def _hex(colour: re.Match[str]) -> str:
    return f"#{int(colour[1]):02x}{int(colour[2]):02x}{int(colour[3]):02x}"


_RUN = re.compile(r"(?:<(?:path|line)(?: [a-z0-9-]+=\"[^\"]*\")*/>){1,}")
_MARK = re.compile(r"<(path|line)((?: [a-z0-9-]+=\"[^\"]*\")*)/>")
_PLACE = re.compile(r' transform="translate\(([\d.e-]+),([\d.e-]+)\)"')
_SHAPE = re.compile(r' d="([^"]*)"')
_END = re.compile(r' x2="([^"]*)" y2="([^"]*)"')
_FILL = re.compile(r' fill="[^"]*"')
_RECTANGLE = re.compile(r"M[\d.e-]+,[\d.e-]+h[\d.e-]+v[\d.e-]+h[\d.e-]+Z")

LINES, OFTEN, POINTS = 3, 6, 12
"""Marks of one look from which on lines and cells become one, shapes are named, and markers draw points."""


class _Names:
    """What is kept once: shapes, and the markers that draw them in a colour."""

    def __init__(self) -> None:
        self.shapes: dict[str, str] = {}
        self.markers: dict[tuple[str, str], str] = {}

    def shape(self, kind: str) -> str:
        return self.shapes.setdefault(kind, f"s{len(self.shapes)}")

    def marker(self, kind: str, fill: str) -> str:
        return self.markers.setdefault((kind, fill), f"m{len(self.markers)}")

    def kept(self) -> Iterator[str]:
        for (kind, fill), name in self.markers.items():
            shape = f'<use href="#{self.shape(kind)}"{fill}/>'
            units = 'markerUnits="userSpaceOnUse" overflow="visible"'
            yield f'<marker id="{name}" {units}>{shape}</marker>'
        for kind, name in self.shapes.items():
            yield f'<path id="{name}"{kind}/>'


def _merged(svg: str) -> str:
    """A drawing in which neighbours that look the same are one element."""
    names = _Names()
    shapes = Counter(
        _FILL.sub("", look)
        for kind, look, _ in (_looks(*mark) for mark in _MARK.findall(svg))
        if kind == "point"
    )
    often = {shape for shape, count in shapes.items() if count >= OFTEN}
    svg = _RUN.sub(lambda run: "".join(_run(run[0], names, often)), svg)
    if kept := "".join(names.kept()):
        head, body = svg.split(">", 1)
        return f'{head}><defs fill="none">{kept}</defs>{body}'
    return svg


def _run(marks: str, names: _Names, often: set[str]) -> Iterator[str]:
    """Neighbours without anything between, those that look the same together."""
    groups: dict[tuple[str, str, str], list[tuple[str, str]]] = defaultdict(list)
    for tag, attributes in _MARK.findall(marks):
        kind, look, place = _looks(tag, attributes)
        groups[kind, look, "" if kind else f"{tag}{len(groups)}"].append((place, f"<{tag}{attributes}/>"))
    for (kind, look, _), members in groups.items():
        places = [place for place, _ in members]
        if kind in ("line", "cell") and len(members) >= LINES:
            plain = ' fill="none"' if kind == "line" else ""
            yield f'<path d="{"".join(places)}"{plain}{look}/>'
        elif kind == "point" and _FILL.sub("", look) in often:
            yield from _points(places, look, names)
        else:
            yield from (whole for _, whole in members)


def _looks(tag: str, attributes: str) -> tuple[str, str, str]:
    """What a mark is (empty for what is left alone), all but its place, and its place."""
    place = _PLACE.search(attributes)
    if tag == "line":
        end = _END.search(attributes)
        if place is None or end is None:
            return "", attributes, ""
        return "line", _END.sub("", _PLACE.sub("", attributes)), f"M{place[1]},{place[2]}l{end[1]},{end[2]}"
    shape = _SHAPE.search(attributes)
    if place is not None and shape is not None:
        return "point", _PLACE.sub("", attributes), f"{place[1]},{place[2]}"
    if place is None and shape is not None and _RECTANGLE.fullmatch(shape[1]):
        return "cell", _SHAPE.sub("", attributes), shape[1]
    return "", attributes, ""


def _points(places: list[str], look: str, names: _Names) -> Iterator[str]:
    """Points of one shape and colour: a line that is not drawn, with a marker at each of its corners."""
    found = _FILL.search(look)
    fill, kind = found[0] if found else "", _FILL.sub("", look)
    if len(places) >= POINTS:
        use = f"url(#{names.marker(kind, fill)})"
        ends = "".join(f' marker-{end}="{use}"' for end in ("start", "mid", "end"))
        yield f'<path fill="none"{ends} d="M{" ".join(places)}"/>'
    else:
        for place in places:
            x, y = place.split(",")
            yield f'<use href="#{names.shape(kind)}" x="{x}" y="{y}"{fill}/>'


_SHIFT = re.compile(r' transform="translate\(0,0\)"')


def _flat(svg: str) -> str:
    """A drawing without the groups that change nothing in what they hold."""
    parts: list[str] = []
    kept: list[bool] = []
    end = 0
    for tag in _TAG.finditer(svg):
        parts.append(svg[end : tag.start()])
        end = tag.end()
        words = tag[0]
        if words.startswith("<g"):
            words = _SHIFT.sub("", words)
            kept.append(words != "<g>")
            parts.append(words if kept[-1] else "")
        elif words == "</g>":
            parts.append(words if kept.pop() else "")
        else:
            parts.append(words)
    return "".join([*parts, svg[end:]])


_TEXTS = re.compile(r'(?:<text[^<>]* transform="translate\([^()]*\)"[^<>]*>[^<>]*</text>){2,}')
_TEXT = re.compile(r"<text([^<>]*)>([^<>]*)</text>")


def _together(svg: str) -> str:
    """A drawing in which neighbouring words of one look have it from their group."""
    return _TEXTS.sub(lambda run: "".join(_texts(run[0])), svg)


def _texts(run: str) -> Iterator[str]:
    for look, texts in groupby(_TEXT.findall(run), lambda text: _PLACE.sub("", text[0])):
        places = [(_PLACE.search(attributes), words) for attributes, words in texts]
        told = "".join(f'<text x="{at[1]}" y="{at[2]}">{words}</text>' for at, words in places if at)
        yield f"<g{look}>{told}</g>" if len(places) > 1 else told.replace("<text", f"<text{look}", 1)
