"""A torch module in memory and the losses that it is to lower -> a Subject.

The module is copied and left as it was. Its losses are a function of the module and a batch; they are
taken from the copy in evaluation mode, with the parameters of the moment in place of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from diag.repeatable import Chance, HeldObjective, UnsteadyError, examined
from diag.sources.batches import each_tensor, rows_in, tensors_in
from diag.sources.torch_evaluation import Evaluation, Losses
from diag.sources.torch_objective import UNTRAINED, LayeredModule, ModuleObjective, State, parts_of
from diag.sources.torch_state import as_numbers, check_tensors, copy_of, discrete_in, tensors_of
from diag.subject import Pairs, Parameters, Sampled, Subject, SubjectError, Task
from diag.units.symmetry import SymmetryError, check
from trainers.checkpoint import identity_of

if TYPE_CHECKING:
    from diag.units.symmetry import Units

WHOLE = "model"
"""The component of parameters that lie in no named part of the module."""

NUDGE = 0.1
"""Step of every parameter, as a share of its mean size plus 1, that shows whether the losses depend on
any."""


def from_module(
    model: nn.Module,
    losses: Losses,
    batch: Any,
    *,
    name: str = "model",
    terms: Mapping[str, float] | None = None,
    groups: ArrayLike | None = None,
    pinned: Sequence[str] = (),
    pairs_rows: bool = False,
    units: Sequence[Units] | None = None,
    task: Task = "target",
    device: torch.device | str | None = None,
) -> Subject:
    """The subject of a module; later training of it does not reach the subject.

    Losses that draw random numbers are given the same ones at every point, which the result says.
    Every tensor is named by the module's attribute that it lies in: ``encoder.0.weight`` is
    ``encoder/0.weight``; those of a bare sequence, or of the module itself, have the component ``model``.
    Numbers of any type move, complex ones as pairs; gradients reach all but buffers. What a spectral norm
    remembers and the running averages of torch's own norms follow from the weights: between checkpoints they
    are computed afresh, the averages on the batch. Integers, booleans and masks cannot be interpolated.

    Args:
        model: Any module; copied.
        losses: Called as ``losses(module, batch)`` with the copy, gives per-sample losses {term: (n,)}. It
            must use the module that it is given, and no other.
        batch: A tensor, or tuples, lists and mappings of tensors, each with a leading axis of n samples.
        name: Stands for a path in what is said about the subject.
        terms: Weights of the losses in the total; 1 for those that are not named.
        groups: (n,) the episode, or state, of each sample: what a bootstrap resamples. Each its own if None.
        pinned: Prefixes, as the module names its parameters (``target`` or ``target.0``), of what does not
            move, such as a target network: held at its values here, and recorded.
        pairs_rows: Whether a sample's loss reads other rows of the batch, which then is never parted.
        units: The hidden units of layers, for matching them; ``units_of`` knows those of sequences.
        task: What the batch is called, ``source`` or ``target``.
        device: Where to evaluate; where the module's first parameter is if None.

    Raises:
        SubjectError: the module cannot be copied or has nothing that moves; ``losses`` does not give
            per-sample losses, or others for the same input that no seed of the global generators makes
            alike (:mod:`diag.repeatable`); the batch, groups, terms or pinned prefixes do not fit.
    """
    check_tensors(tensors_of(model), name)
    try:
        module = copy_of(model).eval().requires_grad_(False)
    except RuntimeError as error:  # tensors that are neither parameters nor constants
        raise SubjectError(name, f"a module that cannot be copied ({error})", "one that can") from None
    if device is None:
        device = next((t.device for t in tensors_of(module).values()), torch.device("cpu"))
    module = module.to(device)
    own = tensors_of(module)
    named = named_as(own, name)
    for prefix in pinned:
        if not any(_under(full, prefix) for full in own):
            raise SubjectError(name, f"no parameter under {prefix!r}", f"one of {', '.join(own)}")
    held = tuple(n for n, full in named.items() if any(_under(full, prefix) for prefix in pinned))
    given = {n: full for n, full in named.items() if n not in held}
    apart = discrete_in(module, own)
    discrete = frozenset(n for n, full in given.items() if full in apart)
    parameters = {n: as_numbers(own[full]).clone() for n, full in given.items()}
    half = {str(own[f].dtype).removeprefix("torch.") for n, f in given.items() if _is_half(own[f])}
    wide = copy_of(module) if half else None
    evaluation = Evaluation(name, module, losses, given)
    follows = evaluation.follows
    derived = {n for f in follows for n in f.names}
    free = {n: t for n, t in parameters.items() if n not in discrete and n not in derived}
    if not free:
        raise SubjectError(name, "no floating parameters that move", "a module with some")
    batch = each_tensor(batch, lambda t: t.detach().to(device))
    rows = rows_in(batch, name)
    labels = np.arange(rows) if groups is None else _labels(groups, rows, name)
    some = batch if pairs_rows else parts_of(batch)[0]
    chance = _chance(evaluation, losses, parameters, some)
    at = evaluation.at if chance is None else chance.hold(evaluation.at)
    with torch.inference_mode():
        values = at(parameters, some)
        nudged = {n: t + NUDGE * (t.abs().mean() + 1) for n, t in free.items()}
        other = at({**parameters, **nudged}, some)
        offsets = evaluation.offsets(parameters, batch)
    if all(torch.equal(values[term], other[term]) for term in values):
        expected = "losses of the module that they are given, whose parameters change"
        raise SubjectError(name, "losses that no parameter changes", expected)
    weights = terms or {}
    for term in weights:
        if term not in values:
            raise SubjectError(name, f"a weight of {term!r}", f"one of the losses {', '.join(values)}")
    evaluation.terms = {term: float(weights.get(term, 1.0)) for term in values}
    if units is not None:
        try:
            check(units, parameters)
        except SymmetryError as error:
            expected = f"units of parameters such as {next(iter(parameters))!r}: mind the prefix"
            raise SubjectError(name, f"units of {error.where} with {error.found}", expected) from None
    if wide is not None:
        wide = Evaluation(name, wide, losses, given, wide=True)
        wide.terms = evaluation.terms
    state = State(held, discrete, tuple(sorted(half)))
    parted = not pairs_rows
    objective = (
        ModuleObjective(evaluation, losses, state, parted=parted, wide=wide)
        if units is None
        else LayeredModule(evaluation, losses, state, parted=parted, wide=wide, units=tuple(units))
    )
    identity = identity_of({**parameters, **{n: as_numbers(own[named[n]]) for n in held}})
    count = sum(t.numel() for t in free.values())
    words = [f"{type(model).__name__} of {count:,} numbers", *(f"{prefix} held" for prefix in pinned)]
    return Subject(
        path=name,
        sha256=identity,
        task=task,
        parameters={**parameters, **offsets},
        objective=objective if chance is None else HeldObjective(objective, chance),
        tasks=Given(task, batch, labels),
        identity=identity,
        label=", ".join(words),
    )


def _chance(evaluation: Evaluation, losses: Losses, parameters: Parameters, batch: Any) -> Chance | None:
    """The random numbers that the losses draw, if any; raises SubjectError where losses do not repeat."""
    try:
        with torch.inference_mode():
            return examined(
                lambda: evaluation.at(parameters, batch), remedy=UNTRAINED, given=True, keepers=(losses,)
            )
    except UnsteadyError as error:
        raise SubjectError(evaluation.path, error.found, error.expected) from None
    finally:
        evaluation.module.eval()  # which losses may have changed


class Given:
    """One batch as a TaskPair: it is all the data there is, whatever number of samples is asked for."""

    def __init__(self, task: Task, batch: Any, groups: NDArray[np.int64]) -> None:
        digest = hashlib.sha256(groups.tobytes())
        for tensor in tensors_in(batch):
            digest.update(identity_of({"": tensor}).encode())
        self.name = f"{len(groups)} given samples {digest.hexdigest()[:8]}"
        self._task, self._batch, self._groups = task, batch, groups

    def paired_observations(self, n: int | None, seed: int) -> Pairs:
        """The batch's first tensor, of one task alone."""
        return Pairs({self._task: tensors_in(self._batch)[0][:n]}, self._groups[:n])

    def batch(self, task: Task, n: int, seed: int) -> Sampled:
        return Sampled(self._batch, self._groups)

    def variables(self) -> Mapping[str, NDArray[Any]]:
        return {}


def named_as(own: Mapping[str, Tensor], name: str) -> dict[str, str]:
    """{component/parameter: the module's own name}; the same for all modules of one architecture."""
    named: dict[str, str] = {}
    for full in own:
        component, dot, rest = full.partition(".")
        new = f"{component}/{rest}" if dot and not component.isdigit() else f"{WHOLE}/{full}"
        if new in named:
            raise SubjectError(name, f"{full} and {named[new]}", f"one of them alone to be called {new}")
        named[new] = full
    return named


def _under(full: str, prefix: str) -> bool:
    return full == prefix or full.startswith(prefix.rstrip(".") + ".")


def _is_half(tensor: Tensor) -> bool:
    """Whether a tensor has numbers of less than four bytes, or pairs of them."""
    return (tensor.is_floating_point() and tensor.element_size() < 4) or tensor.dtype == torch.complex32


def _labels(groups: ArrayLike, rows: int, name: str) -> NDArray[np.int64]:
    labels = np.asarray(groups)
    if labels.shape != (rows,):
        raise SubjectError(name, f"groups of shape {labels.shape}", f"({rows},), one for each sample")
    return np.unique(labels, return_inverse=True)[1].reshape(-1).astype(np.int64)
