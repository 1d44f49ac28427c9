"""The state at each point of a line or plane: that of the checkpoint at the point, else of the nearest one.

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
"""Distance below which coordinates (of size 1) are those of a checkpoint: a grid's rounding."""


@dataclass(frozen=True, eq=False)
class Corners:
    """Checkpoints on a line or a plane."""

    at: Floats
    """(m, d) coordinates of the checkpoints."""
    spaces: tuple[Space, ...]
    """Each checkpoint's space, which holds its own state beside the parameters that move."""
    own: tuple[Parameters | None, ...]
    """All parameters and state of each checkpoint; None where only its vector is known."""
    metric: Floats
    """(d, d) inner products of the axes, by which the nearest checkpoint is determined."""

    def parts(self, at: Tensor) -> Iterator[tuple[list[int], Space, Parameters | None]]:
        """Split coordinates (k, d) or (k,) into runs of rows that are evaluated in one space, in their order.

        Yields the rows, their space, and a checkpoint's own state where the one row is the checkpoint.
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
    """The corners of the line with A at t = 0 and B at t = 1; the point halfway has A's state."""
    return Corners(np.array([[0.0], [1.0]]), spaces, own, np.eye(1))
