"""A torch module in memory and the losses that it is to lower -> a Subject.

The module is copied and left as it was. Its losses are a function of the module and a batch; they are
taken from the copy in evaluation mode, with the parameters of the moment in place of its own. Where many
points are asked for at once there are quicker ways than one plain call after another: small nets side by
side in one call, convolutions channels-last and few rows at a time so that they stay in cache. A way is
taken only if it agrees with the plain one to rounding at the first point that it is used for.
"""

from __future__ import annotations

import copy
import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.overrides import TorchFunctionMode

from diag.batches import each_tensor, rows_in, some_rows, stacked, tensors_in
from diag.landscapes.symmetry import SymmetryError, check
from diag.repeatable import Chance, HeldObjective, UnsteadyError, examined
from diag.subject import Pairs, Parameters, Sampled, Subject, SubjectError, Task
from trainers.checkpoint import identity_of

if TYPE_CHECKING:
    from diag.landscapes.symmetry import Units

Losses: TypeAlias = Callable[[Any, Any], Mapping[str, Tensor]]
"""The module, to be called as ever, or parts of it, and a batch -> per-sample losses {term: (n,)}."""

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
    Everything floating moves, running statistics too, so that the ends of a path are exact; gradients reach
    all but buffers. Parameters are named by the module's attribute that they lie in: ``encoder.0.weight`` is
    ``encoder/0.weight``; those of a bare sequence, or of the module itself, have the component ``model``.

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
    try:
        module = copy.deepcopy(model).eval().requires_grad_(False)
    except RuntimeError as error:  # tensors that are neither parameters nor constants
        raise SubjectError(name, f"a module that cannot be copied ({error})", "one that can") from None
    if device is None:
        device = next((t.device for t in _tensors_of(module).values()), torch.device("cpu"))
    module = module.to(device)
    own = _tensors_of(module)
    named = _named(own, name)
    for prefix in pinned:
        if not any(_under(full, prefix) for full in own):
            raise SubjectError(name, f"no parameter under {prefix!r}", f"one of {', '.join(own)}")
    held = tuple(n for n, full in named.items() if any(_under(full, prefix) for prefix in pinned))
    moving = {n: full for n, full in named.items() if n not in held and _can_move(module, full, own[full])}
    if not moving:
        raise SubjectError(name, "no floating parameters that move", "a module with some")
    parameters = {n: own[full].clone() for n, full in moving.items()}
    batch = each_tensor(batch, lambda t: t.detach().to(device))
    rows = rows_in(batch, name)
    labels = np.arange(rows) if groups is None else _labels(groups, rows, name)
    evaluation = _Evaluation(name, module, losses, moving)
    some = batch if pairs_rows else _parts(batch)[0]
    chance = _chance(evaluation, losses, parameters, some)
    at = evaluation.at if chance is None else chance.hold(evaluation.at)
    with torch.inference_mode():
        found = at(parameters, some)
        nudged = {n: t + NUDGE * (t.abs().mean() + 1) for n, t in parameters.items()}
        other = at(nudged, some)
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
    objective = (
        ModuleObjective(evaluation, losses, held, parted=not pairs_rows)
        if units is None
        else LayeredModule(evaluation, losses, held, parted=not pairs_rows, units=tuple(units))
    )
    identity = identity_of({**parameters, **{n: own[named[n]] for n in held}})
    count = sum(t.numel() for t in parameters.values())
    words = [f"{type(model).__name__} of {count:,} numbers", *(f"{prefix} held" for prefix in pinned)]
    return Subject(
        path=name,
        sha256=identity,
        task=task,
        parameters=parameters,
        objective=objective if chance is None else HeldObjective(objective, chance),
        tasks=Given(task, batch, labels),
        identity=identity,
        label=", ".join(words),
    )


def _chance(evaluation: _Evaluation, losses: Losses, parameters: Parameters, batch: Any) -> Chance | None:
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


