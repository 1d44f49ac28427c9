"""The weights in what was saved: which entry holds them, and which prefixes stand before their names.

Training loops save a model's state dict beside an optimiser's, counters and settings, and wrappers put their
own name before each of the model's. Both are told by the names alone, and said; nothing is guessed from
shapes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from diag.sources.safe.names import listed, shown
from diag.subject import SubjectError

if TYPE_CHECKING:
    from torch import Tensor, nn

ENTRIES = (
    "state_dict",
    "model_state_dict",
    "model",
    "module",
    "net",
    "network",
    "policy",
    "agent",
    "weights",
    "params",
    "ema",
    "model_ema",
    "ema_state_dict",
    "state_dict_ema",
    "params_ema",
)
"""Entries of a checkpoint that hold a model's weights, the usual ones first: where a file has several, the
first is taken, which the result says."""

COMPILED = "_orig_mod."
"""The name that a compiled module, wherever it stands, puts before those of the module inside it."""

WRAPPERS = ("module.", "model.", "module.model.", "model.module.")
"""Names that distributed and Lightning's modules put before those of the module inside them."""

DEEPEST = 5
"""Levels of names among which a prefix is sought."""

DEPTH = 3
"""Levels of mappings in which weights are looked for."""

COUNTED = "num_batches_tracked"
"""The end of the names of counters that nothing reads in evaluation, and that older files lack."""


@dataclass(frozen=True)
class Weights:
    """A network's tensors by name, and how they were found."""

    tensors: Mapping[str, Tensor]
    entry: str = ""
    """Dotted name of the entry that holds them; empty for the whole file."""
    notes: tuple[str, ...] = ()
    """Clauses about the file, for readers of a result."""


def weights_in(saved: Any, path: str, key: str | None = None) -> Weights:
    """The weights among what was saved: those of the entry ``key``, or of the first of :data:`ENTRIES`.

    Raises SubjectError where there are none, or where several entries could be meant.
    """
    if isinstance(saved, list | tuple) and any(isinstance(part, Mapping) for part in saved):
        saved = {str(number): part for number, part in enumerate(saved)}  # an actor's and its critics', say
    if not isinstance(saved, Mapping):
        raise SubjectError(path, f"a {type(saved).__name__}", "a mapping of names to tensors: a state dict")
    known = dict(_state_dicts(saved))
    if key is not None:
        if key not in known:
            for name, tensors in known.items():
                if under := {n: t for n, t in tensors.items() if n.startswith(f"{key}.")}:
                    return Weights(under, name, (f"is read from its names that begin with {key!r}",))
            words = listed([name or "the whole file" for name in known]) or "none"
            raise SubjectError(path, f"no weights under {key!r}", f"--key with one of its entries: {words}")
        return Weights(known[key], key, () if not key else (f"is read from its entry {key!r}",))
    if "" in known:
        return Weights(known[""])
    ranked = sorted(known, key=_rank)
    if not ranked:
        names = listed([str(name) for name in saved]) or "none"
        raise SubjectError(path, f"no weights among its entries ({names})", "a state dict of tensors by name")
    first, others = ranked[0], ranked[1:]
    if others and _rank(first)[0] == len(ENTRIES):
        raise SubjectError(path, f"weights in {listed(ranked)}", "--key NAME with one of them")
    beside = f", and not from {listed(others)}, which --key would name" if others else ""
    return Weights(known[first], first, (f"is read from its entry {first!r}{beside}",))


def _rank(name: str) -> tuple[int, int]:
    last = name.rpartition(".")[2]
    return (ENTRIES.index(last) if last in ENTRIES else len(ENTRIES), name.count("."))


