"""The losses of a torch module as an Objective, with quicker ways where many points are asked for at once.

Small nets stand side by side in one call; convolutions go channels-last and few rows at a time so that they
stay in cache. A way is taken only if it agrees with the plain one to rounding at the first point that it is
used for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import vmap

from diag.sources.batches import rows_in, some_rows, stacked, tensors_in
from diag.sources.torch_evaluation import Evaluation, Losses, quick_tanh, slow_is_an_error
from diag.subject import Parameters, SubjectError

if TYPE_CHECKING:
    from diag.units.symmetry import Units

Stacked: TypeAlias = Mapping[str, Tensor]
"""Parameters that each have a leading axis of k points."""

POINTS, ROWS = 32, 4096
"""Most points side by side in one call, and most rows (points × samples) of such a call:
calls cost a small net more than its sums, and beyond a cache of a megabyte nothing is gained."""

LEAST_POINTS = 16
"""Fewest points that are evaluated side by side: with fewer, one after another is as quick."""

PART_BYTES = 150_000
"""Bytes of input that go through convolutions at once: 16 rows of 48 × 48. Their outputs are some
ten times as large and stay in a cache of one or two megabytes."""

LEAST_ROWS = 8
"""Fewest rows that go through convolutions at once: with fewer, calls cost more than the cache saves."""

AGREES = 1e-4
"""Largest difference of a quick way from the plain one, as a share of a term's largest loss: a hundred times
what float32 rounds, and far below what samples do to each other that are not to be parted."""

UNABLE = (RuntimeError, ValueError, TypeError, AttributeError, LookupError, AssertionError, Warning)
"""Exceptions that torch, or losses written for one point, raise where a quick way does not work."""

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)

UNTRAINED = "losses that leave the module that they are given in evaluation mode: no .train() in them"
"""Expected losses, in errors about losses that put their module into training mode."""


@dataclass(frozen=True)
class State:
    """Facts about a module's tensors beside their numbers."""

    pinned: tuple[str, ...]
    discrete: frozenset[str]
    half: tuple[str, ...]
    """Names of the tensors' types of less than four bytes."""


class ModuleObjective:
    """A module's losses as functions of its parameters; differentiable where gradients are enabled."""

    lends = True
    """Whether its module runs on copies of its buffers, so that a change to them is lost after each call."""
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
        """Words for the parameters that are held fixed."""
        self.constants: Mapping[str, Any] = {"losses": _word(losses), "pinned": list(pinned)}
        self._evaluation, self._parted = evaluation, parted
        self._convolves = any(isinstance(part, CONVOLUTIONS) for part in evaluation.module.modules())
        self._ways: tuple[Callable[[Stacked, Any], dict[str, Tensor]], ...] = (
            (self._channels_last, self._in_turn) if self._convolves else (self._side_by_side,)
        )
        self._agreed = False

    def precise(self) -> ModuleObjective:
        """These losses with weights and batch in float32, if the module has less; else this objective."""
        if self._wide is None:
            return self
        return ModuleObjective(self._wide, self._losses, replace(self._state, half=()), self._parted)

    @property
    def at_once(self) -> int:
        """Preferred number of points for one call of :meth:`losses_many`."""
        return LEAST_POINTS // 2 if self._convolves else POINTS

    def losses(self, parameters: Parameters, batch: Any) -> dict[str, Tensor]:
        """Per-sample losses {term: (n,)}: to the bit what the module itself gives in evaluation mode."""
        with nullcontext() if torch.is_grad_enabled() else torch.inference_mode():
            return self._evaluation.at(parameters, batch)

    def losses_many(self, parameters: Stacked, batch: Any) -> dict[str, Tensor]:
        """Per-sample losses {term: (k, n)} of k points, by the quickest way that is open."""
        # Other devices than CPUs have caches and kernels of their own for convolutions.
        while self._ways and not (self._convolves and _device(parameters).type != "cpu"):
            try:
                if self._agreed:
                    return self._quickly(parameters, batch)
                with slow_is_an_error():
                    losses = self._quickly(parameters, batch)
                if self._agrees(losses, parameters, batch):
                    self._agreed = True
                    return losses
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
        """One point after another, in the memory layout with channels last."""

        def laid_out(t: Tensor) -> Tensor:
            return t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t

        each = _unstacked(parameters)
        return self._by_parts([{n: laid_out(t) for n, t in one.items()} for one in each], batch)

    def _in_turn(self, parameters: Stacked, batch: Any) -> dict[str, Tensor]:
        """One point after another, in the given memory layout."""
        return self._by_parts(list(_unstacked(parameters)), batch)

    def _by_parts(self, points: Sequence[Parameters], batch: Any) -> dict[str, Tensor]:
        parts = parts_of(batch) if self._parted and not self._evaluation.reads_rows(points[0]) else [batch]
        with quick_tanh():
            by_point = [[self._evaluation.at(one, part) for part in parts] for one in points]
        return stacked([{t: torch.cat([part[t] for part in one]) for t in one[0]} for one in by_point])

    def _agrees(self, losses: Mapping[str, Tensor], parameters: Stacked, batch: Any) -> bool:
        """Whether the first point's losses equal those of the plain way, to rounding.

        Where the batch was parted, rows across two parts are compared: losses that read other rows differ
        there.
        """
        size = _part_rows(batch)
        whole = not self._parted or self._evaluation.reads_rows(parameters)
        parted = not whole and self._convolves and size < rows_in(batch, self._evaluation.path)
        rows = slice(size // 2, size // 2 + size) if parted else slice(None)
        with torch.no_grad():
            plain = self.losses(next(_unstacked(parameters)), some_rows(batch, rows))
            return all(_near(losses[term][0, rows], plain[term]) for term in plain)


class LayeredModule(ModuleObjective):
    """A module's losses where its hidden units are known, so that they can be matched."""

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
        """Outputs of each layer of units for a batch, before any activation: {units.name: (n, size, ...)}.

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


def _word(losses: Losses) -> str:
    """A name by which functions of losses are compared across subjects."""
    return str(getattr(losses, "__qualname__", type(losses).__qualname__))


# --- Batches ----------------------------------------------------------------------------------------------


def _part_rows(batch: Any) -> int:
    """Number of rows whose inputs and outputs stay in cache."""
    tensors = tensors_in(batch)
    return max(LEAST_ROWS, PART_BYTES * len(tensors[0]) // max(1, *(t.nbytes for t in tensors)))


def parts_of(batch: Any) -> list[Any]:
    """The batch in parts of a few rows each, which stay in cache."""
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
