"""The calibration of the gate: ``diag check --calibrate``."""

from __future__ import annotations

from pathlib import Path

from diag._answer import UsageError, percent, say, write_file, write_line
from diag.checks.calibrate import calibrate, files_in
from diag.checks.config import Config
from diag.sources.supplied import Supplied


def calibrated(
    folder: Path,
    files: list[str],
    config: Config,
    supplied: Supplied,
    json: bool,
    html: Path | None,
    quiet: bool,
    verbose: bool,
) -> None:
    """Run the gate on a folder's files, against a base where one is given, and print what it alarmed at."""
    if len(files) > 1:
        raise UsageError(f"found {len(files)} files with --calibrate, expected a base at most")
    known = [f for f in files_in(folder) if not files or not Path(f).samefile(files[0])]
    with percent("calibrating", quiet or json) as step:
        found = calibrate(known, files[0] if files else None, config=config, supplied=supplied, progress=step)
    if html is not None:
        from diag.outputs.calibration import page

        write_file(html, page(found))
    if json:
        from diag.outputs.json import render

        write_line(render(found))
        return
    from diag.outputs.calibration import brief, text

    write_line(brief(found) if quiet else text(found, verbose))
    say(quiet or html is None, f"\nreport: {html}")
