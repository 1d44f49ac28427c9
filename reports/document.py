"""A page as one self-contained HTML document: opens offline and makes no request.

Every chart stands in it as inline SVG, for readers without JavaScript, mail, print and strict content
policies; where scripts run, a live chart takes its place (:mod:`reports.live`).
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
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

MOST = 1.1
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


def render(page: Page, live: bool = True) -> str:
    """The page's text; with ``live=False`` the drawings stay as they are, and no script stands in it."""
    drawings = _Drawings(live)
    body = _body(page, drawings, "", 2)
    for number, part in enumerate(page.parts, 1):
        body += _part(part, drawings, number)
    script = ""
    if drawings.specs:
        script += f'<script type="text/plain" id="library">{live_charts.library()}</script>\n'
        script += (
            f'<script type="text/plain" id="specs">{live_charts.specifications(drawings.specs)}</script>\n'
        )
    if live:
        script += f"<script>{_asset('page.js')}</script>\n"
    title = f"{page.kind}: {page.title}" if page.kind else page.title
    text = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_asset('page.css')}</style>\n</head>\n<body>\n"
        f'<header class="band">\n{_head(page, 1)}{_index(page.parts)}</header>\n'
        f'{_contents(page)}<main class="band">\n{body}</main>\n'
        f'<footer class="band">{html.escape(page.footer)}</footer>\n{script}</body>\n</html>\n'
    )
    # A file's name may have bytes that are no letters: they are shown as such.
    return text.encode("utf-8", "backslashreplace").decode()


@cache
def _asset(name: str) -> str:
    return (files("reports") / "assets" / name).read_text("utf-8")


class _Drawings:
    """The pictures of a document: each has inner names of its own, and a live one a number."""

    def __init__(self, live: bool) -> None:
        self.live, self.count = live, 0
        self.specs: list[dict[str, Any]] = []

    def of(self, figure: Figure | Drawing) -> tuple[Drawn, int | None]:
        """The drawing of a figure, and the number of its specification where scripts may show it."""
        self.count += 1
        if isinstance(figure, Drawing):
            return as_it_stands(figure), None
        spec = specification(figure.chart)
        drawing = drawn(getattr(figure.chart, "still", None) or spec, self.count)
        if not self.live:
            return drawing, None
        self.specs.append(spec)
        return drawing, len(self.specs) - 1


def _head(page: Page, level: int) -> str:
    kind = f'<p class="kind">{html.escape(page.kind)}</p>\n' if page.kind else ""
    title = f"<h{level}>{html.escape(page.title)}</h{level}>\n"
    return f"{kind}{title}{_verdict(page.status, page.verdict)}{_keys(page.keys)}"


def _body(page: Page, drawings: _Drawings, before: str, level: int) -> str:
    """The sections of a page and its facts; their names in addresses begin with ``before``."""
    told = "".join(
        _section(section, f"{before}{number}", drawings, level)
        for number, section in enumerate(page.sections, 1)
    )
    return told + _provenance(page.facts, f"{before}provenance", level)


def _part(page: Page, drawings: _Drawings, number: int) -> str:
    """A whole page within another one."""
    head = f"<header>\n{_head(page, 2)}</header>\n"
    body = _body(page, drawings, f"part-{number}-", 3)
    footer = f'<p class="aside">{html.escape(page.footer)}</p>' if page.footer else ""
    return f'<article id="part-{number}">\n{head}{body}{footer}</article>\n'


def _index(parts: Sequence[Page]) -> str:
    """A row for each part: its status, its name with a link, its verdict's first sentence."""
    if not parts:
        return ""
    rows = "".join(
        f'<li class="{part.status or "none"}">{_badge(part.status)} <div><a href="#part-{number}">'
        f"{html.escape(part.title)}</a> <small>{html.escape(part.kind)}</small>"
        f"<p>{html.escape(_sentences(part.verdict)[0])}</p></div></li>\n"
        for number, part in enumerate(parts, 1)
    )
    return f'<ol class="index">\n{rows}</ol>\n'


_SENTENCE = re.compile(r"(?<=[.!?]) (?=[A-Z])")


def _verdict(status: str, words: str) -> str:
    """The badge and the first sentence in large, what else the verdict says below it."""
    first, *others = _sentences(words)
    told = f'<p class="sentence">{html.escape(first)}</p>'
    told += "".join(f"<p>{html.escape(other)}</p>" for other in others)
    if status not in STATUSES:
        return f'<div class="verdict"><div>{told}</div></div>\n'
    return f'<div class="verdict {status}">{_badge(status)} <div>{told}</div></div>\n'


def _badge(status: str) -> str:
    sign, word = STATUSES.get(status, ("", "Shown"))
    return f'<strong class="badge"><span aria-hidden="true">{sign}</span> {word}</strong>'


def _sentences(words: str) -> list[str]:
    """The first sentence, and the others together if there are any."""
    return _SENTENCE.split(words, maxsplit=1)


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


def _contents(page: Page) -> str:
    """Links to the sections and parts, where there are enough of them to look for one."""
    links = [(str(number), s.short or s.title) for number, s in enumerate(page.sections, 1)]
    links += [("provenance", "Provenance")] if page.facts else []
    titles = [part.title for part in page.parts]
    links += [  # two results of the same files are told apart by their commands
        (f"part-{number}", f"{part.kind}: {part.title}" if titles.count(part.title) > 1 else part.title)
        for number, part in enumerate(page.parts, 1)
    ]
    if len(links) < 3:
        return ""
    told = "".join(f'<li><a href="#{anchor}">{html.escape(name)}</a></li>' for anchor, name in links)
    return f'<nav aria-label="Contents"><div class="band"><ul>{told}</ul></div></nav>\n'


def _section(section: Section, anchor: str, drawings: _Drawings, level: int) -> str:
    drawing, number = (None, None) if section.figure is None else drawings.of(section.figure)
    beside = drawing is not None and drawing.width <= BESIDE and _has_words(section)
    kind = ' class="beside"' if beside else ""
    parts = [f'<section id="{anchor}"{kind}>\n']
    parts.append(f"<h{level}>{html.escape(section.title)}</h{level}>\n")
    parts.append(_text(section))
    if drawing is not None and section.figure is not None:
        parts.append(_figure(section.figure, drawing, number))
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
    return "".join(f"<p>{_quoted(one)}</p>\n" for one in words)


def _quoted(words: str) -> str:
    """A paragraph, escaped; what stands between backticks is set as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(words))


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


def _provenance(facts: Sequence[tuple[str, str]], anchor: str, level: int) -> str:
    if not facts:
        return ""
    told = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in facts)
    head = f"<h{level}>Provenance</h{level}>"
    return f'<section id="{anchor}">\n{head}\n<dl class="facts">{told}</dl>\n</section>\n'
