"""``.safetensors`` files: their header, and their tensors as arrays of numpy or tensors of torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diag.sources.safe.bounds import MAPPED_BYTES
from diag.sources.safe.names import line, shown
from diag.subject import SubjectError
from trainers.safe_text import MOST_HEADER, MOST_TENSORS, whole

if TYPE_CHECKING:
    from torch import Tensor

NATIVE = b'"transfer_diag"'
"""The key in the header of every checkpoint of diag train and diag transfer."""

NUMPY_TYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?"},
    **{f"I{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"U{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
}
"""The types of safetensors that have one in numpy; of BF16, its bits."""


def header_of(path: str) -> bytes | None:
    """The header of a safetensors file, as bytes of JSON; None for what does not begin as one."""
    try:
        size = int.from_bytes(whole(path, 8), "little")
        if not 2 <= size <= min(MOST_HEADER, Path(path).stat().st_size - 8):
            return None
        header = whole(path, 8 + size)[8:]
    except (OSError, ValueError):
        return None
    return header if header.startswith(b"{") else None


def read_tensors(path: str, expected: str) -> dict[str, NDArray[Any]]:
    """Every tensor of a safetensors file by name, large ones mapped; raises SubjectError.

    ``expected`` says in the error what the file should have been.
    """
    import safetensors

    try:
        header = header_of(path)
        if header is not None and header.count(b'"data_offsets"') > MOST_TENSORS:
            raise ValueError(f"more than {MOST_TENSORS} tensors")
        # The library checks every offset, which makes it safe to read them again below.
        with safetensors.safe_open(path, framework="np"):
            pass
        if header is None:
            raise ValueError("another header")
        places = json.loads(header)
        places.pop("__metadata__", None)
        return {name: _mapped(path, name, places[name], 8 + len(header)) for name in sorted(places)}
    except SubjectError:
        raise
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise SubjectError(path, f"no whole safetensors file ({line(error)})", expected) from None


def _mapped(path: str, name: str, place: Mapping[str, Any], start: int) -> NDArray[Any]:
    kind, shape = place["dtype"], tuple(place["shape"])
    if kind not in NUMPY_TYPES:
        raise SubjectError(path, f"{shown(name)} of type {kind}", "a type of numbers that numpy has")
    dtype = np.dtype(NUMPY_TYPES[kind])
    first, last = place["data_offsets"]
    if first == last:
        return np.empty(shape, dtype)
    array: NDArray[Any] = np.memmap(path, dtype, "r", start + first, shape)
    if kind == "BF16":  # the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array if array.nbytes >= MAPPED_BYTES else np.array(array)


def loaded_tensors(path: str, expected: str) -> dict[str, Tensor]:
    """Every tensor of a safetensors file by name, as torch's, of any type; raises SubjectError."""
    import safetensors.torch

    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise SubjectError(path, f"no whole safetensors file ({line(error)})", expected) from None
