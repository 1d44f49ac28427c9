"""One self-contained HTML page: words, tables and charts; opens offline and makes no request.

Every chart stands in the page twice: as inline SVG, for readers without JavaScript, mail, print and
strict content policies, and as a Vega-Lite spec that replaces it with a live one. The libraries stand
in it once.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from reports.charts import STATUS_COLOURS

VEGA_LITE = "6.4"

NO_STATUS = "#888888"
"""The colour beside words that judge nothing."""


@dataclass(frozen=True)
class Figure:
    """A chart and the sentence that says what it shows (read aloud in its place)."""

    chart: Any
    description: str


@dataclass(frozen=True)
class Drawing:
    """An SVG drawing as it stands, which no script replaces, and the sentence that says what it shows."""

    svg: str
    description: str


@dataclass(frozen=True)
class Section:
    """A heading with paragraphs, then a figure and a table, each optional."""

    title: str
    words: Sequence[str] = ()
    figure: Figure | Drawing | None = None
    table: pd.DataFrame | None = None


@dataclass(frozen=True)
class Page:
    """A whole report; ``status`` colours the verdict (empty for no judgement); ``facts`` stand under it."""

    title: str
    status: str
    verdict: str
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section]
    footer: str


_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--soft:#f4f5f7;--line:#d5d9df}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--paper:#15181c;--soft:#1f2329;--line:#3a414a}}
body{margin:0 auto;padding:2rem 1rem;max-width:50rem;font:16px/1.5 system-ui,sans-serif;color:var(--ink);
background:var(--paper)}
h1{font-size:1.5rem;margin:0 0 1rem}h2{font-size:1.1rem;margin:2.5rem 0 .5rem}
.verdict{padding:.8rem 1rem;border-left:.4rem solid;background:var(--soft);font-size:1.1rem}
.verdict b{text-transform:uppercase;letter-spacing:.04em;margin-right:.6rem}
figure{margin:1rem 0;overflow-x:auto}figure svg{max-width:100%;height:auto}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto;width:max-content;max-width:calc(min(50vw + 25rem,100vw) - 2rem)}
th,td{padding:.2rem .7rem .2rem 0;text-align:right;border-bottom:1px solid var(--line);
white-space:nowrap}th:first-child,td:first-child{text-align:left}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;font-size:.9rem}dt{opacity:.7}
dd{margin:0;overflow-wrap:anywhere}footer{margin-top:3rem;font-size:.85rem;opacity:.75}
"""

# The page may run its own script and style, and fetch nothing at all.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"

_DRAW = """
for (const figure of document.querySelectorAll("figure[data-spec]")) {
  const spec = JSON.parse(document.getElementById(figure.dataset.spec).textContent);
  const live = document.createElement("div");
  vegaEmbed(live, spec, {ast: true, actions: false, renderer: "svg"}).then(
    () => figure.replaceChildren(live),
    (error) => console.error(error),
  );
}
"""


def _spec(chart: Any) -> dict[str, Any]:
    """The chart with all its rows: Altair's own limit of 5,000 is against slips, and callers thin."""
    with alt.data_transformers.enable("default", max_rows=None):
        spec: dict[str, Any] = chart.to_dict()
    return spec


def render(page: Page, live: bool = True) -> str:
    """The page's text; with ``live=False`` the drawings stay static, and no script stands in it."""
    figures = [s.figure for s in page.sections if isinstance(s.figure, Figure)] if live else []
    numbers = {id(figure): number for number, figure in enumerate(figures)}
    body = "".join(_section(s, place, numbers.get(id(s.figure))) for place, s in enumerate(page.sections))
    facts = "".join(f"<dt>{html.escape(n)}</dt><dd>{html.escape(v)}</dd>" for n, v in page.facts)
    specs = "".join(
        f'<script type="application/json" id="spec-{number}">{_escaped(_spec(figure.chart))}</script>\n'
        for number, figure in enumerate(figures)
    )
    status = f"<b>{html.escape(page.status)}</b> " if page.status else ""
    script = f"<script>{_bundle()}</script>" if figures else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{html.escape(page.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(page.title)}</h1>\n"
        f'<p class="verdict" style="border-color:{STATUS_COLOURS.get(page.status, NO_STATUS)}">'
        f"{status}{html.escape(page.verdict)}</p>\n"
        f"<dl>{facts}</dl>\n{body}\n<footer>{html.escape(page.footer)}</footer>\n{specs}{script}\n"
        "</body>\n</html>\n"
    )


def _section(section: Section, place: int, number: int | None) -> str:
    parts = [f"<section>\n<h2>{html.escape(section.title)}</h2>\n"]
    parts += [f"<p>{html.escape(words)}</p>\n" for words in section.words]
    if section.figure is not None:
        svg = _static(section.figure, place)
        label = html.escape(section.figure.description, quote=True)
        spec = "" if number is None else f' data-spec="spec-{number}"'
        parts.append(f'<figure role="img" aria-label="{label}"{spec}>{svg}</figure>\n')
    if section.table is not None:
        table = section.table.to_html(index=False, border=0, na_rep="–", escape=True)
        parts.append(f'<div class="scroll">{table}</div>\n')
    parts.append("</section>\n")
    return "".join(parts)


def _static(figure: Figure | Drawing, place: int) -> str:
    if isinstance(figure, Drawing):
        return figure.svg
    return _renamed(vl_convert.vegalite_to_svg(_spec(figure.chart), vl_version=VEGA_LITE), place)


_TAG, _NAME = re.compile(r"<[^<>]*>"), re.compile(r'(?<= id=")[^"]+')
_USE = re.compile(r"""(?<= id=")[^"]+|(?<=url\(#)[^)]+|(?<=href="#)[^"]+""")


def _renamed(svg: str, place: int) -> str:
    """A drawing whose inner names (clips, gradients) are counted anew.

    The renderer counts them on over all that a process draws, so that one chart would never give the same
    bytes twice.
    """
    names = dict.fromkeys(name for tag in _TAG.findall(svg) for name in _NAME.findall(tag))
    new = {name: f"drawing{place}-{count}" for count, name in enumerate(names)}
    return _TAG.sub(lambda tag: _USE.sub(lambda use: new.get(use[0], use[0]), tag[0]), svg)


def _escaped(spec: dict[str, Any]) -> str:
    """JSON that cannot end the script element that it stands in."""
    return json.dumps(spec, allow_nan=False).replace("<", "\\u003c")


@cache
def _bundle() -> str:
    bundle: str = vl_convert.javascript_bundle(_DRAW, vl_version=VEGA_LITE)
    return bundle.replace("</script", "<\\/script")
