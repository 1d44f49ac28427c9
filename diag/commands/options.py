"""The options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only what was asked for, on one line.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more, and show tracebacks of faults.")]
Json = Annotated[
    Path | None,
    typer.Option("--json", metavar="[=FILE]", help="Print JSON instead of text, or write it to FILE."),
]
Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write a self-contained HTML report.")
]
Static = Annotated[
    bool, typer.Option("--static", help="Pages without scripts: smaller, and nothing in them moves.")
]
Picture = Annotated[
    bool | None,
    typer.Option(
        "--picture/--no-picture",
        help="Draw it in characters below the text (default: on a terminal of 60 columns or more).",
    ),
]
Seeds = Annotated[str, typer.Option("--seeds", metavar="SEEDS", help="Seeds: 0-3, or 0,2,5.")]
Seed = Annotated[
    int, typer.Option("--seed", metavar="N", min=0, help="Seed of the bootstrap and of sampled data.")
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for seed<N>.safetensors.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Override a setting, such as train.updates=300."),
]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="cpu, cuda, cuda:1, …")]
Jobs = Annotated[
    int | None, typer.Option("--jobs", "-j", metavar="N", min=1, help="Processes (default: one per core).")
]
Keep = Annotated[
    str | None,
    typer.Option("--keep", metavar="UPDATES", help="Also keep checkpoints at these updates: 1000,5000."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with what is in DIR.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Begin anew over what is in DIR.")]


@dataclass(frozen=True)
class RowOptions:
    """Options about rows of arrays: which depend on each other, and which are left out."""

    episodes: Annotated[
        Path | None,
        typer.Option("--episodes", metavar="FILE", help="A .npy that names the episode of each row."),
    ] = None
    rollout: Annotated[
        bool, typer.Option("--rollout", help="The rows are the steps of one rollout, in order.")
    ] = False
    drop_nonfinite: Annotated[
        bool, typer.Option("--drop-nonfinite", help="Leave out rows with NaN or infinity.")
    ] = False
