"""Orthogonal Procrustes between centred spaces."""

from __future__ import annotations

import numpy as np

from mella_retrieval.adapters.closed_form import NEEDS, ClosedFormConfig, fit_linear, text_map
from mella_retrieval.adapters.inputs import Inputs
from mella_retrieval.adapters.method import Fitted
from mella_retrieval.adapters.moments import Matrix, Moments
from mella_retrieval.adapters.run import Run


class Procrustes:
    """`W = U V^T` with `U S V^T = SVD(X^T Y)` on centred rows; prediction `norm((x - mu_x) W)`.

    A rotation cannot overfit the scale of single directions, which makes it the hard baseline where only a few thousand English
    texts are at hand (methods.md, section 3). Shapes as in `ridge`. Where d_x > d, X is first reduced to its d leading principal
    directions: the orthogonal solution is least squares only for d_x <= d.
    """

    name = "procrustes"
    needs = NEEDS
    config = ClosedFormConfig

    def fit(self, inputs: Inputs, config: ClosedFormConfig, run: Run) -> Fitted:
        """Fit the text head; there is nothing to choose, the held-out value is recorded all the same."""
        return fit_linear(inputs, config, {"orthogonal": text_map(solve)}, run)


def solve(found: Moments) -> Matrix:
    """The orthogonal map (d_x, d)."""
    d_x, d = found.xy.shape
    if d_x <= d:
        return _orthogonal(found.xy)
    directions = np.linalg.eigh(found.xx)[1][:, ::-1][:, :d]
    return np.asarray(directions @ _orthogonal(directions.T @ found.xy))


def _orthogonal(cross: Matrix) -> Matrix:
    left, _, right = np.linalg.svd(cross, full_matrices=False)
    return np.asarray(left @ right)
