"""Batches of whatever shape: tensors in tuples, lists and mappings, handled alike by all that touch them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from diag.subject import SubjectError


def each_part(batch: Any, change: Callable[[Any], Any]) -> Any:
    """The batch with every leaf of its tuples, lists and mappings changed by a function."""
    if isinstance(batch, Mapping):
        return {key: each_part(part, change) for key, part in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(each_part(part, change) for part in batch))
    if isinstance(batch, tuple | list):
        return type(batch)(each_part(part, change) for part in batch)
    return change(batch)


def each_tensor(batch: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The batch with every tensor in it changed by a function, and all else as it is."""
    return each_part(batch, lambda part: change(part) if isinstance(part, Tensor) else part)


def to_device(batch: Any, device: str) -> Any:
    """The batch with everything that has a ``.to`` moved to a device."""
    return each_part(batch, lambda part: part.to(device) if hasattr(part, "to") else part)


def tensors_in(batch: Any) -> list[Tensor]:
    """The tensors in a batch, in order."""
    tensors: list[Tensor] = []
    each_part(batch, lambda part: tensors.append(part) if isinstance(part, Tensor) else None)
    return tensors


def numbers_in(batch: Any) -> int:
    """Number of elements of all tensors in a batch, those in the fields of dataclasses among them.

    >>> numbers_in({"x": torch.zeros(3, 4), "y": [torch.zeros(5)]})
    17
    """
    counts: list[int] = []

    def count(part: Any) -> None:
        if isinstance(part, Tensor):
            counts.append(part.numel())
        elif is_dataclass(part) and not isinstance(part, type):
            counts.extend(numbers_in(getattr(part, f.name)) for f in fields(part))

    each_part(batch, count)
    return sum(counts)


def rows_in(batch: Any, name: str) -> int:
    """Number n of samples in each tensor of a batch; raises SubjectError, about ``name``, if they differ."""
    lengths = [len(t) if t.ndim else 0 for t in tensors_in(batch)]
    if not lengths or min(lengths) != max(lengths) or lengths[0] == 0:
        rows = f"a batch of {lengths} rows" if lengths else f"no tensor in a batch of {type(batch).__name__}"
        raise SubjectError(name, rows, "tensors with the same n samples in each")
    return lengths[0]


def some_rows(batch: Any, rows: slice) -> Any:
    """The batch with some rows of every tensor."""
    return each_tensor(batch, lambda t: t[rows])


def stacked(points: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Losses {term: (n,)} of k points as {term: (k, n)}."""
    return {term: torch.stack([point[term] for point in points]) for term in points[0]}
