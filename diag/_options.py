"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from diag.sources.supplied import Supplied

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only what was asked for, on one line.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more, and show tracebacks of faults.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON instead of text.")]
Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Also write a self-contained HTML report.")
]
Seeds = Annotated[str, typer.Option("--seeds", help="Seeds: 0-3, or 0,2,5.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of the bootstrap and of sampled data.")]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for seed<N>.safetensors.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Override a setting, such as train.updates=300."),
]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, …")]
Jobs = Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Processes (default: one a core).")]
Keep = Annotated[
    str | None, typer.Option("--keep", metavar="UPDATES", help="Also keep checkpoints of these: 1000,5000.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with what is in DIR.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Begin anew over what is in DIR.")]

Episodes = Annotated[
    Path | None, typer.Option("--episodes", metavar="FILE", help="A .npy naming each row's episode.")
]
Rollout = Annotated[bool, typer.Option("--rollout", help="The rows are the steps of one rollout, in order.")]
DropNonfinite = Annotated[bool, typer.Option("--drop-nonfinite", help="Leave out rows with NaN or infinity.")]

Pairs = Annotated[
    Path | None,
    typer.Option(
        "--pairs", metavar="FILE", help="Observations of the same states, for encoders (docs/sources.md)."
    ),
]
SourceEnv = Annotated[
    str | None, typer.Option("--source-env", metavar="ID", help="Or the source task, as an environment…")
]
TargetEnv = Annotated[
    str | None, typer.Option("--target-env", metavar="ID", help="…and the target task: stepped side by side.")
]
Adapter = Annotated[
    str | None,
    typer.Option("--adapter", metavar="MODULE:FUNCTION", help="Your function that makes a model of weights."),
]
OutputName = Annotated[
    str | None, typer.Option("--output", metavar="NAME", help="An exported program's output to compare.")
]
TrustPickle = Annotated[
    bool, typer.Option("--trust-pickle", help="Unpickle files that ask for it, and so run what is in them.")
]


def supplied_of(
    pairs: Path | None,
    source_env: str | None,
    target_env: str | None,
    adapter: str | None,
    output: str | None,
    trust_pickle: bool,
) -> Supplied:
    """What was handed over beside the files, as sources take it."""
    from diag.sources.supplied import Supplied

    return Supplied(pairs, source_env, target_env, adapter, output, trust_pickle=trust_pickle)
