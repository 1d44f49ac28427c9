"""Sort a torch module's tensors: free weights, state that follows from them, and discrete state.

Between two checkpoints a weight moves along a straight line. What follows from the weights does not: the two
vectors that a spectral norm remembers, and the running averages of a batch norm, belong to the weights that
they were made with, and halfway between two of them lies no state that training would ever have. They are
computed afresh where they are not given. Integers, masks and permutations cannot be interpolated at all.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrize import ParametrizationList
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from diag.subject import Follows, SubjectError

MEAN_OFF, SPREAD_OFF = "mean_off_the_samples", "spread_off_the_samples"
"""Offsets of a norm's running averages from the averages of the given samples: difference of the means, and
the logarithm of the ratio of the variances."""

SIGMA_OFF = "sigma_off_the_weight"
"""Offset of σ, by a spectral norm's own two vectors, from the largest singular value: the logarithm of
their ratio. Power iteration, one step for each update, is always a little behind."""

TIED = 1e-9
"""Distance of two squared singular values, as a share of the largest, below which they count as equal: no
second derivative of the larger exists there, and none is made up."""

HOOKS = (SpectralNorm, WeightNorm, BasePruningMethod)
"""Hooks of torch that make a plain attribute from parameters before each call of a layer."""


def copy_of(model: nn.Module) -> nn.Module:
    """A deep copy of a module; what torch's hooks keep from the last call is computed anew instead.

    Raises RuntimeError, torch's own, for other tensors that are neither parameters nor constants.
    """
    kept = [vars(part).get(_hooked(hook)) for part, hook in _hooks(model)]
    memo = {id(t): t.detach().clone() for t in kept if isinstance(t, Tensor)}
    return copy.deepcopy(model, memo)


def _hooks(model: nn.Module) -> Iterator[tuple[nn.Module, Any]]:
    for part in model.modules():
        for hook in part._forward_pre_hooks.values():
            if isinstance(hook, HOOKS):
                yield part, hook


def _hooked(hook: Any) -> str:
    """The attribute that a hook makes."""
    return str(hook._tensor_name if isinstance(hook, BasePruningMethod) else hook.name)


def refreshers(model: nn.Module) -> list[Callable[[], Any]]:
    """Functions that update attributes computed by hooks, for losses that read them without a call."""
    return [
        partial(hook, part, ())
        for part in model.modules()
        for hook in part._forward_pre_hooks.values()
        if isinstance(hook, (*HOOKS, _FreshHook))
    ]


# --- What moves -------------------------------------------------------------------------------------------


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by the module's own names, each once.

    Counters of the batches that a norm has seen are left out: in evaluation nothing reads them.
    """
    counters = {
        f"{where}.num_batches_tracked".removeprefix(".")
        for where, part in module.named_modules()
        if isinstance(part, _NormBase)
    }
    both = (*module.named_parameters(), *module.named_buffers())
    return {n: t if nn.parameter.is_lazy(t) else t.detach() for n, t in both if n not in counters}


def check_tensors(tensors: Mapping[str, Tensor], name: str) -> None:
    """Raise SubjectError, about ``name``, for the first tensor through which no line can be drawn."""
    for full, tensor in tensors.items():
        if nn.parameter.is_lazy(tensor):
            raise SubjectError(name, f"{full} without a shape yet", "a module that has been called once")
        if tensor.layout != torch.strided or tensor.is_quantized:
            kind = "quantized" if tensor.is_quantized else str(tensor.layout).removeprefix("torch.")
            raise SubjectError(name, f"{full} as a {kind} tensor", "dense ones: .to_dense() or .dequantize()")
        if tensor.is_meta:
            raise SubjectError(name, f"{full} without numbers, on the device 'meta'", "a module with weights")


def as_numbers(tensor: Tensor) -> Tensor:
    """The tensor as real numbers that torch can add: complex numbers as pairs, one-byte types as float32."""
    if tensor.is_complex():
        return torch.view_as_real(tensor.resolve_conj())
    return tensor.float() if tensor.is_floating_point() and tensor.element_size() == 1 else tensor


def as_own(numbers: Tensor, dtype: torch.dtype) -> Tensor:
    """Real numbers in the type that the module has."""
    if dtype.is_complex:
        return torch.view_as_complex(numbers.to(dtype.to_real()).contiguous())
    return numbers if numbers.dtype == dtype else numbers.to(dtype)


def discrete_in(module: nn.Module, tensors: Mapping[str, Tensor]) -> set[str]:
    """Names of the module's tensors that cannot be interpolated.

    Integers and booleans; buffers with infinities, which are masks of attention; masks of pruning; and the
    base that an orthogonal parametrization is wound about.
    """
    names = {n for n, t in tensors.items() if not (t.is_floating_point() or t.is_complex())}
    buffers = dict(module.named_buffers())
    names |= {n for n in tensors if n in buffers and bool(as_numbers(tensors[n]).isinf().any())}
    for where, part in module.named_modules():
        stem = f"{where}." if where else ""
        for hook in part._forward_pre_hooks.values():
            if isinstance(hook, BasePruningMethod):
                names.add(f"{stem}{hook._tensor_name}_mask")
        if isinstance(part, parametrizations._Orthogonal):
            names.add(f"{stem}base")
    return names & set(tensors)


