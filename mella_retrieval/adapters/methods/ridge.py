"""Ridge regression between centred spaces."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import numpy as np
from pydantic import Field

from mella_retrieval.adapters.closed_form import NEEDS, ClosedFormConfig, fit_linear, text_map
from mella_retrieval.adapters.inputs import Inputs
from mella_retrieval.adapters.method import Fitted
from mella_retrieval.adapters.moments import Matrix, Moments
from mella_retrieval.adapters.run import Run

Penalty = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class RidgeConfig(ClosedFormConfig):
    """Options of ridge regression.

    Attributes:
        penalties: candidates for the weight of the penalty; the best on held-out data is kept.
    """

    penalties: list[Penalty] = Field(default=[0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100], min_length=1)


class Ridge:
    """`W = (X^T X + l I)^-1 X^T Y` on centred rows; prediction `norm((x - mu_x) W)`.

    X (n, d_x): multilingual text vectors; Y (n, d): the image tower's text vectors of the same English sentences, or the image
    vectors of the texts' pictures. Seconds to fit; shown beside every trained method (methods.md, section 3).
    """

    name = "ridge"
    needs = NEEDS
    config = RidgeConfig

    def fit(self, inputs: Inputs, config: RidgeConfig, run: Run) -> Fitted:
        """Fit the text head for the best of the penalties."""
        candidates = {f"penalty {value:g}": text_map(partial(solve, penalty=value)) for value in config.penalties}
        return fit_linear(inputs, config, candidates, run)


def solve(found: Moments, penalty: float) -> Matrix:
    """The ridge solution (d_x, d)."""
    return np.asarray(np.linalg.solve(found.xx + penalty * np.eye(len(found.xx)), found.xy))
