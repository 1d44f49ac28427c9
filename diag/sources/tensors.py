"""Files of tensors without a transfer-diag header -> ready embeddings, or weights for an adapter.

``.safetensors`` files are mapped; ``.pt`` and ``.pth`` files, which ``torch.save`` pickles, are read by
torch's loader for weights alone, which runs no code, after a look at what they ask for.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diag.sources.arrays import MAPPED_BYTES, embedding_names, ready
from diag.sources.naming import KEY, RETURNS
from diag.sources.numbers import native
from diag.sources.opening import Opening
from diag.sources.safe.bounds import content_of, line, listed, shown
from diag.sources.supplied import Supplied
from diag.subject import Subject, SubjectError
from trainers.safe_text import MOST_HEADER, MOST_TENSORS, whole

if TYPE_CHECKING:
    from torch import Tensor

NATIVE = b'"transfer_diag"'
"""What stands in the header of a checkpoint of ours."""

NUMPY_TYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?"},
    **{f"I{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"U{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
}
"""The types of safetensors that have one in numpy; of BF16, its bits."""

EXPECTED = (
    f"embeddings (one tensor, or one named {KEY!r}), a checkpoint of diag train, or weights "
    "with --adapter MODULE:FUNCTION that makes an encoder of them"
)


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


def open_tensors(opening: Opening) -> Subject:
    """The subject of a safetensors file without our header; raises SubjectError."""
    if opening.supplied.adapter is not None:
        from diag.sources.adapter import adapted

        return adapted(_loaded(opening.path), opening)
    arrays = read_tensors(opening.path)
    if _holds_embeddings(arrays, opening.supplied):
        return ready(arrays, opening.path, opening.sha256, opening.supplied)
    raise _weights_alone(opening.path, "a safetensors file without a transfer-diag header", arrays)


def read_tensors(path: str, expected: str = EXPECTED) -> dict[str, NDArray[Any]]:
    """Every tensor of a safetensors file by name, large ones mapped; raises SubjectError."""
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


def _loaded(path: str) -> dict[str, Tensor]:
    """The same as tensors of torch, whatever their type."""
    import safetensors.torch

    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise SubjectError(path, f"no whole safetensors file ({line(error)})", EXPECTED) from None


def open_saved(opening: Opening) -> Subject:
    """The subject of a ``.pt`` or ``.pth`` file; raises SubjectError for pickles that are not trusted."""
    import torch

    from diag.sources.weights import load_saved

    path, trusted = opening.path, opening.supplied.trust_pickle
    content = content_of(path, "a file of torch.save", (b"",) if trusted else (b"PK",))
    saved = load_saved(content, path, trusted)
    if opening.supplied.adapter is not None:
        from diag.sources.adapter import adapted

        return adapted(saved, opening)
    if isinstance(saved, torch.nn.Module):  # only where pickles are trusted
        from diag.sources.torch_encoder import module_subject

        return module_subject(saved, opening)
    if isinstance(saved, torch.Tensor):
        saved = {KEY: saved}
    if not isinstance(saved, Mapping):
        raise SubjectError(path, f"a {type(saved).__name__}", EXPECTED)
    tensors = {str(name): t for name, t in saved.items() if isinstance(t, torch.Tensor)}
    if _holds_embeddings(tensors, opening.supplied):
        arrays = {name: native(t, path, shown(name), "tensors of numbers") for name, t in tensors.items()}
        return ready(arrays, path, opening.sha256, opening.supplied)
    raise _weights_alone(path, "a state dict", saved)


def _holds_embeddings(arrays: Mapping[str, Any], supplied: Supplied) -> bool:
    """Whether the arrays of a file are embeddings, and not the weights of a network."""
    if supplied.columns:
        return True
    key = () if supplied.key is None else (supplied.key, *(k.strip() for k in supplied.key.split(",")))
    names = embedding_names(arrays, key)
    return len(names) == 1 or (not names and RETURNS in arrays)


def _weights_alone(path: str, what: str, names: Collection[Any]) -> SubjectError:
    return SubjectError(path, f"{what}, with {len(names)} names ({listed(names) or 'none'})", EXPECTED)