# --- What follows from what moves -------------------------------------------------------------------------


class Derived(Protocol):
    """A part of a module whose state can be computed afresh instead of being read from its buffers."""

    names: tuple[str, ...]
    """The buffers, by the module's own names."""
    of: tuple[str, ...]
    """The parameters that determine the buffers; empty where the data matter too."""
    off_names: tuple[str, ...]
    where: str
    measures: bool
    """Whether to measure the offsets of its own state from what is computed afresh."""

    def fresh(self, off: tuple[Tensor, ...] | None) -> None:
        """Compute the state afresh from now on, shifted by ``off``; read the buffers where that is None."""
        ...

    def off(self) -> tuple[Tensor, ...]:
        """The measured offsets; zeros where the part has not run."""
        ...


def derived_in(module: nn.Module) -> list[Derived]:
    """Change a module so that derived state can be computed afresh; the parts that have some."""
    parts: list[Derived] = []
    for where, part in module.named_modules():
        stem = f"{where}." if where else ""
        for key, hook in list(part._forward_pre_hooks.items()):
            if isinstance(hook, SpectralNorm):
                fresh = _FreshHook(hook, stem)
                part._forward_pre_hooks[key] = fresh
                parts.append(fresh)
        if isinstance(part, parametrizations._SpectralNorm) and hasattr(part, "_u"):
            chain = where.rpartition(".")[0]
            originals = [
                f"{chain}.{n}"
                for n, _ in module.get_submodule(chain).named_parameters(recurse=False)
                if isinstance(module.get_submodule(chain), ParametrizationList)
            ]
            parts.append(_FreshParametrization(part, where, tuple(originals)))
        if isinstance(part, _NormBase) and isinstance(part.running_mean, Tensor) and _is_torchs(part):
            parts.append(Statistics(part, where))
    return parts


def _is_torchs(part: nn.Module) -> bool:
    """Whether a norm computes what torch's classes do: its methods are not overridden."""
    return type(part).forward in (_BatchNorm.forward, _InstanceNorm.forward, nn.SyncBatchNorm.forward)


class _Sigma:
    """The spectral norm that a weight is divided by: from two stored vectors, or computed from the weight."""

    off_names: tuple[str, ...] = (SIGMA_OFF,)

    def __init__(self, names: tuple[str, ...], of: tuple[str, ...], where: str) -> None:
        self.names, self.of, self.where, self.measures = names, of, where, False
        self._off: Tensor | None = None
        self._measured: Tensor | None = None

    def fresh(self, off: tuple[Tensor, ...] | None) -> None:
        self._off = None if off is None else off[0].detach()

    def off(self) -> tuple[Tensor, ...]:
        return (torch.zeros(()) if self._measured is None else self._measured,)

    def measure(self, matrix: Tensor, u: Tensor, v: Tensor) -> None:
        """Remember log(uᵀWv / σ(W)) of the stored vectors u and v, if the two have the same sign."""
        ratio = torch.vdot(u, torch.mv(matrix, v)).real.float() / largest_singular(matrix).float()
        self._measured = torch.where(ratio > 0, ratio, 1.0).log()

    def of_matrix(self, matrix: Tensor) -> Tensor | None:
        """The norm computed from the matrix; None where the stored vectors are to be used."""
        if self._off is None:
            return None
        return largest_singular(matrix) * self._off.exp().to(matrix.real.dtype)


class _FreshHook(_Sigma):
    """A spectral norm of the older kind, a hook."""

    def __init__(self, hook: SpectralNorm, stem: str) -> None:
        self._hook, own = hook, f"{stem}{hook.name}"
        super().__init__((f"{own}_u", f"{own}_v"), (f"{own}_orig",), own)

    def __call__(self, part: nn.Module, inputs: Any) -> None:
        name = self._hook.name
        weight = getattr(part, f"{name}_orig")
        matrix = self._hook.reshape_weight_to_matrix(weight)
        if self.measures:
            self.measure(matrix, getattr(part, f"{name}_u"), getattr(part, f"{name}_v"))
        sigma = self.of_matrix(matrix)
        if sigma is None:
            self._hook(part, inputs)
        else:
            setattr(part, name, weight / sigma)


