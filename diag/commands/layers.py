"""The command that compares two networks layer by layer: ``diag layers``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diag.commands.answer import AnswerOptions, answer, percent
from diag.commands.bundles import bundled
from diag.commands.file_options import FileOptions
from diag.commands.options import Seed


@bundled
def layers(
    base: Annotated[
        Path, typer.Argument(metavar="BASE", help="The base: weights of a network (docs/layers.md).")
    ],
    transfer: Annotated[Path, typer.Argument(metavar="TRANSFER", help="The transfer: weights of a network.")],
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="PATTERN", help="Compare these layers: 'layer*', 'blocks.*.attn*'."),
    ] = None,
    widest: Annotated[
        int | None,
        typer.Option(
            "--widest",
            metavar="N",
            min=1,
            help="Units up to which a layer's relation is sought (default: 512): time grows with the cube.",
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave relations out: CKA, the maps and the weights alone.")
    ] = False,
    *,
    sources: FileOptions,
    seed: Seed = 0,
    shown: AnswerOptions,
) -> None:
    """Compare two networks layer by layer on the same inputs: where do they begin to differ?

    For every layer of one name: the relation of its units to the base's, R² as it is and by the best map,
    debiased CKA, and how far its weights moved; and every layer beside every other. One pass over the
    inputs, with memory that does not grow with them.

    \b
    Examples:
      diag layers base.pt tuned.pt --model mynets:Net --inputs x.npy
      diag layers a.ckpt b.ckpt --model torchvision:resnet18 --inputs pictures/
      diag layers base/ tuned/ --inputs lines.txt --html layers.html
      diag layers base.pt tuned.pt --model mynets:Net --inputs x.npy --quick
    """
    from diag.layerwise.layers import WIDEST
    from diag.layerwise.layers import layers as compare

    outputs = shown.outputs(base, transfer, *sources.files)
    with percent("layers", shown.quiet or outputs.printed) as step:
        result = compare(
            base,
            transfer,
            supplied=sources.supplied,
            only=tuple(only or ()),
            widest=WIDEST if widest is None else widest,
            relations=not quick,
            seed=seed,
            progress=step,
        )
    answer(result, "layers", outputs, shown.quiet, shown.verbose)
