"""A torch module in memory and the losses that it is to lower -> a Subject.

The module is copied and left as it was. Its losses are a function of the module and a batch; they are
taken from the copy in evaluation mode, with the parameters of the moment in place of its own. Where many
points are asked for at once there are quicker ways than one plain call after another: small nets side by
side in one call, convolutions channels-last and few rows at a time so that they stay in cache. A way is
taken only if it agrees with the plain one to rounding at the first point that it is used for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.func import vmap

from diag.repeatable import Chance, HeldObjective, UnsteadyError, examined
from diag.sources.batches import each_tensor, rows_in, some_rows, stacked, tensors_in
from diag.sources.torch_evaluation import Evaluation, Losses, quick_tanh, slow_is_an_error
from diag.sources.torch_state import as_numbers, check_tensors, copy_of, discrete_in, tensors_of
from diag.subject import Pairs, Parameters, Sampled, Subject, SubjectError, Task
from diag.units.symmetry import SymmetryError, check
from trainers.checkpoint import identity_of

if TYPE_CHECKING:
    from diag.units.symmetry import Units

Stacked: TypeAlias = Mapping[str, Tensor]
"""Parameters that each have a leading axis of k points."""

POINTS, ROWS = 32, 4096
"""So many points stand side by side in one call, or fewer so that points × samples are at most so many rows:
calls cost a small net more than its sums, and beyond a cache of a megabyte nothing is gained."""

LEAST_POINTS = 16
"""With fewer side by side, one after another is as quick."""

PART_BYTES = 150_000
"""Of input, so much goes through convolutions at once: 16 rows of 48 × 48. What they make of it is some
ten times as large and stays in a cache of one or two megabytes."""

LEAST_ROWS = 8
"""With fewer, calls cost more than the cache saves."""

AGREES = 1e-4
"""How far a quick way may be from the plain one, as a share of a term's largest loss: a hundred times what
float32 rounds, and far below what samples do to each other that are not to be parted."""

UNABLE = (RuntimeError, ValueError, TypeError, AttributeError, LookupError, AssertionError, Warning)
"""What torch, or losses written for one point, raise where a quick way is closed to them."""

WHOLE = "model"
"""The component of parameters that lie in no named part of the module."""

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


NUDGE = 0.1
"""How far every parameter is moved, beside its mean size and 1, to see that the losses depend on any."""


UNTRAINED = "losses that leave the module that they are given in evaluation mode: no .train() in them"
"""What leads on where losses put it into training mode: the copy that they are given is not."""


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
    are computed afresh, the averages on the batch. Integers, booleans and masks have nothing in between.

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
    named = _named(own, name)
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
    some = batch if pairs_rows else _parts(batch)[0]
    chance = _chance(evaluation, losses, parameters, some)
    at = evaluation.at if chance is None else chance.hold(evaluation.at)
    with torch.inference_mode():
        found = at(parameters, some)
        nudged = {n: t + NUDGE * (t.abs().mean() + 1) for n, t in free.items()}
        other = at({**parameters, **nudged}, some)
        offsets = evaluation.offsets(parameters, batch)
    if all(torch.equal(found[term], other[term]) for term in found):
        expected = "losses of the module that they are given, whose parameters change"
        raise SubjectError(name, "losses that no parameter changes", expected)
    weights = terms or {}
    for term in weights:
        if term not in found:
            raise SubjectError(name, f"a weight of {term!r}", f"one of the losses {', '.join(found)}")
    evaluation.terms = {term: float(weights.get(term, 1.0)) for term in found}
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
    """What the losses draw; raises SubjectError where they do not repeat themselves."""
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


@dataclass(frozen=True)
class State:
    """What is known of a module's tensors beside their numbers."""

    pinned: tuple[str, ...]
    discrete: frozenset[str]
    half: tuple[str, ...]
    """The types of less than four bytes among them."""


