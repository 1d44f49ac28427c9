"""Which state a point of a line or plane has: at a checkpoint its own, elsewhere that of the nearest one.

A vector holds what moves. What does not move and yet differs between the checkpoints, such as a permutation,
is that of the nearest checkpoint; at a checkpoint itself all of its state is its own, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from diag.landscapes.space import Space
    from diag.subject import Parameters
    from probes import Floats

AT = 1e-9
"""Distance of coordinates, which are of size 1, below which they are a checkpoint's: rounding of a grid."""


@dataclass(frozen=True, eq=False)
class Corners:
    """Checkpoints on a line or a plane."""

    at: Floats
    """(m, d) their coordinates."""
    spaces: tuple[Space, ...]
    """Each with the checkpoint's own state beside what moves."""
    own: tuple[Parameters | None, ...]
    """All that each checkpoint itself holds; None where only its vector is known."""
    metric: Floats
    """(d, d): inner products of the axes, by which the nearest checkpoint is told."""

    def parts(self, at: Tensor) -> Iterator[tuple[list[int], Space, Parameters | None]]:
        """Rows of coordinates (k, d) or (k,) that are evaluated alike, in their order.

        With each its space, and a checkpoint's own state where the one row is the checkpoint.
        """
        places = np.asarray(at.detach().cpu().double().numpy()).reshape(len(at), -1)
        away = places[:, None] - self.at[None]
        exact = np.abs(away).max(2) <= AT
        far = np.einsum("kmi,ij,kmj->km", away, self.metric, away)
        far[~np.isfinite(far)] = np.inf
        nearest = far.argmin(1)
        rows: list[int] = []
        for row, which in enumerate(nearest):
            here = next((i for i in np.flatnonzero(exact[row]) if self.own[i] is not None), None)
            if rows and (here is not None or nearest[rows[-1]] != which):
                yield rows, self.spaces[nearest[rows[-1]]], None
                rows = []
            if here is not None:
                yield [row], self.spaces[here], self.own[here]
            else:
                rows.append(row)
        if rows:
            yield rows, self.spaces[nearest[rows[-1]]], None

    def space_at(self, t: float) -> Space:
        """The space of the checkpoint that is nearest on a line."""
        return self.spaces[int(np.abs(self.at[:, 0] - t).argmin())]


def on_line(spaces: tuple[Space, Space], own: tuple[Parameters | None, Parameters | None]) -> Corners:
    """A at t = 0 and B at t = 1; halfway is still A's."""
    return Corners(np.array([[0.0], [1.0]]), spaces, own, np.eye(1))
