"""Files, names and permissions that a person hands over where a file alone does not say enough."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal, TypeAlias

Place: TypeAlias = "str | os.PathLike[str]"


@dataclass(frozen=True)
class Supplied:
    """Things that a source may need and a file of weights does not hold."""

    pairs: Place | None = None
    """A file of paired observations: arrays ``source`` and ``target`` (n, ...) of the same hidden states."""
    source_env: str | None = None
    """The registered environment of the source task; with ``target_env``, pairs come from both."""
    target_env: str | None = None
    adapter: str | None = None
    """``package.module:function`` that makes a Subject of a file of weights."""
    model: str | None = None
    """The network that a file's weights belong to: ``package.module:factory``, ``torchvision:NAME``,
    ``timm:NAME`` or ``hf:FOLDER``."""
    model_args: str | None = None
    """JSON that the factory is called with: an object's entries by name, or a list's in order."""
    layer: str | None = None
    """The layer of that network whose output is the embedding; the input of the last linear one if None."""
    inputs: tuple[Place, ...] = ()
    """Files or folders of inputs that such networks are shown: one for both tasks, or the source's and the
    target's, row by row of one state."""
    targets: Place | None = None
    """A file of labels, or of numbers that outputs are to be near to, a row for each of the inputs: with them
    such networks have losses, for landscapes. Or the name of a variable that is known of the inputs."""
    output: str | None = None
    """The name of an exported program's output that is the embedding."""
    key: str | None = None
    """The column (of a table) or array (of a file of named arrays) that says which row is which; of a file of
    weights with ``model``, the entry that holds them."""
    columns: tuple[str, ...] = ()
    """The columns or arrays that are the embedding, by name or pattern (``z*``); ``*`` for all of them."""
    common_rows: bool = False
    """Whether rows whose key only one of two files has may be left out."""
    normalize: Place | None = None
    """The observation statistics that a policy was trained under, where it saw normalised observations."""
    channels: Literal["first", "last"] | None = None
    """Whether the channels of embeddings on a grid come first, (n, c, h, w), or last; guessed where None."""
    trust_pickle: bool = False
    """Whether formats whose loaders unpickle, and so can run any code, may be opened at all."""


NOTHING = Supplied()
