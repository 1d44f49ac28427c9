"""A page as one self-contained HTML document: opens offline and makes no request.

Every chart stands in it as inline SVG, for readers without JavaScript, mail, print and strict content
policies; where scripts run, a live chart takes its place (:mod:`reports.live`).
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from reports import live as live_charts
from reports.drawings import Drawn, as_it_stands, drawn, specification
from reports.page import Drawing, Figure, Key, Page, Section
from reports.tables import is_narrow, rendered

BESIDE = 640
"""Widest drawing in CSS pixels that stands beside its words; a wider one takes the page's whole width."""

LEAST = 0.74
"""Least scale of a drawing: on a narrower screen it scrolls, since its text could not be read."""

MOST = 1.25
"""Largest scale of a drawing in a wide column."""

STATUSES = {
    "pass": ("✓", "Pass"),
    "warn": ("!", "Warning"),
    "fail": ("✗", "Fail"),
    "inconclusive": ("?", "Inconclusive"),
    "error": ("✗", "Error"),
}
"""Sign and word of each status: neither needs its colour."""

# The page may run its own script and style, and fetch nothing at all.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True)
class _Shown:
    """A section with its picture drawn, and the number of its live chart, if it has one."""

    section: Section
    drawing: Drawn | None
    number: int | None


def render(page: Page, live: bool = True) -> str:
    """The page's text; with ``live=False`` the drawings stay as they are, and no script stands in it."""
    shown, specs = _drawn(page.sections, live)
    anchors = _anchors(page.sections)
    body = "\n".join(_section(one, anchor) for one, anchor in zip(shown, anchors, strict=True))
    script = ""
    if specs:
        script += f'<script type="text/plain" id="library">{live_charts.library()}</script>\n'
        script += f'<script type="text/plain" id="specs">{live_charts.specifications(specs)}</script>\n'
    if live:
        script += f"<script>{_asset('page.js')}</script>\n"
    title = f"{page.kind}: {page.title}" if page.kind else page.title
    kind = f'<p class="kind">{html.escape(page.kind)}</p>\n' if page.kind else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_asset('page.css')}</style>\n</head>\n<body>\n"
        f'<header class="band">\n{kind}<h1>{html.escape(page.title)}</h1>\n'
        f"{_verdict(page.status, page.verdict)}{_keys(page.keys)}</header>\n"
        f"{_contents(page.sections, anchors, bool(page.facts))}"
        f'<main class="band">\n{body}\n{_provenance(page.facts)}</main>\n'
        f'<footer class="band">{html.escape(page.footer)}</footer>\n{script}</body>\n</html>\n'
    )


@cache
def _asset(name: str) -> str:
    return (files("reports") / "assets" / name).read_text("utf-8")


def _drawn(sections: Sequence[Section], live: bool) -> tuple[list[_Shown], list[dict[str, Any]]]:
    shown: list[_Shown] = []
    specs: list[dict[str, Any]] = []
    for place, section in enumerate(sections):
        figure = section.figure
        if isinstance(figure, Figure):
            spec = specification(figure.chart)
            still = getattr(figure.chart, "still", None) or spec
            shown.append(_Shown(section, drawn(still, place), len(specs) if live else None))
            specs += [spec] if live else []
        else:
            shown.append(_Shown(section, None if figure is None else as_it_stands(figure), None))
    return shown, specs


def _anchors(sections: Sequence[Section]) -> list[str]:
    return [f"part-{number}" for number in range(1, len(sections) + 1)]


_SENTENCE = re.compile(r"(?<=[.!?]) (?=[A-Z])")


def _verdict(status: str, words: str) -> str:
    """The badge and the first sentence in large, what else the verdict says below it."""
    first, *others = _SENTENCE.split(words, maxsplit=1)
    told = f'<p class="sentence">{html.escape(first)}</p>'
    told += "".join(f"<p>{html.escape(other)}</p>" for other in others)
    if status not in STATUSES:
        return f'<div class="verdict"><div>{told}</div></div>\n'
    sign, word = STATUSES[status]
    badge = f'<strong class="badge"><span aria-hidden="true">{sign}</span> {word}</strong>'
    return f'<div class="verdict {status}">{badge} <div>{told}</div></div>\n'


