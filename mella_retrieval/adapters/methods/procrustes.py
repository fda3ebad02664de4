"""Orthogonal Procrustes between centred spaces."""

from __future__ import annotations

import numpy as np

from mella_retrieval.adapters.closed_form import NEEDS, ClosedFormConfig, Matrix, fit_linear
from mella_retrieval.adapters.inputs import Inputs
from mella_retrieval.adapters.method import Fitted, Progress


class Procrustes:
    """`W = U V^T` with `U S V^T = SVD(X^T Y)` on centred rows; prediction `norm((x - mu_x) W)`.

    A rotation cannot overfit the scale of single directions, which makes it the hard baseline where only a few thousand English
    texts are at hand (methods.md, section 3). Shapes as in `ridge`. Where d_x > d, X is first reduced to its d leading principal
    directions: the orthogonal solution is least squares only for d_x <= d.
    """

    name = "procrustes"
    needs = NEEDS
    config = ClosedFormConfig

    def fit(self, inputs: Inputs, config: ClosedFormConfig, progress: Progress | None = None) -> Fitted:
        """Fit the text head; there is nothing to choose, the held-out value is recorded all the same."""
        return fit_linear(inputs, config, {"orthogonal": solve}, progress)


def solve(x: Matrix, y: Matrix) -> Matrix:
    """The orthogonal map (d_x, d) for centred x (n, d_x) and y (n, d)."""
    if x.shape[1] <= y.shape[1]:
        return _orthogonal(x, y)
    directions = np.linalg.svd(x, full_matrices=False)[2][: y.shape[1]].T
    return np.asarray(directions @ _orthogonal(x @ directions, y))


def _orthogonal(x: Matrix, y: Matrix) -> Matrix:
    left, _, right = np.linalg.svd(x.T @ y, full_matrices=False)
    return np.asarray(left @ right)
