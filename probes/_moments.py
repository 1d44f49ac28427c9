"""Sums over paired rows from which most measures follow: one pass over the data, O(d²) memory, float64.

Rows are taken less an origin near their mean and in a unit near their spread, so that neither an offset
of 10³ nor a scale of 10⁻⁶ costs digits. Sums of parts of the data add up; parts can be taken away.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from probes._measure import ROUNDING, Bools, Floats


@dataclass(frozen=True)
class Frame:
    """Origin and unit in which rows are summed: x stands for (x − origin) / unit."""

    origin: Floats
    """(d,)"""
    unit: float
    """A power of two, so that dividing by it rounds nothing."""

    @classmethod
    def of(cls, x: Floats) -> Frame:
        """The frame at the mean of x (n, d), its largest deviation about 1."""
        origin, least, most = x.mean(0), x.min(0), x.max(0)
        largest = float(max((most - origin).max(), (origin - least).max()))
        size = float(max(np.abs(most).max(), np.abs(least).max()))
        constant = largest <= ROUNDING * size  # the rounding of a constant is no unit
        return cls(origin, 1.0 if constant else float(2.0 ** np.round(np.log2(largest))))

    def __call__(self, x: Floats) -> Floats:
        return np.asarray((x - self.origin) / self.unit)


@dataclass(frozen=True)
class Moments:
    """Sums over n paired rows of x (n, d₁) and y (n, d₂), each in its frame; |x| and |y| are row norms."""

    x_frame: Frame
    y_frame: Frame
    n: int
    x: Floats
    """(d₁,) Σ x"""
    y: Floats
    xx: Floats
    """(d₁, d₁) Σ xᵀx"""
    yy: Floats
    xy: Floats
    """(d₁, d₂) Σ xᵀy"""
    x_by_xx: Floats
    """(d₁,) Σ |x|²·x; the next three likewise, for unbiased estimates."""
    x_by_yy: Floats
    y_by_xx: Floats
    y_by_yy: Floats
    xx_by_xx: float
    """Σ |x|²·|x|², and so on."""
    xx_by_yy: float
    yy_by_yy: float

    @classmethod
    def of(
        cls, x: Floats, y: Floats, frames: tuple[Frame, Frame] | None = None, *, norms: bool = True
    ) -> Moments:
        """The sums of x (n, d₁) and y (n, d₂), by default in frames of their own.

        ``norms=False`` saves a quarter of the time and leaves 0 for the sums with row norms.
        """
        x_frame, y_frame = frames or (Frame.of(x), Frame.of(y))
        a, b = x_frame(x), y_frame(y)
        if norms:
            aa, bb = np.einsum("ij,ij->i", a, a), np.einsum("ij,ij->i", b, b)
            rows = (aa @ a, bb @ a, aa @ b, bb @ b, float(aa @ aa), float(aa @ bb), float(bb @ bb))
        else:
            none = np.zeros(a.shape[1]), np.zeros(b.shape[1])
            rows = (none[0], none[0], none[1], none[1], 0.0, 0.0, 0.0)
        return cls(
            x_frame,
            y_frame,
            len(a),
            a.sum(0),
            b.sum(0),
            a.T @ a,
            b.T @ b,
            a.T @ b,
            *rows,
        )

    @property
    def frames(self) -> tuple[Frame, Frame]:
        return self.x_frame, self.y_frame

    def __add__(self, other: Moments) -> Moments:
        """The sums of both; they must share their frames."""
        return self._with(other, 1)

    def __sub__(self, other: Moments) -> Moments:
        """The sums without the rows of ``other``, which must be among these."""
        return self._with(other, -1)

    def _with(self, other: Moments, sign: int) -> Moments:
        names = [f.name for f in fields(self)[2:]]
        return replace(self, **{name: getattr(self, name) + sign * getattr(other, name) for name in names})

    @property
    def swapped(self) -> Moments:
        """The sums with x and y in each other's place."""
        return Moments(
            self.y_frame,
            self.x_frame,
            self.n,
            self.y,
            self.x,
            self.yy,
            self.xx,
            self.xy.T,
            self.y_by_yy,
            self.y_by_xx,
            self.x_by_yy,
            self.x_by_xx,
            self.yy_by_yy,
            self.xx_by_yy,
            self.xx_by_xx,
        )

    @property
    def x_scatter(self) -> Floats:
        """(d₁, d₁) Σ (x − x̄)ᵀ(x − x̄), in x's unit."""
        return np.asarray(self.xx - np.outer(self.x, self.x) / self.n)

    @property
    def y_scatter(self) -> Floats:
        """(d₂, d₂) Σ (y − ȳ)ᵀ(y − ȳ), in y's unit."""
        return np.asarray(self.yy - np.outer(self.y, self.y) / self.n)

    @property
    def cross_scatter(self) -> Floats:
        """(d₁, d₂) Σ (x − x̄)ᵀ(y − ȳ)."""
        return np.asarray(self.xy - np.outer(self.x, self.y) / self.n)

    @property
    def x_fourth(self) -> float:
        """Σ ‖x − x̄‖⁴, in x's unit."""
        mean, square = self.x / self.n, float(np.square(self.x / self.n).sum())
        about = self.xx_by_xx + 4 * mean @ self.xx @ mean + 2 * square * float(np.trace(self.xx))
        return float(about - 4 * mean @ self.x_by_xx - 3 * self.n * square**2)

    @property
    def x_moves(self) -> Bools:
        """(d₁,) which columns of x vary by more than rounding."""
        return moves(self.x_scatter, self.xx, self.n, self.x_frame)

    @property
    def y_moves(self) -> Bools:
        """(d₂,) which columns of y vary by more than rounding."""
        return moves(self.y_scatter, self.yy, self.n, self.y_frame)


def moves(scatter: Floats, squares: Floats, n: int, frame: Frame) -> Bools:
    """(d,) which columns vary by more than float64 leaves of a constant: at its offset from zero, and at its
    offset from the frame's origin, where the scatter is a difference of sums of ``squares``."""
    variation = np.clip(np.diag(scatter), 0, None)
    spread = np.sqrt(variation / n) * frame.unit
    at_zero = spread > ROUNDING * (np.abs(frame.origin) + spread)
    return np.asarray(at_zero & (variation > ROUNDING * np.diag(squares)))
