"""How each axis of the base's embedding goes with an axis of the transfer's: what a flip is seen by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import probes
from diag.result import numbers
from probes import AxisCorrelations, RelationResult

if TYPE_CHECKING:
    from diag.comparisons.pairing import Pair


@dataclass(frozen=True)
class ByAxis:
    """Correlations of d axes of the base's embedding, or of its channels, with axes of the transfer's."""

    own: AxisCorrelations
    """With the transfer's axis of the same number: about −1 where an axis is negated."""
    partner: tuple[int, ...] = ()
    """The transfer's axis that becomes each of the base's, where some change places; else empty."""
    partnered: AxisCorrelations | None = None
    """With the partner; None without."""
    channels: bool = False
    """Whether channels are meant, each over all places of a grid."""

    def to_tree(self) -> dict[str, Any]:
        """Columns of d numbers."""
        tree: dict[str, Any] = {
            "correlation": numbers(self.own.values),
            "low": numbers(self.own.low),
            "high": numbers(self.own.high),
            "share": numbers(self.own.shares),
            "partner": list(self.partner) or None,
            "channels": self.channels,
        }
        if self.partnered is not None:
            tree["partner_correlation"] = numbers(self.partnered.values)
            tree["partner_low"] = numbers(self.partnered.low)
            tree["partner_high"] = numbers(self.partnered.high)
        return tree


def by_axis(pair: Pair, relation: RelationResult, groups: NDArray[Any]) -> ByAxis | None:
    """The correlations of a pair that is held in memory; None between different dimensions.

    ``groups`` (n,) are the states or episodes of its rows. Where the relation is one of channels, each counts
    over all places, after the grid was turned.
    """
    x, y = (np.asarray(v, np.float64).reshape(len(v), -1) for v in (pair.transfer, pair.base))
    if relation.channels and relation.by_channel is not None:
        first = relation.by_channel.layout == "channels first"
        grids = [v.transpose(0, 2, 3, 1) if first else v for v in (pair.transfer, pair.base)]
        grids[0] = probes.GRIDS[relation.grid](grids[0])
        groups = np.repeat(groups, int(np.prod(grids[0].shape[1:3])))
        x, y = (np.asarray(v, np.float64).reshape(-1, v.shape[-1]) for v in grids)
    if x.shape != y.shape:
        return None

    def correlated(order: tuple[int, ...]) -> AxisCorrelations:
        return probes.axis_correlations(x, y, order=order or None, groups=groups)

    return _with(correlated, relation)


def by_axis_streamed(stream: probes.Stream, relation: RelationResult) -> ByAxis:
    """The correlations of a pair that was read once, whose embeddings have equal dimensions."""
    return _with(lambda order: stream.axis_correlations(order or None), relation)


def _with(correlated: Callable[[tuple[int, ...]], AxisCorrelations], relation: RelationResult) -> ByAxis:
    own, order = correlated(()), relation.order
    moves = any(axis != place for place, axis in enumerate(order))
    return ByAxis(own, order if moves else (), correlated(order) if moves else None, relation.channels)
