"""The command that serves a folder of reports to this machine's browser: ``diag open``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from threading import Thread
from typing import Annotated

import typer

from diag.commands.answer import note, write_line
from diag.commands.options import Quiet


def open_reports(
    place: Annotated[Path, typer.Argument(metavar="DIR|FILE", help="A folder of reports, or one of them.")],
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port (default: a free one).")
    ] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the browser, or only print the address.")
    ] = True,
    quiet: Quiet = False,
) -> None:
    """Show a folder of reports in the browser, until Ctrl-C.

    Its pages and saved results are listed with their kind, status and time. The address can be reached from
    this machine alone; only .html, .json, .svg and .png files below the folder are given out, hidden ones
    and links that lead elsewhere are not, and nothing is written. To look at reports of another machine, run
    there with --port 8000 --no-browser, and here: ssh -L 8000:127.0.0.1:8000 HOST

    \b
    Examples:
      diag open runs/maze
      diag open report.html
      diag open runs --port 8000 --no-browser
    """
    from diag.commands.serving import served

    with served(place, port) as server:
        write_line(server.address if quiet else f"{place}: {server.address} (Ctrl-C ends it)")
        sys.stdout.flush()
        if browser:
            Thread(target=_browse, args=(server.address, quiet), daemon=True).start()
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            if not quiet:
                note("closed")


def _browse(address: str, quiet: bool) -> None:
    """Open the browser, unless the only one would take over the terminal."""
    import webbrowser

    windows = sys.platform in ("darwin", "win32")
    found = windows or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    if not (found and webbrowser.open(address)) and not quiet:
        note("no browser was found here: open the address in one")
