"""The command of the gate."""

from __future__ import annotations

from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from diag._answer import UsageError, check_writable, note, percent, say, write_file, write_line
from diag._options import (
    Adapter,
    Html,
    Json,
    OutputName,
    Pairs,
    Quiet,
    SourceEnv,
    TargetEnv,
    TrustPickle,
    Verbose,
    supplied_of,
)

if TYPE_CHECKING:
    from diag.checks.config import Config
    from diag.checks.result import Gate

Format = Literal["text", "json", "github"]


def check(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="BASE TRANSFER...", help="A base and its transfers, or patterns."),
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
        Path | None, typer.Option("--write-baseline", metavar="FILE", help="Accept what is found now.")
    ] = None,
    write_config: Annotated[
        Path | None,
        typer.Option("--write-config", metavar="FILE", help="Write the defaults, explained, and stop."),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option("--calibrate", metavar="DIR", help="False alarms among pairs known to be equal."),
    ] = None,
    pairs: Pairs = None,
    source_env: SourceEnv = None,
    target_env: TargetEnv = None,
    adapter: Adapter = None,
    output: OutputName = None,
    trust_pickle: TrustPickle = False,
    form: Annotated[Format, typer.Option("--format", help="What to print.")] = "text",
    json: Json = False,
    junit_xml: Annotated[Path | None, typer.Option("--junit-xml", metavar="FILE", help="Also JUnit.")] = None,
    sarif: Annotated[Path | None, typer.Option("--sarif", metavar="FILE", help="Also SARIF 2.1.0.")] = None,
    html: Html = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write over a configuration that is there.")
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
      diag check base.safetensors 'runs/t0/*.safetensors' --junit-xml report.xml
      diag check base.npy transfer.npy --set check.r2.min=0.9 --strict
      diag check base.safetensors t.safetensors --write-baseline accepted.json
      diag check base.safetensors t.safetensors --baseline accepted.json --format github
      diag check base.zip transfer.zip --source-env CartPole-v1 --target-env mine:CartPoleDark-v0
      diag check --write-config diag.toml
      diag check --calibrate runs/t0
    """
    if write_config is not None:
        _write_config(write_config, files, overwrite, quiet)
        return
    found = _expanded(files or [])
    chosen = _config(config, settings or [], strict, unfrozen)
    written = {"--html": html, "--junit-xml": junit_xml, "--sarif": sarif, "--write-baseline": write_baseline}
    own = [place for place in (chosen.file, pairs, _module_file(adapter)) if place is not None]
    for option, place in written.items():
        # A baseline may be written anew over the one that is read; everything else that is read stays.
        read = own if baseline is None or option == "--write-baseline" else [*own, baseline]
        check_writable(place, *map(Path, found), *map(Path, read))
    places = [place.resolve() for place in written.values() if place is not None]
    if len(set(places)) < len(places):
        raise UsageError(f"found one file for several of {', '.join(written)}, expected one each")
    if json and form == "github":
        raise UsageError("found --json and --format github, expected one of them")
    supplied = supplied_of(pairs, source_env, target_env, adapter, output, trust_pickle)
    if calibrate is not None:
        idle = {"--junit-xml": junit_xml, "--sarif": sarif, "--write-baseline": write_baseline}
        others = {"--baseline": baseline, "--strict": strict, "--exit-zero": exit_zero}
        asked = {**idle, **others, "--format github": form == "github"}
        if given := [name for name, value in asked.items() if value]:
            raise UsageError(f"found --calibrate and {given[0]}, expected one of them")
        from diag._calibrating import calibrated

        calibrated(calibrate, found, chosen, supplied, json or form == "json", html, quiet, verbose)
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
    with percent("checking", quiet or json or form != "text") as step:
        try:
            gate = run(found[0], found[1:], config=chosen, supplied=supplied, baseline=known, progress=step)
        except (SubjectError, CheckpointError) as error:  # of the base: every report is to say so
            words = " ".join(str(error).split())
            unread = tuple(Checked(found[0], transfer, error=words) for transfer in found[1:])
            gate = Gate(unread, chosen.settings.strict, chosen.file)
    if write_baseline is not None:
        write_file(write_baseline, accepted.text(gate, write_baseline))
        say(quiet or json or form != "text", f"accepted: {write_baseline}\n")
    _files(gate, junit_xml, sarif, html)
    _printed(gate, "json" if json else form, quiet, verbose)
    for line in dict.fromkeys(one.error for one in gate.errors):
        note(f"diag: {line}")
    status = gate.exit_status
    raise typer.Exit(0 if status in (1, 4) and (exit_zero or write_baseline is not None) else status)


def _config(file: Path | None, assignments: list[str], strict: bool, unfrozen: bool | None) -> Config:
    from diag.checks import config as configs

    place = file if file is not None else configs.find(Path.cwd())
    found = configs.Config() if place is None else configs.read(_short(place))
    flags = ["strict=true"] if strict else []
    flags += [] if unfrozen is None else [f"unfrozen={str(unfrozen).lower()}"]
    return configs.with_overrides(found, [*assignments, *flags])


def _module_file(adapter: str | None) -> Path | None:
    """The file of an adapter's module, where it lies below the working directory."""
    return None if adapter is None else Path(*adapter.partition(":")[0].split(".")).with_suffix(".py")


def _short(path: Path) -> Path:
    """A path below the working directory as one relative to it, which annotations need."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path


def _expanded(files: list[str]) -> list[str]:
    """Patterns as the files that they match, in order and once each; a name of a file is itself."""
    found: list[str] = []
    for place, name in enumerate(files):
        if Path(name).exists() or not any(c in name for c in "*?["):
            found.append(name)
            continue
        matches = sorted(glob(name, recursive=True))  # noqa: PTH207 (a pattern may be absolute)
        if not matches:
            raise UsageError(f"{name}: found no file that matches, expected at least one")
        plain = [match for match in matches if Path(match).is_file() and not match.endswith(".resume")]
        if place == 0 and len(plain) != 1:
            raise UsageError(f"{name}: found {len(plain)} files that match, expected one base")
        # A pattern for the transfers may match the base beside them.
        found += [match for match in plain if not found or not Path(match).samefile(found[0])]
    return [*found[:1], *dict.fromkeys(found[1:])]


def _write_config(place: Path, files: list[str] | None, overwrite: bool, quiet: bool) -> None:
    from diag.checks.written import text

    if files:
        raise UsageError(f"found files and --write-config {place}, expected one of them")
    check_writable(place)
    if place.exists() and not overwrite:
        raise UsageError(f"{place}: found a file, expected --overwrite to write over it")
    write_file(place, text())
    say(quiet, f"written: {place}")


def _files(gate: Gate, junit_xml: Path | None, sarif: Path | None, html: Path | None) -> None:
    if junit_xml is not None:
        from diag.outputs import check_junit

        write_file(junit_xml, check_junit.render(gate))
    if sarif is not None:
        from diag.outputs import check_sarif

        write_file(sarif, check_sarif.render(gate))
        if left := check_sarif.cut(gate):
            note(f"{sarif}: {left}")
    if html is not None:
        from diag.outputs import check_html

        write_file(html, check_html.render(gate))


def _printed(gate: Gate, form: Format, quiet: bool, verbose: bool) -> None:
    match form:
        case "json":
            from diag.outputs.json import render

            write_line(render(gate))
        case "github":
            from diag.outputs import check_github

            if annotations := check_github.annotations(gate):
                write_line(annotations.rstrip("\n"))
            check_github.append_summary(gate)
        case "text":
            from diag.outputs import check_text

            write_line(check_text.brief(gate) if quiet else check_text.render(gate, verbose))
