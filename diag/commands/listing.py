"""The list of a folder's reports that ``diag open`` shows: address, kind, status and time of each."""

from __future__ import annotations

import html
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from trainers.safe_text import plain

MOST_LISTED = 2000
"""Most reports of a list: a folder of a study has a few."""

HEAD = 2**18
"""Bytes at the beginning of a file that its title and its status stand in."""

SUFFIXES = frozenset((".html", ".json", ".png", ".svg"))
"""What is given out; of these, pages and results are listed."""

_FOREIGN = frozenset("\\/\0:" if sys.platform == "win32" else "\\/\0")
"""Letters that no name in an address has; a colon is a drive's, or a stream's, on Windows alone."""

_TITLE = re.compile(r"<title>([^<]*)</title>")
_STATUS = re.compile(r'class="verdict (\w{1,20})"')
_KIND = re.compile(r'\A\{\s*"schema_version": \d+,\s*"diagnosis": "([^"\\]{1,60})"')
_JUDGED = re.compile(r'^  "verdict": \{\s*"status": "(\w{1,20})"', re.MULTILINE)
_OUTCOME = re.compile(r'^  "outcome": "(\w{1,20})"', re.MULTILINE)


@dataclass(frozen=True)
class Report:
    """A page, or a saved result, of a folder."""

    path: str
    """From the folder, with slashes."""
    kind: str
    """The page's title, which is the command's name, or the result's diagnosis."""
    status: str
    """``pass``, ``fail``, …; empty where it says none."""
    changed: float
    """Seconds since the epoch."""


def file_of(root: Path, path: str, only: str | None = None) -> Path | None:
    """The file of an address below a folder; None where it is none that is given out."""
    parts = PurePosixPath(path.removeprefix("/")).parts
    # Checked before the disk is asked: no way up, nothing hidden, and no name of another system.
    if not parts or any(part.startswith(".") or set(part) & _FOREIGN for part in parts):
        return None
    if only is not None and parts != (only,):
        return None
    try:
        found = root.joinpath(*parts).resolve(strict=True)
        below = found.relative_to(root)
    except (OSError, ValueError, RuntimeError):  # not there, a link out of the folder or to itself
        return None
    hidden = any(part.startswith(".") for part in below.parts)
    return None if hidden or found.suffix.lower() not in SUFFIXES else found


def listed(root: Path, only: str | None = None) -> list[Report]:
    """The pages and the saved results below a folder by their paths; hidden ones are passed over.

    Links to folders are not followed. With ``only``, the list is of that file alone.
    """
    if only is not None:
        alone = _report(only, root)
        return [] if alone is None else [alone]
    found: list[Report] = []
    for folder, below, files in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(files):
            if name.startswith(".") or Path(name).suffix.lower() not in (".html", ".json"):
                continue
            if (report := _report(Path(folder, name).relative_to(root).as_posix(), root)) is not None:
                found.append(report)
            if len(found) == MOST_LISTED:
                return found
    return found


def page_of(folder: str, reports: Sequence[Report]) -> str:
    """The list as a page without scripts."""
    rows = "".join(
        f'<tr><td><a href="/{html.escape(quote(one.path, errors="surrogateescape"))}">'
        f"{html.escape(plain(one.path))}</a></td>"
        f"<td>{html.escape(one.kind)}</td><td>{_badge(one.status)}</td>"
        f"<td>{datetime.fromtimestamp(one.changed):%Y-%m-%d %H:%M}</td></tr>\n"
        for one in reports
    )
    table = (
        "<table><thead><tr><th>report</th><th>kind</th><th>status</th><th>changed</th></tr></thead>\n"
        f"<tbody>\n{rows}</tbody></table>"
    )
    none = "<p>There is no page and no saved result in this folder.</p>"
    cut = f"<p>Only the first {MOST_LISTED:,} are listed.</p>" if len(reports) == MOST_LISTED else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Reports</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>Reports in {html.escape(plain(folder))}</h1>\n{table if reports else none}\n{cut}"
        "</body>\n</html>\n"
    )


_MARKS = {"pass": "✓", "warn": "!", "fail": "✗", "inconclusive": "?", "error": "✗"}
"""What stands before a status, as on the pages: colour alone tells too few readers."""


def _badge(status: str) -> str:
    if status not in _MARKS:
        return html.escape(status if status and status != "none" else "–")
    return f'<span class="{status}">{_MARKS[status]} {status}</span>'


_STYLE = """
:root{color-scheme:light dark}
body{margin:0 auto;padding:1.75rem clamp(1rem,3vw,2.5rem);max-width:82rem;box-sizing:border-box;
color:#1a1f26;background:#fff;font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:1.75rem;line-height:1.2;overflow-wrap:anywhere}a{color:#0b5ca8}
thead th{color:#56606c;font-weight:500;font-size:.875rem}
span{display:inline-block;padding:.05rem .6rem .1rem;border-radius:99rem;color:#fff;white-space:nowrap;
font-weight:650;font-size:.8125rem}
.pass{background:#0b6b4b}.warn{background:#8a5300}.fail{background:#b0360b}.inconclusive{background:#57606b}
.error{background:#943273}
@media (prefers-color-scheme:dark){
body{color:#e7eaee;background:#14171c}a{color:#7cb8f2}thead th{color:#a3adb8}}
table{border-collapse:collapse;width:100%}
th,td{padding:.35rem 1rem .35rem 0;text-align:left;border-bottom:1px solid #8886;vertical-align:top}
td:first-child{overflow-wrap:anywhere}td:last-child{white-space:nowrap;font-variant-numeric:tabular-nums}
"""


def _report(path: str, root: Path) -> Report | None:
    """The row of a page or a saved result; None for other JSON, and for what is not given out."""
    place = file_of(root, path)
    if place is None or place.suffix.lower() not in (".html", ".json"):
        return None
    try:
        if not place.is_file():
            return None
        with place.open("rb") as file:
            head = file.read(HEAD).decode("utf-8", "replace")
        changed = place.stat().st_mtime
    except (OSError, RuntimeError, ValueError):
        return None
    if place.suffix.lower() == ".json":
        if (kind := _KIND.search(head)) is None:
            return None
        judged = _JUDGED.search(head) or _OUTCOME.search(head)
        return Report(path, kind[1], "" if judged is None else judged[1], changed)
    title, status = _TITLE.search(head), _STATUS.search(head)
    name = "" if title is None else plain(" ".join(html.unescape(title[1]).split()))
    return Report(path, name, "" if status is None else status[1], changed)