def _keys(keys: Sequence[Key]) -> str:
    if not keys:
        return ""
    told = "".join(
        f"<div><dt>{html.escape(key.name)}</dt><dd>{html.escape(key.value)}"
        + (f" <small>{html.escape(key.note)}</small>" if key.note else "")
        + "</dd></div>"
        for key in keys
    )
    return f'<dl class="keys">{told}</dl>\n'


def _contents(sections: Sequence[Section], anchors: Sequence[str], facts: bool) -> str:
    """Links to the sections, where there are enough of them to look for one."""
    links = [(a, s.short or s.title) for a, s in zip(anchors, sections, strict=True)]
    if facts:
        links.append(("provenance", "Provenance"))
    if len(links) < 3:
        return ""
    told = "".join(f'<li><a href="#{anchor}">{html.escape(name)}</a></li>' for anchor, name in links)
    return f'<nav aria-label="Contents"><div class="band"><ul>{told}</ul></div></nav>\n'


def _section(one: _Shown, anchor: str) -> str:
    section = one.section
    beside = one.drawing is not None and one.drawing.width <= BESIDE and _has_words(section)
    kind = ' class="beside"' if beside else ""
    parts = [f'<section id="{anchor}"{kind}>\n']
    parts.append(f"<h2>{html.escape(section.title)}</h2>\n")
    parts.append(_text(section))
    if one.drawing is not None and section.figure is not None:
        parts.append(_figure(section.figure, one.drawing, one.number))
    if section.table is not None:
        parts.append(_table(section))
    parts.append("</section>\n")
    return "".join(parts)


def _text(section: Section) -> str:
    """Words and commands, and explanations folded away; on a narrow page these come last."""
    told = ""
    if section.words or section.commands:
        words = _paragraphs(section.words)
        told += f'<div class="lead">{words}{"".join(map(_command, section.commands))}</div>\n'
    if section.notes:
        notes = _paragraphs(section.notes)
        told += f'<details class="notes"><summary>How to read this</summary>\n{notes}</details>\n'
    return f'<div class="text">\n{told}</div>\n' if told else ""


def _paragraphs(words: Sequence[str]) -> str:
    return "".join(f"<p>{html.escape(one)}</p>\n" for one in words)


def _has_words(section: Section) -> bool:
    return bool(section.words or section.notes or section.commands)


def _command(words: str) -> str:
    return f'<div class="command"><pre tabindex="0"><code>{html.escape(words)}</code></pre></div>\n'


def _figure(figure: Figure | Drawing, drawing: Drawn, number: int | None) -> str:
    label = html.escape(figure.description, quote=True)
    spec = "" if number is None else f' data-spec="{number}"'
    caption = f"<figcaption>{html.escape(figure.caption)}</figcaption>" if figure.caption else ""
    least, most = LEAST * drawing.width, MOST * drawing.width
    size = f' style="min-width:{least:.0f}px;width:{most:.0f}px"' if drawing.width else ""
    svg = drawing.svg.replace("<svg", f"<svg{size}", 1)
    return (
        f'<figure{spec} tabindex="0">'
        f'<div class="drawing" role="img" aria-label="{label}">{svg}</div>{caption}</figure>\n'
    )


def _table(section: Section) -> str:
    assert section.table is not None
    room = "narrow" if is_narrow(section.table) else "broad"
    table = rendered(section.table)
    if section.folded:
        return f'<details class="{room}"><summary>The numbers in a table</summary>\n{table}</details>\n'
    return f'<div class="{room}">{table}</div>\n'


def _provenance(facts: Sequence[tuple[str, str]]) -> str:
    if not facts:
        return ""
    told = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in facts)
    return f'<section id="provenance">\n<h2>Provenance</h2>\n<dl class="facts">{told}</dl>\n</section>\n'
