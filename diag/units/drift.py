"""How far a network's weights lie from a base's, by component and by layer, and which of them were kept.

Weights that were kept may have been saved in half precision since: they are then the base's own, rounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor, dtype

Kept: TypeAlias = Literal["exactly", "float16", "bfloat16"]
"""Equal to the bit, or equal once one of the two is rounded to half precision."""

HALVES: tuple[Kept, ...] = ("float16", "bfloat16")

FEW = 64
"""Numbers that are looked at before all are."""

STATE = ("running_mean", "running_var", "num_batches_tracked")
"""Ends of the names of what norms remember, which is no weight."""

FROZEN = "frozen"
"""The word for what a plan never trains of the base that is compared."""

IN_PART = ", in part "
"""Between the word for the whole of a parameter and that for some of its columns."""


@dataclass(frozen=True)
class Drift:
    """How far the weights of a component, or of one of its layers, lie from the base's."""

    component: str
    layer: str | None
    """The layer's name in the component; None for the whole component."""
    parameters: int
    norm: float
    """Euclidean norm of the base's weights."""
    distance: float
    """Euclidean distance of the transfer's from them."""
    share: float
    """Share of the squared distance of all weights."""
    kept: Kept | None
    """Whether they are the base's own."""
    plan: str | None
    """What the transfer's plan did with them, in a word or several; None where there is no plan."""

    @property
    def relative(self) -> float | None:
        """The distance as a share of the base's norm; None beside a base that is 0."""
        return self.distance / self.norm if self.norm else None if self.distance else 0.0

    @property
    def broken(self) -> bool:
        """Whether the plan froze them and they moved all the same."""
        return self.plan == FROZEN and self.kept is None


def kept(base: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> Kept | None:
    """Whether all tensors are the base's own, exactly or rounded; None where they are not, or none are there.

    >>> import torch
    >>> a = {"w": torch.tensor([0.1, 1.0])}
    >>> kept(a, a), kept(a, {"w": a["w"].half().float()}), kept(a, {"w": 2 * a["w"]})
    ('exactly', 'float16', None)
    """
    import torch

    if not base or base.keys() != other.keys() or any(base[n].shape != other[n].shape for n in base):
        return None
    pairs = [(base[n].to(other[n].device), other[n]) for n in base]
    if all(torch.equal(a, b.to(a.dtype)) for a, b in pairs):
        return "exactly"
    for name in HALVES:
        half = getattr(torch, name)
        if all(_rounded(a, b, half) for a, b in pairs) or all(_rounded(b, a, half) for a, b in pairs):
            return name
    return None


def _rounded(a: Tensor, b: Tensor, half: dtype) -> bool:
    """Whether b is a in half precision; the first few numbers of weights that were trained tell already."""
    import torch

    if not a.is_floating_point() or not b.is_floating_point():
        return torch.equal(a, b)
    few = a.reshape(-1)[:FEW], b.reshape(-1)[:FEW]
    return all(torch.equal(one.to(half).double(), other.double()) for one, other in (few, (a, b)))


def drift(
    base: Mapping[str, Tensor], other: Mapping[str, Tensor], plan: Mapping[str, str] | None = None
) -> tuple[Drift, ...]:
    """Each component, followed by its layers where it has several, of parameters ``component/layer.name``.

    Parameters that only one of the two has, or that have another shape, are left out, as is what norms
    remember. ``plan`` has a word for each parameter.

    >>> import torch
    >>> a = {"encoder/0.weight": torch.ones(4), "encoder/1.weight": torch.ones(4), "head/w": torch.ones(1)}
    >>> b = {**a, "encoder/0.weight": torch.tensor([1.0, 1.0, 1.0, 2.0])}
    >>> [(one.component, one.layer, one.distance) for one in drift(a, b)]
    [('encoder', None, 1.0), ('encoder', '0', 1.0), ('encoder', '1', 0.0), ('head', None, 0.0)]
    """
    names = [n for n in base if n in other and base[n].shape == other[n].shape and not n.endswith(STATE)]
    names = [n for n in names if base[n].is_floating_point() or base[n].is_complex()]
    apart = {n: _square(other[n], base[n].to(other[n].device)) for n in names}
    whole = sum(apart.values())

    def of(component: str, layer: str | None, some: list[str]) -> Drift:
        distance = sum(apart[n] for n in some)
        words = list(dict.fromkeys(plan[n] for n in some if n in plan)) if plan is not None else []
        # What is so in part says of the others what it is so of the whole.
        words = [one for one in words if not any(more.startswith(one + IN_PART) for more in words)]
        return Drift(
            component,
            layer,
            sum(base[n].numel() for n in some),
            sum(_square(base[n]) for n in some) ** 0.5,
            distance**0.5,
            distance / whole if whole else 0.0,
            kept({n: base[n] for n in some}, {n: other[n] for n in some}),
            " and ".join(words) or None,
        )

    return tuple(of(*one) for one in _parts(names))


def _parts(names: list[str]) -> Iterator[tuple[str, str | None, list[str]]]:
    """Each component with its parameters, then its layers with theirs where there are several."""
    components: dict[str, dict[str, list[str]]] = {}
    for name in names:
        component, _, rest = name.partition("/")
        components.setdefault(component, {}).setdefault(rest.rpartition(".")[0], []).append(name)
    for component, layers in components.items():
        yield component, None, [name for some in layers.values() for name in some]
        if len(layers) > 1:
            for layer, some in layers.items():
                yield component, layer, some


def _square(one: Tensor, other: Tensor | None = None) -> float:
    """The squared norm of a tensor, or of the difference of two, in double precision."""
    import torch

    wide = torch.complex128 if one.is_complex() else torch.float64
    off = one.to(wide) if other is None else one.to(wide) - other.to(wide)
    return float(off.abs().square().sum())
