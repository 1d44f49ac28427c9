"""The command that mends: ``diag repair``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from diag.commands.answer import AnswerOptions, answer, percent, stoppable
from diag.commands.bundles import bundled
from diag.commands.file_options import FileOptions
from diag.commands.options import Device, Seed
from diag.commands.output_files import UsageError, check_writable


@bundled
def repair(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="The base, or a .npy/.npz of embeddings.")],
    transfer: Annotated[
        Path, typer.Argument(metavar="TRANSFER", help="The failed transfer: a file of the same kind.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="MENDED", help="Where the mended checkpoint goes.")
    ],
    use: Annotated[
        int | None, typer.Option("--use", metavar="K", help="Use K random paired states (default: all).")
    ] = None,
    method: Annotated[
        Literal["map", "last-layer"] | None,
        typer.Option(
            "--method",
            metavar="map|last-layer",
            help="What is fitted to the pairs (default: the better on held-out pairs).",
        ),
    ] = None,
    unpaired: Annotated[
        Literal["permutations", "gradient"] | None,
        typer.Option(
            "--unpaired",
            metavar="permutations|gradient",
            help="Use no pairs: judge maps by the frozen models' losses after --train.",
        ),
    ] = None,
    train: Annotated[
        str, typer.Option("--train", metavar="N", help="Train on: 2000 updates, or 5% of the transfer's.")
    ] = "0",
    mode: Annotated[
        Literal["paired", "task"],
        typer.Option(
            "--mode",
            metavar="paired|task",
            help="Train on with the pairs, or just as the transfer was trained.",
        ),
    ] = "paired",
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Mend even what is matched, and write what cannot be told without pairs."
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace MENDED, and begin anew.")] = False,
    device: Device = "cpu",
    *,
    sources: FileOptions,
    seed: Seed = 0,
    shown: AnswerOptions,
) -> None:
    """Lead a failed transfer back into its base's embedding space, and write the mended checkpoint.

    A map, or a new last layer, is fitted to states that both tasks show, chosen on held-out ones, and folded
    into the encoder; --train goes on from there. The result is compared with the base again, and is not
    written where it did not get there. Nothing but the encoder moves. Ctrl-C keeps what is trained: the same
    command goes on. The exit status is 0 whatever came of it.

    \b
    Examples:
      diag repair base.safetensors failed.safetensors -o mended.safetensors
      diag repair base.safetensors failed.safetensors -o m.safetensors --train 5%
      diag repair base.safetensors failed.safetensors -o m.safetensors --use 8
      diag repair base.safetensors failed.safetensors -o m.safetensors \\
          --unpaired permutations --train 5%
      diag repair base.npy transfer.npy -o mended.npy --html repair.html
    """
    from diag.repairs.repair import repair as mend

    check_writable(out)
    given = sources.pairs
    if given is not None and str(given).isdecimal() and not given.exists():
        raise UsageError(
            f"--pairs {given}: found a number, expected a file of pairs; --use {given} uses so many"
        )
    outputs = shown.outputs(base, transfer, *sources.files)
    for option, place in outputs.places.items():
        if place.absolute() == out.absolute():
            raise UsageError(f"{option} {place}: found the place of MENDED, expected another file")
    idle = train.strip() in ("0", "0%")
    brief = idle and unpaired is None
    words = "nothing is written yet, and the same command goes on with what is trained"
    if idle or unpaired is not None:  # a search keeps nothing on its way
        words = "nothing was written, and the same command begins anew"
    with stoppable(words), percent("training on", shown.quiet or outputs.printed, brief=brief) as step:
        result = mend(
            base,
            transfer,
            out=out,
            pairs=use,
            method=method,
            unpaired=unpaired,
            train=0 if idle else train,
            mode=mode,
            force=force,
            overwrite=overwrite,
            supplied=sources.supplied,
            seed=seed,
            device=device,
            progress=step,
        )
    answer(result, "repair", outputs, shown.quiet, shown.verbose)
