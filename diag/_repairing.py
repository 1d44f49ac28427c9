"""The command that mends: ``diag repair``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from diag._answer import UsageError, answer, check_writable, percent
from diag._options import Device, Html, Json, Quiet, Seed, Verbose


def repair(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="The base, or a .npy/.npz of embeddings.")],
    transfer: Annotated[Path, typer.Argument(metavar="TRANSFER", help="The same of the failed transfer.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="MENDED", help="Where the mended checkpoint goes.")
    ],
    pairs: Annotated[
        int | None, typer.Option("--pairs", metavar="K", help="Use K random paired states (default: all).")
    ] = None,
    method: Annotated[
        Literal["map", "last-layer"] | None,
        typer.Option("--method", help="What is fitted to the pairs (default: the better on held-out pairs)."),
    ] = None,
    unpaired: Annotated[
        Literal["permutations", "gradient"] | None,
        typer.Option(
            "--unpaired", help="Use no pairs: judge maps by the frozen models' losses after --train."
        ),
    ] = None,
    train: Annotated[
        str, typer.Option("--train", metavar="N", help="Train on: 2000 updates, or 5% of the transfer's.")
    ] = "0",
    mode: Annotated[
        Literal["paired", "task"],
        typer.Option("--mode", help="Train on with the pairs, or just as the transfer was trained."),
    ] = "paired",
    force: Annotated[
        bool, typer.Option("--force", help="Mend what is matched; write what cannot be told without pairs.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace MENDED; begin anew.")] = False,
    device: Device = "cpu",
    seed: Seed = 0,
    json: Json = False,
    html: Html = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Lead a failed transfer back into its base's embedding space, and write the mended checkpoint.

    A map, or a new last layer, is fitted to states that both tasks show, chosen on held-out ones, and folded
    into the encoder; --train goes on from there. The result is compared with the base again, and what did
    not get there is not written. Nothing but the encoder moves. Ctrl-C keeps what is trained: the same
    command goes on. The exit status is 0 whatever came of it.

    \b
    Examples:
      diag repair examples/base.safetensors examples/mirrored.safetensors -o mended.safetensors
      diag repair base.safetensors failed.safetensors -o mended.safetensors --train 5%
      diag repair base.safetensors failed.safetensors -o mended.safetensors --pairs 8 --train 2000
      diag repair base.safetensors failed.safetensors -o mended.safetensors --unpaired permutations --train 5%
      diag repair base.npy transfer.npy -o mended.npy --html repair.html
    """
    from diag import repair as mend

    check_writable(html, base, transfer)
    check_writable(out)
    if html is not None and html.absolute() == out.absolute():
        raise UsageError(f"--html {html}: found the place of MENDED, expected another file")
    brief = train.strip() in ("0", "0%") and unpaired is None
    try:
        with percent("training on", quiet or json, brief=brief) as step:
            result = mend(
                base,
                transfer,
                out=out,
                pairs=pairs,
                method=method,
                unpaired=unpaired,
                train=train,
                mode=mode,
                force=force,
                overwrite=overwrite,
                seed=seed,
                device=device,
                progress=step,
            )
    except KeyboardInterrupt:
        kept = "and the same command begins anew"
        if unpaired is None and not brief:  # a search keeps nothing on its way
            kept = "and the same command goes on with what is trained"
        sys.stderr.write(f"stopped; nothing is written yet, {kept}\n")
        raise
    answer(result, "repair", json, html, quiet, verbose)
