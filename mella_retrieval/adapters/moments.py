"""Second moments of two sides: all that a closed-form map needs, summed in blocks so that the samples may stay on disk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mella_retrieval.embeddings.mapped import VectorRows

Matrix = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

BLOCK = 8192


@dataclass(frozen=True)
class Moments:
    """Sums over samples whose sides were centred by their own means.

    Attributes:
        count: of the samples.
        x_mean, y_mean: (d_x,) and (d,); those of the first kind where kinds were added.
        xx, xy, yy: (d_x, d_x), (d_x, d) and (d, d) sums of products.
    """

    count: int
    x_mean: Matrix
    y_mean: Matrix
    xx: Matrix
    xy: Matrix
    yy: Matrix

    def __add__(self, other: Moments) -> Moments:
        """Samples of two kinds, each centred by its own means."""
        sums = (getattr(self, name) + getattr(other, name) for name in ("xx", "xy", "yy"))
        return Moments(self.count + other.count, self.x_mean, self.y_mean, *sums)

    def scaled(self, weight: float) -> Moments:
        """Every sample counted `weight` times in the sums."""
        return Moments(self.count, self.x_mean, self.y_mean, weight * self.xx, weight * self.xy, weight * self.yy)


def moments(x: VectorRows, y: VectorRows, x_rows: Rows, y_rows: Rows) -> Moments:
    """Moments of the samples (x[x_rows[i]], y[y_rows[i]])."""
    x_mean, y_mean = mean(x, x_rows), mean(y, y_rows)
    xx, xy, yy = (np.zeros((len(a), len(b))) for a, b in ((x_mean, x_mean), (x_mean, y_mean), (y_mean, y_mean)))
    for start in range(0, len(x_rows), BLOCK):
        left = x[x_rows[start : start + BLOCK]].astype(np.float64) - x_mean
        right = y[y_rows[start : start + BLOCK]].astype(np.float64) - y_mean
        xx += left.T @ left
        xy += left.T @ right
        yy += right.T @ right
    return Moments(len(x_rows), x_mean, y_mean, xx, xy, yy)


def mean(vectors: VectorRows, rows: Rows) -> Matrix:
    """Mean of some rows, shape (d,)."""
    total = np.zeros(vectors.shape[1])
    for start in range(0, len(rows), BLOCK):
        total += vectors[rows[start : start + BLOCK]].sum(axis=0, dtype=np.float64)
    return total / len(rows)
