"""The calibration of the gate: ``diag check --calibrate``."""

from __future__ import annotations

from pathlib import Path

from diag.checks.calibrate import calibrate, files_in
from diag.checks.config import Config
from diag.commands.answer import percent, told, write_line
from diag.commands.output_files import Outputs, UsageError
from diag.sources.supplied import Supplied


def calibrated(
    folder: Path,
    files: list[str],
    config: Config,
    supplied: Supplied,
    outputs: Outputs,
    quiet: bool,
    verbose: bool,
) -> None:
    """Run the gate on a folder's files, against a base where one is given, and print what it alarmed at."""
    if len(files) > 1:
        raise UsageError(f"found {len(files)} files with --calibrate, expected a base at most")
    known = [f for f in files_in(folder) if not files or not Path(f).samefile(files[0])]
    with percent("calibrating", quiet or outputs.printed) as step:
        result = calibrate(
            known, files[0] if files else None, config=config, supplied=supplied, progress=step
        )

    def drawn() -> str:
        from diag.outputs.calibration import page

        return page(result)

    def tree() -> str:
        from diag.outputs.json import render

        return render(result)

    outputs.write({"--html": drawn, "--json": tree})
    if outputs.printed:
        return
    from diag.outputs.calibration import brief, text

    write_line(brief(result) if quiet else text(result, verbose))
    told(outputs, quiet)
