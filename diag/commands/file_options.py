"""The options that say how files are to be read: one bundle, the same for every command that takes files."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from diag.sources.supplied import Supplied


def _names(given: str) -> tuple[str, ...]:
    """Names separated by commas."""
    return tuple(name.strip() for name in given.split(",") if name.strip())


@dataclass(frozen=True)
class FileOptions:
    """The options of every command that reads files: the fields of Supplied, each by its name."""

    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs",
            metavar="FILE",
            help="Both tasks' observations of the same states, for encoders (docs/sources.md).",
        ),
    ] = None
    source_env: Annotated[
        str | None,
        typer.Option(
            "--source-env", metavar="ID", help="Environment of the source task, in place of --pairs."
        ),
    ] = None
    target_env: Annotated[
        str | None,
        typer.Option("--target-env", metavar="ID", help="Environment of the target task, stepped alongside."),
    ] = None
    adapter: Annotated[
        str | None,
        typer.Option(
            "--adapter", metavar="MODULE:FUNCTION", help="Your function that builds a model from weights."
        ),
    ] = None
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="The network of a file of weights: module:factory, torchvision:NAME, timm:NAME, hf:FOLDER.",
        ),
    ] = None
    model_args: Annotated[
        str | None,
        typer.Option("--model-args", metavar="JSON", help="Arguments of that network's factory."),
    ] = None
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer",
            metavar="NAME",
            help="The layer that is the embedding (default: what the last linear one reads).",
        ),
    ] = None
    inputs: Annotated[
        list[Path] | None,
        typer.Option(
            "--inputs",
            metavar="FILE",
            help="Arrays, a folder of pictures or lines of text to show; twice: the source's, the target's.",
        ),
    ] = None
    targets: Annotated[
        Path | None,
        typer.Option(
            "--targets",
            metavar="FILE",
            help="Labels or numbers for the inputs, row by row, that a network's losses are taken by.",
        ),
    ] = None
    output: Annotated[
        str | None,
        typer.Option(
            "--output", metavar="NAME", help="The output of an exported program that is the embedding."
        ),
    ] = None
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="NAME",
            help="The column or array that says which row is which; of weights, their entry.",
        ),
    ] = None
    columns: Annotated[
        Any,
        typer.Option(
            "--columns",
            metavar="NAMES",
            parser=_names,
            help="Columns or arrays that are the embedding: a,b or 'z*'.",
        ),
    ] = None
    common_rows: Annotated[
        bool, typer.Option("--common-rows", help="Leave out rows whose key only one of two files has.")
    ] = False
    normalize: Annotated[
        Path | None,
        typer.Option(
            "--normalize", metavar="FILE", help="Statistics that a policy's observations are scaled by."
        ),
    ] = None
    channels: Annotated[
        Literal["first", "last"] | None,
        typer.Option(
            "--channels",
            metavar="first|last",
            help="Where embeddings on a grid have their channels (docs/measures.md).",
        ),
    ] = None
    trust_pickle: Annotated[
        bool,
        typer.Option("--trust-pickle", help="Unpickle files that ask for it, and so run what is in them."),
    ] = False

    @property
    def supplied(self) -> Supplied:
        """The options as the sources take them."""
        from diag.sources.supplied import Supplied

        given = {option.name: getattr(self, option.name) for option in fields(self)}
        return Supplied(**{**given, "columns": self.columns or (), "inputs": tuple(self.inputs or ())})

    @property
    def files(self) -> list[Path]:
        """The files that were handed over, which no output may be written over."""
        places = (self.pairs, self.normalize, self.targets, *(self.inputs or ()))
        files = [place for place in places if place is not None]
        named = [code for code in (self.adapter, self.model) if code is not None]
        # Their modules, where those lie below the working directory.
        return files + [Path(*code.partition(":")[0].split(".")).with_suffix(".py") for code in named]
