"""The options of ``diag check``, by idea: what a transfer is held to, what is accepted, what is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from diag.commands.options import Html, Json, Quiet, Static, Verbose
from diag.commands.output_files import STANDARD_OUTPUT, Outputs, UsageError

if TYPE_CHECKING:
    from diag.checks.config import Config

Format = Literal["text", "json", "github"]


@dataclass(frozen=True)
class Limits:
    """Limits that transfers are held to, and the exit status that follows."""

    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Configuration (default: the diag.toml or [tool.diag] found here).",
        ),
    ] = None
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Override a setting, such as check.r2.min=0.9."),
    ] = None
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 4 where the data cannot tell.")] = False
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit with 0 where a check fails.")] = False
    unfrozen: Annotated[
        bool | None,
        typer.Option(
            "--unfrozen/--frozen", help="Say that nothing frozen reads the embedding, or that something does."
        ),
    ] = None

    def configuration(self) -> Config:
        """Read the configuration, with the settings and flags on top; raises CheckError or SettingsError."""
        from diag.checks import config as configs

        place = self.config if self.config is not None else configs.find(Path.cwd())
        known = configs.Config() if place is None else configs.read(_short(place))
        flags = ["strict=true"] if self.strict else []
        flags += [] if self.unfrozen is None else [f"unfrozen={str(self.unfrozen).lower()}"]
        return configs.with_overrides(known, [*(self.settings or []), *flags])


@dataclass(frozen=True)
class Accepted:
    """The accepted state that is read, and the one that is written."""

    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline", metavar="FILE", help="Findings that were accepted: what is no worse does not fail."
        ),
    ] = None
    write_baseline: Annotated[
        Path | None,
        typer.Option(
            "--write-baseline", metavar="FILE", help="Accept the present findings, and write them to FILE."
        ),
    ] = None

    @property
    def is_rewritten(self) -> bool:
        """Whether a baseline is to be written where a file is already."""
        return self.write_baseline not in (None, STANDARD_OUTPUT) and self.write_baseline.exists()

    def check(self, overwrite: bool) -> None:
        """Raise UsageError for a baseline that has no file, or one that is there and not to be replaced."""
        if self.is_rewritten and not overwrite:
            raise UsageError(
                f"{self.write_baseline}: found a file, expected another name, or --overwrite to accept anew "
                "over it"
            )
        if self.write_baseline == STANDARD_OUTPUT:
            raise UsageError(
                "--write-baseline -: found no place, expected a file: paths in it are relative to it"
            )


@dataclass(frozen=True)
class Reports:
    """Outputs: the one that is printed, those that are written, and whether they may replace files."""

    form: Annotated[Format, typer.Option("--format", metavar="text|json|github", help="What to print.")] = (
        "text"
    )
    json: Json = None
    junit_xml: Annotated[
        Path | None, typer.Option("--junit-xml", metavar="FILE", help="Write JUnit's XML.")
    ] = None
    sarif: Annotated[Path | None, typer.Option("--sarif", metavar="FILE", help="Write SARIF 2.1.0.")] = None
    html: Html = None
    static: Static = False
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the configuration or baseline that is there.")
    ] = False
    quiet: Quiet = False
    verbose: Verbose = False

    def outputs(self, accepted: Accepted, *read: Path) -> Outputs:
        """The outputs that were asked for, none over a file that is ``read``; raises UsageError."""
        if self.json is not None and self.form == "github":
            raise UsageError("found --json and --format github, expected one of them")
        json = self.json
        if self.form == "json":
            if json not in (None, STANDARD_OUTPUT):
                raise UsageError(f"found --format json and --json={json}, expected one of them")
            json = STANDARD_OUTPUT
        asked = {"--json": json, "--html": self.html, "--junit-xml": self.junit_xml, "--sarif": self.sarif}
        printed = "--format github" if self.form == "github" else None
        # A baseline may be written anew over the one that is read; everything else that is read stays.
        every = {**asked, "--write-baseline": accepted.write_baseline}
        outputs = Outputs.of(every, *read, printed=printed).with_static(self.static)
        Outputs.of(asked, *([] if accepted.baseline is None else [accepted.baseline]))
        return outputs


def _short(path: Path) -> Path:
    """A path below the working directory as one relative to it, which annotations need."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path
