"""A server of reports for this machine's browser: it reads one folder, and listens on loopback alone.

A page on the internet could make the browser ask any address on this machine, also under a name of its own
(DNS rebinding): requests must name this server as their host, and no other page may embed what it gives.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import quote, unquote

from diag.commands.listing import file_of, listed, page_of
from diag.commands.output_files import UsageError

LOOPBACK = "127.0.0.1"

PATIENCE = 30.0
"""Seconds after which a connection that says nothing is closed."""

_OWN = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

PAGES = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    f"font-src data:; sandbox allow-scripts allow-popups allow-modals; {_OWN}"
)
"""Content policy of pages: their own script and style run, and nothing is asked for.

They run in an origin of their own, so that a page that somebody sent has no part in what others keep.
"""

OTHERS = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; {_OWN}"
"""Content policy of what runs no script: drawings, pictures, JSON, and the words of a refusal."""

LIST = f"default-src 'none'; style-src 'unsafe-inline'; {_OWN}"
"""Content policy of the list, whose links lead to the pages."""

KINDS: Mapping[str, tuple[str, str]] = {
    ".html": ("text/html; charset=utf-8", PAGES),
    ".json": ("application/json; charset=utf-8", OTHERS),
    ".png": ("image/png", OTHERS),
    ".svg": ("image/svg+xml", OTHERS),
}
"""Content type and policy of each suffix that is given out (:data:`diag.commands.listing.SUFFIXES`)."""

HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Server(ThreadingHTTPServer):
    """A server of the reports below ``root``, or of one of them."""

    daemon_threads = True

    def __init__(self, root: Path, only: str | None, port: int) -> None:
        self.root, self.only = root, only
        super().__init__((LOOPBACK, port), Handler)
        self.hosts = frozenset(f"{name}:{self.server_port}" for name in (LOOPBACK, "localhost"))
        if self.server_port == 80:
            self.hosts |= {LOOPBACK, "localhost"}

    @property
    def address(self) -> str:
        """Where the browser finds it."""
        return f"http://{LOOPBACK}:{self.server_port}/{quote(self.only or '')}"

    def file(self, path: str) -> Path | None:
        """The file of an address; None where it is none that is given out."""
        return file_of(self.root, path, self.only)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a browser that went away."""


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD; every other method is refused by the class that it is of."""

    timeout = PATIENCE

    def do_GET(self) -> None:
        self._answer(True)

    def do_HEAD(self) -> None:
        self._answer(False)

    def version_string(self) -> str:
        return "diag"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name of the class it is of)
        """Say nothing: the terminal is the person's."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse in one line of plain text, which repeats nothing of the request."""
        words = f"{code} {HTTPStatus(code).phrase}\n".encode()
        self._begin(code, "text/plain; charset=utf-8", OTHERS, len(words))
        if self.command != "HEAD":
            self.wfile.write(words)

    def _answer(self, whole: bool) -> None:
        server = cast(Server, self.server)
        if self.headers.get_all("Host") not in [[host] for host in server.hosts]:
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return
        path = unquote(re.split("[?#]", self.path, maxsplit=1)[0], errors="surrogateescape")
        if path == "/":
            content = page_of(str(server.root), listed(server.root, server.only)).encode()
            self._begin(HTTPStatus.OK, KINDS[".html"][0], LIST, len(content))
            if whole:
                self.wfile.write(content)
            return
        file = server.file(path)
        if file is None or (opened := _opened(file)) is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with opened:
            kind, policy = KINDS[file.suffix.lower()]
            self._begin(HTTPStatus.OK, kind, policy, os.fstat(opened.fileno()).st_size)
            if whole:
                shutil.copyfileobj(opened, self.wfile)

    def _begin(self, code: int, kind: str, policy: str, size: int) -> None:
        self.send_response(code)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Security-Policy": policy}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(size))
        self.end_headers()


def _opened(file: Path) -> BinaryIO | None:
    """An ordinary file, opened to be read; None for what is none, such as a pipe, which would not end."""
    flags = (getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOFOLLOW", "O_BINARY"))
    try:
        descriptor = os.open(file, sum(flags, os.O_RDONLY))
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    return None


@contextmanager
def served(place: Path, port: int = 0) -> Iterator[Server]:
    """A server of a folder, or of one file of it, that listens; raises UsageError.

    It answers as long as ``serve_forever`` runs.
    """
    if not place.exists():
        raise UsageError(f"{place}: found nothing, expected a folder of reports, or one of them")
    only = None if place.is_dir() else place.name
    if only is not None and (place.suffix.lower() not in KINDS or only.startswith(".")):
        raise UsageError(f"{place}: found another file, expected one of {', '.join(KINDS)}, or a folder")
    root = (place if only is None else place.parent).resolve()
    try:
        server = Server(root, only, port)
    except OSError as error:
        words = (error.strerror or str(error)).lower()
        raise UsageError(f"--port {port}: {words}; expected a free port, or none for any") from None
    with server:
        yield server
