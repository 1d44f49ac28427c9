"""The losses of a module as a function of its tensors: given ones in place of the module's own."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode

from diag.sources.batches import each_tensor, rows_in
from diag.sources.torch_state import (
    Statistics,
    as_own,
    derived_in,
    follows_of,
    refreshers,
    tensors_of,
)
from diag.subject import Parameters, SubjectError

if TYPE_CHECKING:
    from diag.subject import Follows

Losses: TypeAlias = Callable[[Any, Any], Mapping[str, Tensor]]
"""A function of the module (to be called as usual, whole or in parts) and a batch -> per-sample losses {term:
(n,)}."""


class Evaluation(nn.Module):
    """The losses as a module around a copy of the network, every part of which has the given parameters."""

    def __init__(
        self, path: str, module: nn.Module, losses: Losses, names: Mapping[str, str], *, wide: bool = False
    ) -> None:
        """``names``: the module's name of each given tensor; ``wide`` turns half precision into float32."""
        super().__init__()
        self.path, self.module, self.terms = path, module, dict[str, float]()
        self._losses = (losses,)  # losses that are a module themselves are no part of this one
        self._names = {n: f"module.{full}" for n, full in names.items()}
        self._wide = wide
        if wide:
            module.float()
        own = tensors_of(module)
        self._types = {n: own[full].dtype for n, full in names.items()}
        self._settle(next(iter(own.values())).device)
        twice = (
            *module.named_parameters(remove_duplicate=False),
            *module.named_buffers(remove_duplicate=False),
        )
        once = (*module.named_parameters(), *module.named_buffers())
        self._tied = len(twice) > len(once)
        called = {full: n for n, full in names.items()}
        # Parts that are pinned keep their own state.
        derived = [d for d in derived_in(module) if all(n in called for n in d.names)]
        self._derived = [(d, follows_of(d, called)) for d in derived]
        self._refresh = refreshers(module)

    @property
    def follows(self) -> tuple[Follows, ...]:
        """State that is computed afresh where it is not given."""
        return tuple(follows for _, follows in self._derived)

    def reads_rows(self, given: Collection[str]) -> bool:
        """Whether a sample's loss depends on the whole batch, since running averages are not given."""
        return any(
            isinstance(derived, Statistics) and not all(name in given for name in follows.names)
            for derived, follows in self._derived
        )

    def _settle(self, device: torch.device) -> None:
        self.module.to(device)
        self._device = device
        self._own_buffers = {f"module.{full}": b for full, b in self.module.named_buffers()}

    def forward(self, batch: Any) -> Any:
        for refresh in self._refresh:
            refresh()
        return self._losses[0](self.module, batch)

    def offsets(self, parameters: Parameters, batch: Any) -> dict[str, Tensor]:
        """Offsets of a module's own derived state from what a batch and the weights give, by their names."""
        offsets: dict[str, Tensor] = {}
        if self._derived:
            for derived, _ in self._derived:
                derived.measures = True
            self.at(parameters, batch)
            for derived, follows in self._derived:
                offsets |= dict(zip(follows.offsets, derived.off(), strict=True))
                derived.measures = False
        return offsets

    def at(self, parameters: Parameters, batch: Any) -> dict[str, Tensor]:
        """Per-sample losses {term: (n,)} with these parameters in place of the module's."""
        rows = rows_in(batch, self.path)
        if getattr(parametrize, "_cache_enabled", 0):
            # The cache would keep the first point's weights for all points.
            raise SubjectError(
                self.path, "torch's parametrize.cached() in force", "a landscape that is taken outside of it"
            )
        if _device(parameters) != self._device:  # tensors that are held move along
            self._settle(_device(parameters))
        given = dict(self._own_buffers)
        for name, full in self._names.items():
            if name in parameters:
                # A vector of parameters has one type.
                given[full] = as_own(parameters[name], self._types[name])
        for full in self._own_buffers:
            # The module gets copies of its buffers, since it may write to them. They carry no gradient:
            # nothing descends them, and batch norm has none in its statistics.
            given[full] = given[full].detach().clone()
        if self._wide:
            batch = each_tensor(batch, _widened)
        for derived, follows in self._derived:
            missing = any(name not in parameters for name in follows.names)
            derived.fresh(tuple(parameters[name] for name in follows.offsets) if missing else None)
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

    def _checked(self, losses: Any, rows: int) -> dict[str, Tensor]:
        expected = f"losses {{term: ({rows},)}}, one for each sample"
        if not isinstance(losses, Mapping) or not losses:
            what = (
                "nothing" if losses is None or isinstance(losses, Mapping) else f"a {type(losses).__name__}"
            )
            raise SubjectError(self.path, f"{what} from its losses", expected)
        for term, values in losses.items():
            if not isinstance(values, Tensor):
                raise SubjectError(self.path, f"{term!r} as a {type(values).__name__}", expected)
            if tuple(values.shape) != (rows,) or values.is_complex():
                what = f"{term!r} of shape {tuple(values.shape)}, {values.dtype}"
                raise SubjectError(self.path, what, expected)
        if self.terms and losses.keys() != self.terms.keys():
            raise SubjectError(
                self.path, f"losses {', '.join(losses)}", f"{', '.join(self.terms)}, as before"
            )
        return dict(losses)


class _QuickTanh(TorchFunctionMode):
    """tanh x = 2σ(2x) − 1, to 2·10⁻⁷, where torch's own takes up to six times as long: not near-exact at 0.

    Tiny hidden units lose digits by it, and then AGREES rejects the quick way. It serves float32 alone.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in _TANH and not kwargs and args[0].dtype == torch.float32:
            return (args[0] + args[0]).sigmoid_().mul_(2).sub_(1)
        return func(*args, **(kwargs or {}))


_TANH = (torch.tanh, torch.Tensor.tanh)


def quick_tanh() -> Any:
    """Context in which tanh is computed by a sigmoid, if no gradient is needed."""
    return nullcontext() if torch.is_grad_enabled() else _QuickTanh()


@contextmanager
def slow_is_an_error() -> Iterator[None]:
    """Context that raises a Warning where torch would loop over points by itself: our own loop is quicker."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="There is a performance drop")
        yield


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() and tensor.element_size() < 4 else tensor


def _device(parameters: Parameters) -> torch.device:
    return next(iter(parameters.values())).device
