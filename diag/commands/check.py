"""The command of the gate: ``diag check``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diag.commands.answer import note, percent, say, write_line
from diag.commands.bundles import bundled
from diag.commands.check_options import Accepted, Format, Limits, Reports
from diag.commands.file_names import base_and_transfers
from diag.commands.file_options import FileOptions
from diag.commands.output_files import Outputs, UsageError
from diag.outputs.registry import renderer

if TYPE_CHECKING:
    from diag.checks.config import Config
    from diag.checks.result import Gate
    from diag.sources.supplied import Supplied


@bundled
def check(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="BASE TRANSFER...", help="A base, and its transfers: files, patterns or folders."
        ),
    ] = None,
    *,
    limits: Limits,
    accepted: Accepted,
    write_config: Annotated[
        Path | None,
        typer.Option(
            "--write-config", metavar="FILE", help="Write the default limits, explained, to FILE and stop."
        ),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            "--calibrate", metavar="DIR", help="Count false alarms among files that are known to be equal."
        ),
    ] = None,
    sources: FileOptions,
    reports: Reports,
) -> None:
    """Check transfers against limits: a gate for a CI.

    The exit status is 0 where every check passes (warnings are told), 1 where one fails, 2 where a file or a
    setting cannot be used, and 4 under --strict where the data cannot tell. No configuration is needed.
    Files may be checkpoints, arrays of paired embeddings, Stable-Baselines3 .zip, ONNX, or your own format
    (docs/sources.md).

    \b
    Examples:
      diag check examples/base.safetensors examples/matched.safetensors
      diag check base.safetensors runs/t0 --junit-xml report.xml
      diag check base.safetensors 'runs/t0/seed?.safetensors'
      diag check base.npy transfer.npy --set check.r2.min=0.9 --strict
      diag check base.safetensors t.safetensors --write-baseline accepted.json
      diag check base.safetensors t.safetensors --baseline accepted.json
      diag check base.zip t.zip --source-env CartPole-v1 --target-env mine:Dark-v0
      diag check --write-config diag.toml
      diag check --calibrate runs/t0
    """
    quiet = reports.quiet
    if write_config is not None:
        _write_config(write_config, files, reports.overwrite, quiet)
        return
    named = base_and_transfers(files or [], lambda words: None if quiet else note(f"diag: {words}"))
    config = limits.configuration()
    accepted.check(reports.overwrite)
    read = [*map(Path, named), *([] if config.file is None else [Path(config.file)]), *sources.files]
    outputs = reports.outputs(accepted, *read)
    if calibrate is not None:
        _check_idle(limits, accepted, reports)
        from diag.commands.calibrate import calibrated

        calibrated(calibrate, named, config, sources.supplied, outputs, quiet, reports.verbose)
        return
    if len(named) < 2:
        count = f"{len(named)} file{'' if len(named) == 1 else 's'}"
        raise UsageError(f"found {count}, expected a base and at least one transfer")
    silent = quiet or outputs.printed or reports.form != "text"
    gate = _checked(named, config, accepted.baseline, sources.supplied, silent)
    if limits.exit_zero or accepted.write_baseline is not None:
        gate = replace(gate, held_by="--exit-zero" if limits.exit_zero else "--write-baseline")
    anew = accepted.is_rewritten
    outputs.write(_renderers(gate, accepted.write_baseline, outputs.static))
    _told(gate, accepted, reports, anew, silent)
    if not outputs.printed:
        _printed(gate, reports.form, quiet, reports.verbose)
    for line in dict.fromkeys(one.error for one in gate.errors):
        note(f"diag: {line}")
    raise typer.Exit(gate.exit_status)


def _check_idle(limits: Limits, accepted: Accepted, reports: Reports) -> None:
    """Raise UsageError for an option that a calibration has no use for."""
    idle = {
        "--junit-xml": reports.junit_xml,
        "--sarif": reports.sarif,
        "--write-baseline": accepted.write_baseline,
        "--baseline": accepted.baseline,
        "--strict": limits.strict,
        "--exit-zero": limits.exit_zero,
        "--format github": reports.form == "github",
    }
    if given := [name for name, value in idle.items() if value]:
        raise UsageError(f"found --calibrate and {given[0]}, expected one of them")


def _checked(
    named: list[str], config: Config, baseline: Path | None, supplied: Supplied, silent: bool
) -> Gate:
    """Run the gate; a base that cannot be used is an error of every pair, so that every report says so."""
    from diag.checks import baseline as baselines
    from diag.checks.result import Checked, Gate
    from diag.checks.run import check as run
    from diag.subject import SubjectError
    from trainers.checkpoint import CheckpointError

    base, *transfers = named
    known = None if baseline is None else baselines.read(baseline)
    with percent("checking", silent) as step:
        try:
            return run(base, transfers, config=config, supplied=supplied, baseline=known, progress=step)
        except (SubjectError, CheckpointError) as error:
            words = " ".join(str(error).split())
            unread = tuple(Checked(base, transfer, error=words) for transfer in transfers)
            return Gate(unread, config.settings.strict, config.file)


def _told(gate: Gate, accepted: Accepted, reports: Reports, anew: bool, silent: bool) -> None:
    """Say what a SARIF report leaves out, and where the accepted state went."""
    if reports.sarif is not None:
        from diag.outputs import check_sarif

        if left := check_sarif.cut(gate):
            note(f"{reports.sarif}: {left}")
    if accepted.write_baseline is not None:
        words = "accepted anew, over what was there" if anew else "accepted"
        say(silent, f"{words}: {accepted.write_baseline}\n")


def _write_config(place: Path, files: list[str] | None, overwrite: bool, quiet: bool) -> None:
    from diag.checks.written import text

    if files:
        raise UsageError(f"found files and --write-config {place}, expected one of them")
    outputs = Outputs.of({"--write-config": place})
    if not outputs.printed and place.exists() and not overwrite:
        raise UsageError(f"{place}: found a file, expected --overwrite to write over it")
    outputs.write({"--write-config": text})
    say(quiet or outputs.printed, f"written: {place}")


def _renderers(gate: Gate, write_baseline: Path | None, static: bool) -> dict[str, Callable[[], str]]:
    """Functions that make the content of each output, by option."""

    def written(form: str) -> Callable[[], str]:
        return lambda: renderer(gate.kind, form)(gate)

    def accepted() -> str:
        from diag.checks.baseline import text

        assert write_baseline is not None
        return text(gate, write_baseline)

    return {
        "--json": written("json"),
        "--html": lambda: renderer(gate.kind, "html")(gate, static),
        "--junit-xml": written("junit"),
        "--sarif": written("sarif"),
        "--write-baseline": accepted,
    }


def _printed(gate: Gate, form: Format, quiet: bool, verbose: bool) -> None:
    if form == "github":
        from diag.outputs import check_github

        if annotations := renderer(gate.kind, "github")(gate):
            write_line(annotations.rstrip("\n"))
        check_github.append_summary(gate)
        return
    brief, text = renderer(gate.kind, "brief"), renderer(gate.kind, "text")
    write_line(brief(gate) if quiet else text(gate, verbose))