class ModuleObjective:
    """A module's losses as functions of its parameters; differentiable where gradients are enabled."""

    lends = True
    """Its module runs on copies of its buffers: what is written to them is lost after each call."""
    remedy = UNTRAINED

    def __init__(
        self, evaluation: _Evaluation, losses: Losses, pinned: tuple[str, ...], parted: bool
    ) -> None:
        self.terms: Mapping[str, float] = evaluation.terms
        self.pinned = (f"{', '.join(pinned)}: held at the values in {evaluation.path}",) if pinned else ()
        """What is held, in words."""
        self.constants: Mapping[str, Any] = {"losses": _word(losses), "pinned": list(pinned)}
        self._evaluation, self._parted = evaluation, parted
        self._convolves = any(isinstance(part, CONVOLUTIONS) for part in evaluation.module.modules())
        self._ways: tuple[Callable[[Stacked, Any], dict[str, Tensor]], ...] = (
            (self._channels_last, self._in_turn) if self._convolves else (self._side_by_side,)
        )
        self._agreed = False

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
                with _slow_is_an_error():
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
            with _quick_tanh():
                return stacked([self._evaluation.at(one, batch) for one in _unstacked(parameters)])
        together = vmap(lambda one: self._evaluation.at(one, batch))
        starts = range(0, _count(parameters), points)
        with _quick_tanh():
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
        parts = _parts(batch) if self._parted else [batch]
        with _quick_tanh():
            found = [[self._evaluation.at(one, part) for part in parts] for one in points]
        return stacked([{t: torch.cat([part[t] for part in one]) for t in one[0]} for one in found])

    def _agrees(self, found: Mapping[str, Tensor], parameters: Stacked, batch: Any) -> bool:
        """Whether the first point's losses are the plain way's, to rounding.

        Where the batch was parted, for rows across two parts: losses that read other rows show there.
        """
        size = _part_rows(batch)
        parted = self._parted and self._convolves and size < rows_in(batch, self._evaluation.path)
        rows = slice(size // 2, size // 2 + size) if parted else slice(None)
        with torch.no_grad():
            plain = self.losses(next(_unstacked(parameters)), some_rows(batch, rows))
            return all(_near(found[term][0, rows], plain[term]) for term in plain)


class LayeredModule(ModuleObjective):
    """The same for a module whose hidden units are known."""

    def __init__(
        self,
        evaluation: _Evaluation,
        losses: Losses,
        pinned: tuple[str, ...],
        parted: bool,
        units: tuple[Units, ...],
    ) -> None:
        super().__init__(evaluation, losses, pinned, parted)
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


class _Evaluation(nn.Module):
    """The losses as a module around the copy, so that all they call of it has the given parameters."""

    def __init__(self, path: str, module: nn.Module, losses: Losses, names: Mapping[str, str]) -> None:
        """``names`` tells what the module calls each parameter that moves."""
        super().__init__()
        self.path, self.module, self.terms = path, module, dict[str, float]()
        self._losses = (losses,)  # losses that are a module themselves are no part of this one
        self._names = {n: f"module.{full}" for n, full in names.items()}
        own = _tensors_of(module)
        self._types = {n: own[full].dtype for n, full in names.items()}
        self._settle(next(iter(own.values())).device)
        twice = (
            *module.named_parameters(remove_duplicate=False),
            *module.named_buffers(remove_duplicate=False),
        )
        self._tied = len(twice) > len(own)

    def _settle(self, device: torch.device) -> None:
        self.module.to(device)
        self._device = device
        self._own_buffers = {f"module.{full}": b for full, b in self.module.named_buffers()}

    def forward(self, batch: Any) -> Any:
        return self._losses[0](self.module, batch)

    def at(self, parameters: Parameters, batch: Any) -> dict[str, Tensor]:
        """Per-sample losses {term: (n,)} with these parameters in place of the module's."""
        rows = rows_in(batch, self.path)
        if _device(parameters) != self._device:  # what is held follows
            self._settle(_device(parameters))
        given = dict(self._own_buffers)
        for name, full in self._names.items():
            tensor = parameters[name]
            # A vector of parameters has one type.
            given[full] = tensor if tensor.dtype == self._types[name] else tensor.to(self._types[name])
        for full in self._own_buffers:
            # A module that writes to its buffers writes to a copy; and nothing descends them, or could:
            # batch norm has no gradient in its statistics.
            given[full] = given[full].detach().clone()
        return self._checked(functional_call(self, given, (batch,), tie_weights=self._tied), rows)

    def part(self, name: str) -> nn.Module | None:
        """The part of the module whose parameters are named ``name``.something."""
        for parameter, full in self._names.items():
            if name in (parameter.rpartition(".")[0], parameter.rpartition("/")[0] + "/"):
                return self.get_submodule(full.rpartition(".")[0])
        return None

    def is_recurrent(self, units: str) -> bool:
        """Whether units are those of a recurrent layer: ``gru.l0``, or ``gru/l0`` of a component."""
        stem, layer = units[: units.rfind("l")], units[units.rfind("l") :]
        return any(name.startswith(stem) and name.endswith(f"weight_hh_{layer}") for name in self._names)

    def _checked(self, found: Any, rows: int) -> dict[str, Tensor]:
        expected = f"losses {{term: ({rows},)}}, one for each sample"
        if not isinstance(found, Mapping) or not found:
            what = "nothing" if found is None or isinstance(found, Mapping) else f"a {type(found).__name__}"
            raise SubjectError(self.path, f"{what} from its losses", expected)
        for term, values in found.items():
            if not isinstance(values, Tensor):
                raise SubjectError(self.path, f"{term!r} as a {type(values).__name__}", expected)
            if tuple(values.shape) != (rows,) or values.is_complex():
                what = f"{term!r} of shape {tuple(values.shape)}, {values.dtype}"
                raise SubjectError(self.path, what, expected)
        if self.terms and found.keys() != self.terms.keys():
            raise SubjectError(self.path, f"losses {', '.join(found)}", f"{', '.join(self.terms)}, as before")
        return dict(found)


class _QuickTanh(TorchFunctionMode):
    """tanh x = 2σ(2x) − 1, to 2·10⁻⁷, where torch's own takes up to six times as long: not near-exact at 0.

    Hidden units that are all tiny lose digits by it, and then AGREES closes the way. In float32 alone.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in _TANH and not kwargs and args[0].dtype == torch.float32:
            return (args[0] + args[0]).sigmoid_().mul_(2).sub_(1)
        return func(*args, **(kwargs or {}))


_TANH = (torch.tanh, torch.Tensor.tanh)


def _quick_tanh() -> Any:
    return nullcontext() if torch.is_grad_enabled() else _QuickTanh()


@contextmanager
def _slow_is_an_error() -> Iterator[None]:
    """Where torch would go point by point behind the scenes: our own loop is quicker."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="There is a performance drop")
        yield


# --- Names and tensors ------------------------------------------------------------------------------------


def _tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by the module's own names, each once."""
    return {n: t.detach() for n, t in (*module.named_parameters(), *module.named_buffers())}


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


def _can_move(module: nn.Module, full: str, tensor: Tensor) -> bool:
    """Whether a line through the tensor makes sense: counters, indices and masks of −∞ stay as they are."""
    mask = full in dict(module.named_buffers()) and bool(tensor.isinf().any())
    return tensor.is_floating_point() and not mask


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
