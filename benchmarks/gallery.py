"""A page of each kind, made from the shipped checkpoints: ``python -m benchmarks.gallery OUT``.

The documentation's site links them. Every number follows from the checkpoints in ``examples/`` and seed 0.
"""

from __future__ import annotations

import html
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import diag
from diag.outputs.combined import Part, combined
from diag.outputs.registry import page
from diag.studies.reading import report_of
from reports import Figure, Page, render
from reports.document import STATUSES
from reports.drawings import drawn, specification

EXAMPLES = Path("examples")
BASE, LANDED, FAILED = (str(EXAMPLES / f"{name}.safetensors") for name in ("base", "matched", "mirrored"))

WORDS = {
    "compare-landed": "A transfer that lies where its base does.",
    "compare-mirrored": "A transfer that is the mirror image of its base.",
    "landscape": "The losses between the failed transfer and the one that landed.",
    "probe": "What can be read from the base's embedding, and from the failed transfer's.",
    "check": "A gate with both transfers: one passes, one fails.",
    "repair": "The failed transfer, mended: before, with a map folded in, after 100 updates.",
    "forecast": "How the failed transfer would have been forecast to end.",
    "layers": "Where in the two networks the failed transfer begins to differ.",
    "study": "The study tiny: ten trainings, too short to mean anything: what such a page holds.",
}
"""The pages, in the order of the list, and a sentence on each."""


def made(folder: Path) -> Mapping[str, Callable[[], Any]]:
    """What makes each result; ``folder`` is for the mended checkpoint, and for a study's trainings."""
    return {
        "compare-landed": lambda: diag.compare(BASE, LANDED),
        "compare-mirrored": lambda: diag.compare(BASE, FAILED),
        "landscape": lambda: diag.landscape(FAILED, LANDED, jobs=1),
        "probe": lambda: diag.probe(BASE, FAILED, projection="pca"),
        "check": lambda: diag.check(BASE, LANDED, FAILED),
        "repair": lambda: diag.repair(BASE, FAILED, out=folder / "mended.safetensors", train=100),
        "forecast": lambda: diag.forecast(FAILED, base=BASE),
        "layers": lambda: diag.layers(BASE, FAILED),
        "study": lambda: studied(folder / "tiny"),
    }


def studied(folder: Path) -> Any:
    """The shipped study ``tiny``, run and read as ``diag study`` does."""
    command = [sys.executable, "-m", "diag", "study", "run", "tiny", "--out", str(folder), "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return report_of(folder)


def gallery(out: Path) -> dict[str, Page]:
    """Write every page to a folder, all of them in one (``all.html``), and the list (``index.html``)."""
    out.mkdir(parents=True, exist_ok=True)
    pages: dict[str, Page] = {}
    with TemporaryDirectory() as folder:
        for name, make in made(Path(folder)).items():
            began = time.monotonic()
            pages[name] = page(make())
            (out / f"{name}.html").write_text(render(pages[name]), "utf-8")
            sys.stdout.write(f"{name}.html  {time.monotonic() - began:.0f} s\n")
            sys.stdout.flush()
    parts = [Part(name, one) for name, one in pages.items()]
    (out / "all.html").write_text(render(combined(parts, "gallery"), live=False), "utf-8")
    (out / "index.html").write_text(listed(pages), "utf-8")
    return pages


def listed(pages: Mapping[str, Page]) -> str:
    """The list of the pages, as a page without scripts: what each answers, and its first picture."""
    cards = "\n".join(_card(name, one, place) for place, (name, one) in enumerate(pages.items(), 1))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>Gallery</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n"
        "<h1>Gallery</h1>\n"
        "<p>A page of each kind, made from the checkpoints that ship with the package "
        "(<code>python -m benchmarks.gallery</code>).</p>\n"
        f'<ul>\n{cards}\n</ul>\n<p><a href="all.html">All of them in one page</a>, without scripts.</p>\n'
        "</body>\n</html>\n"
    )


STYLE = """
:root { color-scheme: light dark; --paper: Canvas; --line: #8886; }
body { margin: 0 auto; padding: 2rem 1rem; max-width: 76rem; font: 16px/1.5 system-ui, sans-serif; }
ul { list-style: none; padding: 0; display: grid; gap: 1.25rem;
  grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); }
li { border: 1px solid var(--line); border-radius: .5rem; padding: 1rem;
  display: flex; flex-direction: column; }
h2 { font-size: 1.1rem; margin: .1rem 0 .4rem; overflow-wrap: anywhere; }
p { margin: .3rem 0; }
.kind, .verdict { font-size: .9rem; }
.picture { margin-top: auto; padding-top: .8rem; }
.picture svg { display: block; width: 100%; height: auto; max-height: 12rem; overflow: visible; }
"""
"""Cards that stand side by side where there is room."""


def _card(name: str, one: Page, place: int) -> str:
    """A page in the list: its command and title, a sentence on it, its verdict and its first picture."""
    sign, word = STATUSES.get(one.status, ("", ""))
    told = f"<b>{sign} {word}</b> " if word else ""
    verdict = re.split(r"(?<=[.!?]) (?=[A-Z])", one.verdict, maxsplit=1)[0]
    first = next((s.figure for s in one.sections if isinstance(s.figure, Figure)), None)
    picture = ""
    if first is not None:
        still = getattr(first.chart, "still", None) or specification(first.chart)
        label = html.escape(first.description, quote=True)
        # Names inside a drawing are counted by its place, so that none stands on the page twice.
        svg = drawn(still, place).svg.replace("<svg", '<svg preserveAspectRatio="xMinYMid"', 1)
        picture = f'<div class="picture" role="img" aria-label="{label}">{svg}</div>'
    return (
        f'<li><p class="kind">{html.escape(one.kind)}</p>'
        f'<h2><a href="{name}.html">{html.escape(one.title)}</a></h2>'
        f'<p>{html.escape(WORDS[name])}</p><p class="verdict">{told}{html.escape(verdict)}</p>{picture}</li>'
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m benchmarks.gallery OUT")
    gallery(Path(sys.argv[1]))
