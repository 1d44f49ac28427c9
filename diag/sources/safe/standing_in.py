"""Empty stand-ins for the classes that a checkpoint names beside its weights, none of which is imported."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from diag.sources.safe.pickled import MAPPINGS


class Nothing:
    """Stands for an object whose class was not imported; whatever is done to it does nothing."""

    def __init__(self, *given: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


class Mapped:
    """Makes a plain mapping in the place of one whose class was not imported."""

    def __new__(cls, *given: Any) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        return OrderedDict()


@contextmanager
def standing_in(names: frozenset[str]) -> Iterator[None]:
    """Context in which torch's loader for weights takes stand-ins for the classes of these dotted names.

    Names that torch's loader knows itself mean its own. Raises ValueError for a torch that is too old.
    """
    import torch

    if not names:
        yield
        return
    if not hasattr(torch.serialization, "safe_globals"):
        raise ValueError(f"objects of {sorted(names)[0]}, which torch before 2.6 cannot pass over")
    known = [(Mapped if MAPPINGS.fullmatch(name.replace(".", " ")) else Nothing, name) for name in names]
    with torch.serialization.safe_globals(known):  # type: ignore[arg-type]
        yield
