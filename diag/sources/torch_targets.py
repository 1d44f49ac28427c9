"""A whole network, its inputs and their targets -> a Subject with losses: cross-entropy, or squared error.

Labels ask for a cross-entropy of the outputs (n, classes, ...), or of one output where there are two
classes; fractions for the mean squared error of outputs of their shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from diag.sources.opening import Opening
from diag.sources.safe.names import line
from diag.sources.targets import Targeted, targets_of
from diag.sources.torch_layers import UNABLE, called_on
from diag.sources.torch_losses import from_module, named_as
from diag.sources.torch_state import tensors_of
from diag.subject import SAMPLES, Subject, SubjectError
from diag.units.layers import units_of
from diag.units.symmetry import SymmetryError, Units, check
from diag.units.traced import changed_by, traced_units

EXCHANGED = 1e-3
"""Change of the outputs under an exchange of hidden units, as a share of the largest, that is rounding: sums
are taken in another order, which deep networks magnify; what is no symmetry changes them by half."""


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy of outputs (n, classes, ...) beside labels (n, ...), its mean over places."""

    tokens: bool

    def __call__(self, module: Any, batch: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
        inputs, labels = batch
        outputs = output_of(module, inputs, self.tokens).float()
        if outputs.ndim == labels.ndim:  # one output, of two classes
            losses = functional.binary_cross_entropy_with_logits(outputs, labels.float(), reduction="none")
        else:
            losses = functional.cross_entropy(outputs, labels, reduction="none")
        return {"cross_entropy": losses.flatten(1).mean(1) if losses.ndim > 1 else losses}


@dataclass(frozen=True)
class SquaredLoss:
    """Mean squared difference of outputs (n, ...) from targets of their shape."""

    tokens: bool

    def __call__(self, module: Any, batch: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
        inputs, targets = batch
        squared = (output_of(module, inputs, self.tokens) - targets).square()
        return {"squared_error": squared.flatten(1).mean(1) if squared.ndim > 1 else squared}


def output_of(module: Any, inputs: Tensor, tokens: bool) -> Tensor:
    """A network's output for inputs: its logits where it names them, else the first tensor."""
    result = called_on(module, inputs, tokens)
    result = getattr(result, "logits", result)
    while isinstance(result, tuple | list) and result:
        result = result[0]
    made: Tensor = result
    return made


def targeted_subject(
    module: nn.Module, opening: Opening, notes: tuple[str, ...] = (), *, tokens: bool = False
) -> Subject:
    """The subject of a network with the losses that ``opening.supplied.targets`` ask for.

    Raises SubjectError for targets that do not fit the inputs or the network's outputs.
    """
    assert opening.supplied.targets is not None
    if opening.tasks is None:
        expected = "--inputs FILE too, with a row for each target"
        raise SubjectError(str(opening.supplied.targets), "targets without inputs", expected)
    module = module.float().eval().requires_grad_(False)
    raw = targets_of(opening.supplied.targets, opening.tasks)
    some = opening.tasks.paired_observations(2, 0).observations["target"]
    outputs = _outputs(module, some, opening.path, tokens)
    targets, told = _fitting(raw, outputs, str(opening.supplied.targets))
    losses: CrossEntropy | SquaredLoss = (
        SquaredLoss(tokens) if targets.is_floating_point() else CrossEntropy(tokens)
    )
    if targets[0].numel() == outputs[0].numel():  # one number beside each
        targets = targets.reshape(len(targets), *outputs.shape[1:])
    tasks = Targeted(opening.tasks, targets)
    task = opening.task if opening.task in tasks.tasks else "target"
    batch = tasks.batch(task, SAMPLES, 0)
    units, unmatched = _units(module, some, tokens)
    subject = from_module(
        module, losses, batch.batch, name=opening.path, groups=batch.groups, units=units, task=task
    )
    return replace(
        subject,
        path=opening.path,
        sha256=opening.sha256,
        tasks=tasks,
        notes=(*notes, *told, *unmatched),
        withheld=(
            "losses alone, since --targets was given",
            "no --targets but for landscapes, which take losses; or another file",
        ),
    )


def _outputs(module: nn.Module, some: Tensor, path: str, tokens: bool) -> Tensor:
    """The network's outputs for a few inputs; raises SubjectError."""
    some = some.float() if some.is_floating_point() else some
    expected = "a network that gives a tensor (n, ...) for inputs that it was made for"
    try:
        with torch.inference_mode():
            outputs = output_of(module, some, tokens)
    except UNABLE as error:
        shape = f"{str(some.dtype).removeprefix('torch.')} {tuple(some.shape[1:])}"
        raise SubjectError(
            path, f"a network that fails on inputs of {shape} ({line(error)})", expected
        ) from error
    made: Any = outputs
    if not isinstance(made, Tensor):
        raise SubjectError(path, f"a {type(made).__name__} as output", expected)
    if not made.is_floating_point() or not made.ndim or len(made) != len(some):
        what = f"outputs of {str(made.dtype).removeprefix('torch.')} {tuple(made.shape)}"
        raise SubjectError(path, f"{what} for {len(some)} inputs", expected)
    return made


def _fitting(raw: NDArray[Any], outputs: Tensor, place: str) -> tuple[Tensor, tuple[str, ...]]:
    """Targets as the outputs need them, and notes on how labels were read; raises SubjectError."""
    shape = tuple(outputs.shape[1:])
    if raw.dtype.kind == "f":
        if raw.shape[1:] != shape and (*raw.shape[1:], 1) != shape:
            raise SubjectError(
                place,
                f"fractions {_shape(raw.shape[1:])}",
                f"{_shape(shape)}, as the network's outputs; or labels as whole numbers",
            )
        if not np.isfinite(raw).all():
            raise SubjectError(place, "NaN or infinity", "finite numbers")
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(raw, np.float32)
        if not np.isfinite(values).all():
            raise SubjectError(place, "numbers too large for float32", "numbers below 3e38")
        return torch.from_numpy(values), ()
    told: tuple[str, ...] = ()
    if raw.dtype.kind in "US":
        words, raw = np.unique(raw, return_inverse=True)
        raw, told = (
            raw.reshape(-1),
            (f"has labels in words: {', '.join(map(str, words[:4]))}, … in this order",),
        )
        if len(words) <= 4:
            told = (f"has labels in words: {', '.join(map(str, words))}, in this order",)
    one = outputs[0].numel() == 1 and (raw.shape[1:] == shape or (*raw.shape[1:], 1) == shape)
    classes = 2 if one else int(outputs.shape[1]) if outputs.ndim > 1 else 0
    if not one and raw.shape[1:] != shape[1:]:
        raise SubjectError(
            place,
            f"labels {_shape(raw.shape[1:])}",
            f"{_shape(shape[1:])}, the number of each row's class, for outputs {_shape(shape)}; or fractions "
            f"{_shape(shape)}, such as 0.0 and 1.0, for a squared error",
        )
    low, high = int(raw.min()), int(raw.max())
    if low < 0 or high >= classes:
        raise SubjectError(
            place,
            f"labels from {low} to {high}",
            f"0 to {classes - 1}, for outputs {_shape(shape)}; fractions for a squared error",
        )
    return torch.from_numpy(np.ascontiguousarray(raw, np.int64)), told


def _shape(rest: tuple[int, ...]) -> str:
    """``(n,)``, ``(n, 3)``."""
    return f"(n{''.join(f', {size}' for size in rest) or ','})"


def _units(module: nn.Module, some: Tensor, tokens: bool) -> tuple[tuple[Units, ...] | None, tuple[str, ...]]:
    """The hidden units of a network; None where they cannot be told, and a clause about the file on that.

    Plain sequences are read part by part, other networks as torch.fx traces them. What a trace found counts
    only if a random exchange of these units leaves the network's outputs as they are.
    """
    own = tensors_of(module)
    try:
        units = _told(module)
        check(units, own)
        _check_exchange(module, some, tokens, units)
    except SymmetryError as error:
        return None, (f"has {error.found} at {error.where!r}, so that hidden units were not matched",)
    names = {full: name for name, full in named_as(own, type(module).__name__).items()}
    return tuple(_renamed(one, names) for one in units), ()


def _told(module: nn.Module) -> tuple[Units, ...]:
    """The hidden units by the module's own names; raises SymmetryError."""
    if isinstance(module, nn.Sequential):
        with suppress(SymmetryError):
            return units_of(module)
    return traced_units(module)


def _renamed(units: Units, names: Mapping[str, str]) -> Units:
    """The units under the names that a subject has for the module's parameters."""
    weight = names[f"{units.name}.weight"]
    name = weight.removesuffix("weight") if weight.endswith("/weight") else weight.removesuffix(".weight")
    return replace(
        units,
        name=name,
        spots=tuple(replace(spot, parameter=names[spot.parameter]) for spot in units.spots),
    )


def _check_exchange(module: nn.Module, some: Tensor, tokens: bool, units: tuple[Units, ...]) -> None:
    """Refuse units whose exchange changes what the network gives for some inputs; raises SymmetryError."""
    some = some.float() if some.is_floating_point() else some

    def called(parameters: Mapping[str, Tensor]) -> Tensor:
        with torch.inference_mode():
            return output_of(lambda x: functional_call(module, dict(parameters), (x,)), some, tokens)

    if not changed_by(units, tensors_of(module), called) <= EXCHANGED:
        found = "hidden units whose exchange changes its outputs"
        raise SymmetryError(type(module).__name__, found, "a symmetry")