class _FreshParametrization(_Sigma):
    """A spectral norm of the newer kind, a parametrization."""

    def __init__(self, part: Any, where: str, of: tuple[str, ...]) -> None:
        self._part, self._own = part, part.forward
        layer = where.rpartition(".")[0].replace("parametrizations.", "")
        super().__init__((f"{where}._u", f"{where}._v"), of, layer)
        part.forward = self._forward

    def _forward(self, weight: Tensor) -> Tensor:
        matrix = self._part._reshape_weight_to_matrix(weight)
        if self.measures:
            self.measure(matrix, self._part._u, self._part._v)
        sigma = self.of_matrix(matrix)
        normalised: Tensor = self._own(weight) if sigma is None else weight / sigma
        return normalised


def largest_singular(matrix: Tensor) -> Tensor:
    """The largest singular value of a matrix (h, w), with exact first and second derivatives.

    It comes from the eigenvalues of the smaller of WᵀW and WWᵀ in float64. Where gradients are asked for, the
    leading vector follows W to first order, so that its Rayleigh quotient is right beyond second order. The
    result is NaN where the matrix holds numbers that are not finite.
    """
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.mT
    tall = tall.to(torch.complex128 if tall.is_complex() else torch.float64)
    still = torch.where(tall.detach().isfinite(), tall.detach(), 0)  # LAPACK refuses what is not finite
    values, vectors = torch.linalg.eigh(still.mH @ still)
    v = vectors[:, -1]
    if torch.is_grad_enabled():
        gaps = values[-1] - values
        apart = gaps > TIED * values[-1]
        stiff = torch.where(apart, 1 / torch.where(apart, gaps, 1.0), 0.0)
        v = v + vectors @ (stiff * (vectors.mH @ (tall.mH @ (tall @ v))))
    largest: Tensor = (tall @ v).norm() / v.norm()
    return largest.to(matrix.real.dtype)


@dataclass
class _Off:
    mean: Tensor
    spread: Tensor


class Statistics:
    """A norm with running averages that can use the averages of the given samples instead.

    Where it runs several times in the losses, the first run's averages serve all runs, as running ones would.
    Fresh averages are shifted by the difference between the checkpoint's own and those of its samples, so
    that at the checkpoint's own weights they equal its own.
    """

    off_names: tuple[str, ...] = (MEAN_OFF, SPREAD_OFF)

    def __init__(self, part: Any, where: str) -> None:
        self._part, self._own, self.where = part, part.forward, where or type(part).__name__
        stem = f"{where}." if where else ""
        self.names: tuple[str, ...] = (f"{stem}running_mean", f"{stem}running_var")
        self.of: tuple[str, ...] = ()
        self.measures = False
        self._off: _Off | None = None
        self._seen: tuple[Tensor, Tensor] | None = None
        self._measured: tuple[Tensor, Tensor] | None = None
        part.forward = self._forward

    def fresh(self, off: tuple[Tensor, ...] | None) -> None:
        self._off = None if off is None else _Off(off[0].detach(), off[1].detach())
        self._seen = None

    def off(self) -> tuple[Tensor, ...]:
        mean, spread = self._part.running_mean.float(), self._part.running_var.float() + self._part.eps
        if self._measured is None:
            return torch.zeros_like(mean), torch.zeros_like(spread)
        return mean - self._measured[0], torch.log(spread / self._measured[1])

    def _averages(self, x: Tensor) -> tuple[Tensor, Tensor]:
        apart = x if x.ndim > 1 and x.shape[1] == self._part.num_features else x[None]
        axes = [axis for axis in range(apart.ndim) if axis != 1]
        apart = apart.float() if apart.element_size() < 4 else apart
        return apart.mean(axes), apart.var(axes, correction=0) + self._part.eps

    def _forward(self, x: Tensor) -> Tensor:
        if self._off is None:
            if self.measures and self._measured is None:
                self._measured = self._averages(x)
            normalised: Tensor = self._own(x)
            return normalised
        if self._seen is None:
            mean, spread = self._averages(x)
            self._seen = mean + self._off.mean.to(mean), spread * self._off.spread.to(mean).exp()
        mean, spread = self._seen
        channel = 1 if x.ndim > 1 and x.shape[1] == self._part.num_features else 0
        shape = [-1 if axis == channel else 1 for axis in range(x.ndim)]
        y = (x - mean.reshape(shape)) * spread.rsqrt().reshape(shape)
        if self._part.affine:
            y = y * self._part.weight.reshape(shape) + self._part.bias.reshape(shape)
        return y.to(x.dtype)


def follows_of(derived: Derived, named: Mapping[str, str]) -> Follows:
    """Derived state in a subject's names, which ``named`` gives for the module's names."""
    first = named[derived.names[0]]
    stem = first.removesuffix("running_mean").removesuffix("u")
    return Follows(
        tuple(named[n] for n in derived.names),
        tuple(named[n] for n in derived.of if n in named),
        tuple(f"{stem}{off}" for off in derived.off_names),
        "batch statistics" if isinstance(derived, Statistics) else "spectral norm",
        derived.where,
    )
