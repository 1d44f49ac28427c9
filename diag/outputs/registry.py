"""Every output by kind of result and format: adding one is a file in this folder and a line here.

Renderers are named, not imported, so that a result can be shown by whoever holds it, and nothing heavy is
loaded before it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diag.shown import Shown
    from reports import Page

_VERDICT = "words:verdict_of"

RENDERERS: Mapping[str, Mapping[str, str]] = {
    "calibration": {
        "brief": "calibrate_text:brief",
        "text": "calibrate_text:render",
        "page": "calibrate_html:page",
        "frames": "calibrate_frames:frames",
    },
    "check": {
        "brief": "check_text:brief",
        "text": "check_text:render",
        "page": "check_html:page",
        "junit": "check_junit:render",
        "sarif": "check_sarif:render",
        "github": "check_github:annotations",
        "frames": "check_frames:frames",
    },
    "comparison": {
        "brief": _VERDICT,
        "text": "compare_text:render",
        "page": "compare_html:page",
        "picture": "compare_picture:render",
        "frames": "compare_frames:frames",
    },
    "description": {"brief": "show_text:title", "text": "show_text:render", "page": "show_html:page"},
    "environment_metrics": {
        "brief": "environment_words:brief",
        "text": "environment_text:render",
        "page": "environment_html:page",
        "frames": "environment_frames:frames",
    },
    "file_description": {
        "brief": "show_file_text:title",
        "text": "show_file_text:render",
        "page": "show_file_html:page",
    },
    "forecast": {
        "brief": _VERDICT,
        "text": "forecast_text:render",
        "page": "forecast_html:page",
        "frames": "forecast_frames:frames",
    },
    "landscape": {
        "brief": _VERDICT,
        "text": "landscape_text:render",
        "page": "landscape_html:page",
        "picture": "landscape_picture:render",
        "frames": "landscape_frames:frames",
    },
    "landscape_pairs": {
        "brief": _VERDICT,
        "text": "landscape_pairs_text:render",
        "page": "landscape_pairs_html:page",
        "frames": "landscape_pairs_frames:frames",
    },
    "layers": {
        "brief": _VERDICT,
        "text": "layers_text:render",
        "page": "layers_html:page",
        "frames": "layers_frames:frames",
    },
    "probe": {
        "brief": _VERDICT,
        "text": "probe_text:render",
        "page": "probe_html:page",
        "frames": "probe_frames:frames",
    },
    "repair": {
        "brief": _VERDICT,
        "text": "repair_text:render",
        "page": "repair_html:page",
        "frames": "repair_frames:frames",
    },
    "sources": {
        "brief": _VERDICT,
        "text": "sources_text:render",
        "page": "sources_html:page",
        "frames": "sources_frames:frames",
    },
    "study": {
        "brief": _VERDICT,
        "text": "study_text:render",
        "page": "study_html:page",
        "frames": "study_frames:frames",
    },
    "study_forecast": {
        "brief": _VERDICT,
        "text": "study_forecast_text:render",
        "page": "study_forecast_html:page",
        "frames": "study_forecast_frames:frames",
    },
    "subject": {"brief": "subject_text:title", "text": "subject_text:render", "page": "subject_html:page"},
}
"""``module:function`` of this package by kind of result (:attr:`diag.shown.Shown.kind`) and by format.

``brief`` is one line, ``text`` is for a terminal (and takes ``verbose``), ``page`` is a
:class:`reports.Page`, ``frames`` are tidy tables by name, the chief one first; what else
a kind can be written as stands beside them.
"""

EVERY_KIND: Mapping[str, str] = {"html": "registry:html", "json": "json:render", "cell": "registry:cell"}
"""Formats that any kind of result can be written in."""


def renderer(kind: str, form: str) -> Callable[..., Any]:
    """The function that writes results of a kind in a format; raises KeyError where there is none."""
    module, name = (RENDERERS[kind].get(form) or EVERY_KIND[form]).split(":")
    function: Callable[..., Any] = getattr(import_module(f"diag.outputs.{module}"), name)
    return function


def text(result: Shown, verbose: bool = False) -> str:
    """A result as its command prints it, as wide as the terminal."""
    words: str = renderer(result.kind, "text")(result, verbose)
    return words


def page(result: Shown) -> Page:
    """A result as a page, before it is rendered."""
    drawn: Page = renderer(result.kind, "page")(result)
    return drawn


def html(result: Shown, static: bool = False) -> str:
    """A result as one self-contained HTML page; without scripts where it is to be static."""
    from reports import render, warmed

    warmed()
    return render(page(result), live=not static)


def cell(result: Shown) -> str:
    """A result for a notebook's output cell: its page without scripts, in a frame of its own."""
    from diag.outputs.notebook import framed
    from reports import warmed

    warmed()
    return framed(page(result))