def _state_dicts(
    saved: Mapping[Any, Any], name: str = "", depth: int = DEPTH
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Mappings of words to tensors, the outermost first, by dotted name; an optimiser's state is none."""
    import torch

    tensors = {k: v for k, v in saved.items() if isinstance(k, str) and isinstance(v, torch.Tensor)}
    whole = {k: v for k, v in saved.items() if not isinstance(v, torch.Tensor)}
    if tensors and not any(isinstance(v, Mapping) and v for v in whole.values()):
        yield name, tensors
        return
    if depth:
        for key, value in whole.items():
            if isinstance(key, str) and isinstance(value, Mapping) and "optim" not in key.lower():
                yield from _state_dicts(value, f"{name}.{key}" if name else key, depth - 1)


# --- Into a module ------------------------------------------------------------------------------------------


def fill(module: nn.Module, weights: Weights, path: str, remedy: str = "") -> tuple[str, ...]:
    """Load weights into a module by name, whatever wrappers' prefixes stand before the names.

    Every tensor of the module must be there, in its shape. Notes on what was read in another way than it
    stands in the file; raises SubjectError, whose expectation ends in ``remedy``.
    """
    import torch

    own = {name: t for name, t in module.state_dict().items() if isinstance(t, torch.Tensor)}
    prefix, given, others = _unwrapped(weights.tensors, set(own), path)
    missing = _missing(own, given)
    if missing:
        known = sorted(map(str, weights.tensors), key=lambda name: (name.endswith(COUNTED), name))
        has = f"{len(weights.tensors)} names ({listed(known)})"
        found = f"no weights for {listed(missing)} of {type(module).__name__} among {has}"
        raise SubjectError(path, found, "weights of this model, or another --model")
    for name, tensor in own.items():
        if name in given and given[name].shape != tensor.shape:
            shapes = f"{shown(name)} of shape {tuple(given[name].shape)}"
            expected = f"{tuple(tensor.shape)}, as {type(module).__name__} has it{remedy}"
            raise SubjectError(path, shapes, expected)
    taken = {name: given[name] for name in own if name in given}
    module.load_state_dict(taken, strict=False)
    notes = list(weights.notes)
    if prefix:
        notes.append(f"has {prefix!r} before its names, which was left off")
    if left := [*(name for name in given if name not in own), *others]:
        notes.append(f"holds weights that the model has no place for, and that were left out: {listed(left)}")
    if halves := {str(t.dtype).removeprefix("torch.") for t in taken.values() if _is_half(t)}:
        notes.append(f"holds numbers of {listed(sorted(halves))}, which are computed with in float32")
    return tuple(notes)


def _missing(own: Mapping[str, Tensor], given: Collection[str]) -> list[str]:
    """A module's names without weights: neither in the file, nor tied to one that is."""
    held = {_place(own[name]) for name in own if name in given}
    needed = [name for name in own if not name.endswith(COUNTED) and name not in given]
    return [name for name in needed if not own[name].numel() or _place(own[name]) not in held]


def _place(tensor: Tensor) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Where a tensor's numbers lie in memory: one place for a weight that stands under several names."""
    return tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride())


def _is_half(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.element_size() < 4


def _unwrapped(
    tensors: Mapping[str, Tensor], own: set[str], path: str
) -> tuple[str, dict[str, Tensor], list[str]]:
    """The prefix that, left off, gives the most of a module's own names; the tensors under it by those
    names; and the names of the others. Raises SubjectError where two prefixes would do equally well.
    """
    plain = {name.replace(COMPILED, ""): t for name, t in tensors.items()}
    compiled = COMPILED if len(plain) == len(tensors) and any(COMPILED in name for name in tensors) else ""
    beginnings = {""}
    for name in plain:
        pieces = name.split(".")
        beginnings |= {".".join(pieces[:count]) + "." for count in range(1, min(len(pieces), DEEPEST))}
    fits = {p: sum(p + name in plain for name in own) for p in beginnings}
    most = max(fits.values())
    best = [p for p in ("", *(w for w in WRAPPERS if w), *sorted(beginnings)) if fits.get(p) == most]
    first = best[0]
    others = [p for p in dict.fromkeys(best[1:]) if not p.startswith(first)]
    if most and others and first not in ("", *WRAPPERS):
        both = f"the model's weights under {listed([first, *others])}"
        raise SubjectError(path, both, f"--key with one of them, such as --key {first.removesuffix('.')}")
    under = {n.removeprefix(first): t for n, t in plain.items() if n.startswith(first)}
    return first or compiled, under, [n for n in plain if not n.startswith(first)]
