"""The command of the gate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from diag.commands.answer import note, percent, say, write_line
from diag.commands.file_names import base_and_transfers
from diag.commands.file_options import files_of, reads_files
from diag.commands.options import Html, Json, Quiet, Verbose
from diag.commands.output_files import STANDARD_OUTPUT, Outputs, UsageError
from diag.outputs.registry import renderer

if TYPE_CHECKING:
    from diag.checks.config import Config
    from diag.checks.result import Gate
    from diag.sources.supplied import Supplied

Format = Literal["text", "json", "github"]


@reads_files
def check(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="BASE TRANSFER...", help="A base and its transfers: files, patterns, or a folder."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Instead of the diag.toml or [tool.diag] found here."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Override a setting, such as check.r2.min=0.9."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 4 where the data cannot tell.")] = False,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit with 0 where a check fails.")] = False,
    unfrozen: Annotated[
        bool | None,
        typer.Option("--unfrozen/--frozen", help="Whether anything frozen reads the embedding (see docs)."),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", metavar="FILE", help="An accepted state: what is no worse does not fail."),
    ] = None,
    write_baseline: Annotated[
        Path | None,
        typer.Option("--write-baseline", metavar="FILE", help="Accept what is found now, beside this base."),
    ] = None,
    write_config: Annotated[
        Path | None,
        typer.Option("--write-config", metavar="FILE", help="Write the defaults, explained, and stop."),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option("--calibrate", metavar="DIR", help="False alarms among pairs known to be equal."),
    ] = None,
    *,
    supplied: Supplied,
    form: Annotated[
        Format, typer.Option("--format", metavar="text|json|github", help="What to print.")
    ] = "text",
    json: Json = None,
    junit_xml: Annotated[
        Path | None, typer.Option("--junit-xml", metavar="FILE", help="Write JUnit's XML.")
    ] = None,
    sarif: Annotated[Path | None, typer.Option("--sarif", metavar="FILE", help="Write SARIF 2.1.0.")] = None,
    html: Html = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write over a configuration, or a baseline, that is there.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Check transfers against limits, for a CI: silent when all is well, exact when not.

    Exits with 0 where every check passes (warnings are told), 1 where one fails, 2 where a file or a setting
    cannot be used, 4 under --strict where the data cannot tell. The defaults work without a configuration.
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
    if write_config is not None:
        _write_config(write_config, files, overwrite, quiet)
        return
    found = base_and_transfers(files or [], lambda words: None if quiet else note(f"diag: {words}"))
    chosen = _config(config, settings or [], strict, unfrozen)
    if write_baseline not in (None, STANDARD_OUTPUT) and write_baseline.exists() and not overwrite:
        raise UsageError(
            f"{write_baseline}: found a file, expected another name, or --overwrite to accept anew over it"
        )
    if json is not None and form == "github":
        raise UsageError("found --json and --format github, expected one of them")
    if form == "json":
        if json not in (None, STANDARD_OUTPUT):
            raise UsageError(f"found --format json and --json={json}, expected one of them")
        json = STANDARD_OUTPUT
    if write_baseline == STANDARD_OUTPUT:
        raise UsageError(
            "--write-baseline -: found no place, expected a file: paths in it are relative to it"
        )
    asked = {"--json": json, "--html": html, "--junit-xml": junit_xml, "--sarif": sarif}
    read = [*map(Path, found), *([] if chosen.file is None else [Path(chosen.file)]), *files_of(supplied)]
    printed = "--format github" if form == "github" else None
    # A baseline may be written anew over the one that is read; everything else that is read stays.
    outputs = Outputs.of({**asked, "--write-baseline": write_baseline}, *read, printed=printed)
    Outputs.of(asked, *([] if baseline is None else [baseline]))
    if calibrate is not None:
        idle = {"--junit-xml": junit_xml, "--sarif": sarif, "--write-baseline": write_baseline}
        others = {"--baseline": baseline, "--strict": strict, "--exit-zero": exit_zero}
        told = {**idle, **others, "--format github": form == "github"}
        if given := [name for name, value in told.items() if value]:
            raise UsageError(f"found --calibrate and {given[0]}, expected one of them")
        from diag.commands.calibrate import calibrated

        calibrated(calibrate, found, chosen, supplied, outputs, quiet, verbose)
        return
    if len(found) < 2:
        count = f"{len(found)} file{'' if len(found) == 1 else 's'}"
        raise UsageError(f"found {count}, expected a base and at least one transfer")
    from diag.checks import baseline as accepted
    from diag.checks.result import Checked, Gate
    from diag.checks.run import check as run
    from diag.subject import SubjectError
    from trainers.checkpoint import CheckpointError

    known = None if baseline is None else accepted.read(baseline)
    silent = outputs.printed or form != "text"
    with percent("checking", quiet or silent) as step:
        try:
            gate = run(found[0], found[1:], config=chosen, supplied=supplied, baseline=known, progress=step)
        except (SubjectError, CheckpointError) as error:  # of the base: every report is to say so
            words = " ".join(str(error).split())
            unread = tuple(Checked(found[0], transfer, error=words) for transfer in found[1:])
            gate = Gate(unread, chosen.settings.strict, chosen.file)
    if held_by := "--exit-zero" if exit_zero else "--write-baseline" if write_baseline is not None else None:
        gate = replace(gate, held_by=held_by)
    anew = write_baseline is not None and write_baseline.exists()
    outputs.write(_renderers(gate, write_baseline))
    if sarif is not None:
        from diag.outputs import check_sarif

        if left := check_sarif.cut(gate):
            note(f"{sarif}: {left}")
    if write_baseline is not None:
        words = "accepted anew, over what was there" if anew else "accepted"
        say(quiet or silent, f"{words}: {write_baseline}\n")
    if not outputs.printed:
        _printed(gate, form, quiet, verbose)
    for line in dict.fromkeys(one.error for one in gate.errors):
        note(f"diag: {line}")
    raise typer.Exit(gate.exit_status)


def _config(file: Path | None, assignments: list[str], strict: bool, unfrozen: bool | None) -> Config:
    from diag.checks import config as configs

    place = file if file is not None else configs.find(Path.cwd())
    found = configs.Config() if place is None else configs.read(_short(place))
    flags = ["strict=true"] if strict else []
    flags += [] if unfrozen is None else [f"unfrozen={str(unfrozen).lower()}"]
    return configs.with_overrides(found, [*assignments, *flags])


def _short(path: Path) -> Path:
    """A path below the working directory as one relative to it, which annotations need."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path


def _write_config(place: Path, files: list[str] | None, overwrite: bool, quiet: bool) -> None:
    from diag.checks.written import text

    if files:
        raise UsageError(f"found files and --write-config {place}, expected one of them")
    outputs = Outputs.of({"--write-config": place})
    if not outputs.printed and place.exists() and not overwrite:
        raise UsageError(f"{place}: found a file, expected --overwrite to write over it")
    outputs.write({"--write-config": text})
    say(quiet or outputs.printed, f"written: {place}")


def _renderers(gate: Gate, write_baseline: Path | None) -> dict[str, Callable[[], str]]:
    """What makes the content of each output."""

    def written(form: str) -> Callable[[], str]:
        return lambda: renderer(gate.kind, form)(gate)

    def accepted() -> str:
        from diag.checks.baseline import text

        assert write_baseline is not None
        return text(gate, write_baseline)

    return {
        "--json": written("json"),
        "--html": written("html"),
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
