"""The documentation as a site, with the gallery: ``python -m benchmarks.site OUT``, or ``make site``.

A warning of the generator, or a link that leads nowhere, ends it with status 1. It needs the extra ``site``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

DOCS = Path("docs")


class Links(HTMLParser):
    """Where a page's links and pictures lead, and the names that its parts have."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name in ("id", "name") and value:
                self.names.add(value)


@cache
def links_in(page: Path) -> Links:
    """The links and names of a page."""
    found = Links()
    found.feed(page.read_text("utf-8"))
    return found


def broken(site: Path) -> Iterator[str]:
    """Every link inside a site that leads to no file, or to no part of a page, as ``page: link``."""
    for page in sorted(site.rglob("*.html")):
        for link in links_in(page).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            path = unquote(parts.path)
            target = page if not path else site / path[1:] if path.startswith("/") else page.parent / path
            whole = target / "index.html" if target.is_dir() else target
            inside = whole.suffix != ".html" or not parts.fragment
            if not whole.is_file() or not (inside or unquote(parts.fragment) in links_in(whole).names):
                yield f"{page.relative_to(site)}: {link}"


def build(out: Path, extra: Path | None = None) -> int:
    """Make the site, with the gallery that ``extra`` holds; the exit status."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html"]
    environment = {**os.environ, "DIAG_GALLERY": "" if extra is None else str(extra)}
    status = subprocess.run([*command, str(DOCS), str(out)], env=environment).returncode
    wrong = list(broken(out)) if status == 0 else []
    for line in wrong:
        sys.stderr.write(f"a link that leads nowhere: {line}\n")
    return status or int(bool(wrong))


def main() -> None:
    """Make the gallery and the site."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m benchmarks.site OUT")
    from benchmarks.gallery import gallery

    with TemporaryDirectory() as extra:
        gallery(Path(extra, "gallery"))
        sys.exit(build(Path(sys.argv[1]), Path(extra)))


if __name__ == "__main__":
    main()