class ModuleObjective:
    """A module's losses as functions of its parameters; differentiable where gradients are enabled."""

    lends = True
    """Its module runs on copies of its buffers: what is written to them is lost after each call."""
    remedy = UNTRAINED

    def __init__(
        self,
        evaluation: Evaluation,
        losses: Losses,
        state: State,
        parted: bool,
        wide: Evaluation | None = None,
    ) -> None:
        self.terms: Mapping[str, float] = evaluation.terms
        self.follows, self.discrete, self.half = evaluation.follows, state.discrete, state.half
        self._losses, self._wide, self._state, pinned = losses, wide, state, state.pinned
        self.pinned = (f"{', '.join(pinned)}: held at the values in {evaluation.path}",) if pinned else ()
        """What is held, in words."""
        self.constants: Mapping[str, Any] = {"losses": _word(losses), "pinned": list(pinned)}
        self._evaluation, self._parted = evaluation, parted
        self._convolves = any(isinstance(part, CONVOLUTIONS) for part in evaluation.module.modules())
        self._ways: tuple[Callable[[Stacked, Any], dict[str, Tensor]], ...] = (
            (self._channels_last, self._in_turn) if self._convolves else (self._side_by_side,)
        )
        self._agreed = False

    def precise(self) -> ModuleObjective:
        """The same losses with weights and batch in float32 where the module has less; else itself."""
        if self._wide is None:
            return self
        return ModuleObjective(self._wide, self._losses, replace(self._state, half=()), self._parted)

    @property
    def at_once(self) -> int:
        """So many points :meth:`losses_many` had best be given at once."""
        return LEAST_POINTS // 2 if self._convolves else POINTS

    def losses(self, parameters: Parameters, batch: Any) -> dict[str, Tensor]:
        """Per-sample losses {term: (n,)}: to the bit what the module itself gives in evaluation mode."""
        with nullcontext() if torch.is_grad_enabled() else torch.inference_mode():
            return self._evaluation.at(parameters, batch)

    def losses_many(self, parameters: Stacked, batch: Any) -> dict[str, Tensor]:
        """The same {term: (k, n)} of k points by the quickest way that is open, equal to rounding."""
        # Elsewhere than on a CPU convolutions have caches, and kernels, of their own.
        while self._ways and not (self._convolves and _device(parameters).type != "cpu"):
            try:
                if self._agreed:
                    return self._quickly(parameters, batch)
                with slow_is_an_error():
                    found = self._quickly(parameters, batch)
                if self._agrees(found, parameters, batch):
                    self._agreed = True
                    return found
            except UNABLE:
                self._agreed = False
            self._ways = self._ways[1:]
        return stacked([self.losses(one, batch) for one in _unstacked(parameters)])

    def _quickly(self, parameters: Stacked, batch: Any) -> dict[str, Tensor]:
        with nullcontext() if torch.is_grad_enabled() else torch.inference_mode():
            return self._ways[0](parameters, batch)

    def _side_by_side(self, parameters: Stacked, batch: Any) -> dict[str, Tensor]:
        """Several points in one call, their matrix products batched."""
        points = min(POINTS, ROWS // rows_in(batch, self._evaluation.path))
        if points < LEAST_POINTS:
            with quick_tanh():
                return stacked([self._evaluation.at(one, batch) for one in _unstacked(parameters)])
        together = vmap(lambda one: self._evaluation.at(one, batch))
        starts = range(0, _count(parameters), points)
        with quick_tanh():
            parts = [
                together({n: t[start : start + points] for n, t in parameters.items()}) for start in starts
            ]
        return parts[0] if len(parts) == 1 else {t: torch.cat([part[t] for part in parts]) for t in parts[0]}

    def _channels_last(self, parameters: Stacked, batch: Any) -> dict[str, Tensor]:
        """One point after another, its kernels and so its maps with channels side by side."""

        def laid_out(t: Tensor) -> Tensor:
            return t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t

        each = _unstacked(parameters)
        return self._by_parts([{n: laid_out(t) for n, t in one.items()} for one in each], batch)

    def _in_turn(self, parameters: Stacked, batch: Any) -> dict[str, Tensor]:
        """The same in the layout that they have."""
        return self._by_parts(list(_unstacked(parameters)), batch)

    def _by_parts(self, points: Sequence[Parameters], batch: Any) -> dict[str, Tensor]:
        parts = _parts(batch) if self._parted and not self._evaluation.reads_rows(points[0]) else [batch]
        with quick_tanh():
            found = [[self._evaluation.at(one, part) for part in parts] for one in points]
        return stacked([{t: torch.cat([part[t] for part in one]) for t in one[0]} for one in found])

    def _agrees(self, found: Mapping[str, Tensor], parameters: Stacked, batch: Any) -> bool:
        """Whether the first point's losses are the plain way's, to rounding.

        Where the batch was parted, for rows across two parts: losses that read other rows show there.
        """
        size = _part_rows(batch)
        whole = not self._parted or self._evaluation.reads_rows(parameters)
        parted = not whole and self._convolves and size < rows_in(batch, self._evaluation.path)
        rows = slice(size // 2, size // 2 + size) if parted else slice(None)
        with torch.no_grad():
            plain = self.losses(next(_unstacked(parameters)), some_rows(batch, rows))
            return all(_near(found[term][0, rows], plain[term]) for term in plain)


class LayeredModule(ModuleObjective):
    """The same for a module whose hidden units are known."""

    def __init__(
        self,
        evaluation: Evaluation,
        losses: Losses,
        state: State,
        parted: bool,
        wide: Evaluation | None,
        units: tuple[Units, ...],
    ) -> None:
        super().__init__(evaluation, losses, state, parted, wide)
        self.units = units

    def activations(self, parameters: Parameters, batch: Any) -> dict[str, Tensor]:
        """What each layer of units gives for a batch, before what follows it: {units.name: (n, size, ...)}.

        Where a layer runs several times in the losses, the first counts. Recurrent layers are left out: they
        can be matched by their weights alone. Raises SubjectError for units that are not named by a dense
        layer or a convolution of the module, or by one that its losses do not use.
        """
        path, seen, hooks = self._evaluation.path, dict[str, Tensor](), []
        units = [u for u in self.units if not self._evaluation.is_recurrent(u.name)]
        try:
            for u in units:
                part = self._evaluation.part(u.name)
                if not isinstance(part, (nn.Linear, *CONVOLUTIONS)):
                    raise SubjectError(path, f"units {u.name!r}", "a dense layer or convolution of that name")
                hooks.append(part.register_forward_hook(_keep_first(seen, u.name)))
            with torch.inference_mode():
                self._evaluation.at(parameters, batch)
        finally:
            for hook in hooks:
                hook.remove()
        for u in units:
            if u.name not in seen:
                raise SubjectError(path, f"units {u.name!r}", "units of layers that its losses use")
        return seen


def _keep_first(seen: dict[str, Tensor], name: str) -> Callable[[nn.Module, Any, Tensor], None]:
    def keep(part: nn.Module, inputs: Any, output: Tensor) -> None:
        seen.setdefault(name, output.movedim(-1, 1) if isinstance(part, nn.Linear) else output)

    return keep


# --- Names and tensors ------------------------------------------------------------------------------------


def _named(own: Mapping[str, Tensor], name: str) -> dict[str, str]:
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
    """Whether it has numbers of less than four bytes, or pairs of them."""
    return (tensor.is_floating_point() and tensor.element_size() < 4) or tensor.dtype == torch.complex32


def _word(losses: Losses) -> str:
    """What tells one function of losses from another across subjects."""
    return str(getattr(losses, "__qualname__", type(losses).__qualname__))


def _labels(groups: ArrayLike, rows: int, name: str) -> NDArray[np.int64]:
    labels = np.asarray(groups)
    if labels.shape != (rows,):
        raise SubjectError(name, f"groups of shape {labels.shape}", f"({rows},), one for each sample")
    return np.unique(labels, return_inverse=True)[1].reshape(-1).astype(np.int64)


# --- Batches ----------------------------------------------------------------------------------------------


def _part_rows(batch: Any) -> int:
    """So many rows that they stay in cache."""
    tensors = tensors_in(batch)
    return max(LEAST_ROWS, PART_BYTES * len(tensors[0]) // max(1, *(t.nbytes for t in tensors)))


def _parts(batch: Any) -> list[Any]:
    size, rows = _part_rows(batch), len(tensors_in(batch)[0])
    return [some_rows(batch, slice(start, start + size)) for start in range(0, rows, size)]


# --- Stacks -----------------------------------------------------------------------------------------------


def _device(parameters: Parameters) -> torch.device:
    return next(iter(parameters.values())).device


def _count(parameters: Stacked) -> int:
    return len(next(iter(parameters.values())))


def _unstacked(parameters: Stacked) -> Iterator[dict[str, Tensor]]:
    for index in range(_count(parameters)):
        yield {name: tensor[index] for name, tensor in parameters.items()}


def _near(one: Tensor, other: Tensor) -> bool:
    one, other = one.double(), other.double()
    finite = other.isfinite()
    if not torch.equal(one[~finite].nan_to_num(), other[~finite].nan_to_num()):
        return False
    if not finite.any():
        return True
    return bool((one - other)[finite].abs().max() <= AGREES * other[finite].abs().max())
