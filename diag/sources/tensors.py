"""Files of tensors without a transfer-diag header -> ready embeddings, or weights for an adapter.

``.safetensors`` files are mapped; ``.pt`` and ``.pth`` files, which ``torch.save`` pickles, are read by
torch's loader for weights alone, which runs no code, after a look at what they ask for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from diag.sources.adapter import adapted
from diag.sources.arrays import embedding_names, ready
from diag.sources.naming import KEY, RETURNS
from diag.sources.numbers import native
from diag.sources.opening import Opening
from diag.sources.safe.bounds import content_of
from diag.sources.safe.names import listed, shown
from diag.sources.safetensors_file import loaded_tensors, read_tensors
from diag.sources.supplied import Supplied
from diag.sources.weights import load_saved
from diag.subject import Subject, SubjectError

EXPECTED = (
    f"embeddings (one tensor, or one named {KEY!r}), a checkpoint of diag train, or weights "
    "with --model MODULE:FACTORY, or --adapter MODULE:FUNCTION, that makes their network"
)


def open_tensors(opening: Opening) -> Subject:
    """The subject of a safetensors file without diag's header; raises SubjectError."""
    if opening.supplied.model is not None:
        from diag.sources.models import modelled

        return modelled(loaded_tensors(opening.path, EXPECTED), opening)
    if opening.supplied.adapter is not None:
        return adapted(loaded_tensors(opening.path, EXPECTED), opening)
    arrays = read_tensors(opening.path, EXPECTED)
    if _holds_embeddings(arrays, opening.supplied):
        return ready(arrays, opening.path, opening.sha256, opening.supplied)
    raise _weights_alone(opening.path, "a safetensors file without a transfer-diag header", arrays)


def open_saved(opening: Opening) -> Subject:
    """The subject of a ``.pt`` or ``.pth`` file; raises SubjectError for pickles that are not trusted."""
    import torch

    path, trusted = opening.path, opening.supplied.trust_pickle
    content = content_of(path, "a file of torch.save", (b"",) if trusted else (b"PK",))
    saved = load_saved(content, path, trusted)
    if opening.supplied.model is not None:
        from diag.sources.models import modelled

        return modelled(saved, opening)
    if opening.supplied.adapter is not None:
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
