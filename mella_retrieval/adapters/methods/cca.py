"""Canonical correlation analysis between both spaces."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Annotated

import numpy as np
from pydantic import Field

from mella_retrieval.adapters.closed_form import NEEDS, ClosedFormConfig, fit_linear
from mella_retrieval.adapters.heads import Head, Linear, centred_map
from mella_retrieval.adapters.inputs import Inputs
from mella_retrieval.adapters.method import Fitted
from mella_retrieval.adapters.moments import Matrix, Moments
from mella_retrieval.adapters.run import Run

Share = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class CcaConfig(ClosedFormConfig):
    """Options of CCA.

    Attributes:
        penalties: candidates for what is added to each side's covariance, as a share of its mean variance.
        directions: candidates for how many directions are kept (at most the smaller dimension).
        power: each direction counts by its canonical correlation to this power; 0 is plain CCA, in which weak directions count as
            much as strong ones.
    """

    penalties: list[Share] = Field(default=[1, 3, 10], min_length=1)
    directions: list[Annotated[int, Field(ge=1)]] = Field(default=[128, 256, 384], min_length=1)
    power: float = Field(default=0.5, ge=0)


class Cca:
    """Both sides whitened (regularised), then the leading singular directions of their cross-covariance.

    With `A = Cxx^-1/2`, `B = Cyy^-1/2` and `U S V^T = SVD(A Cxy B)`, k leading directions: texts become
    `norm((x - mu_x) A U_k S_k^power)` (n, k), images `norm(v B V_k S_k^power)` (m, k), so the image side is projected too
    (methods.md, section 3; the power after Gong et al., IJCV 2014, "A multi-view embedding space"). X and Y as in `ridge`.
    """

    name = "cca"
    needs = NEEDS
    config = CcaConfig

    def fit(self, inputs: Inputs, config: CcaConfig, run: Run) -> Fitted:
        """Fit both heads for the best pair of candidates."""
        widest = min(inputs.text_tower.dim, inputs.image_tower.dim)
        widths = dict.fromkeys(min(width, widest) for width in config.directions)
        candidates = {
            f"penalty {penalty:g}, {width} directions": partial(solve, penalty=penalty, width=width, power=config.power)
            for penalty, width in product(config.penalties, widths)
        }
        return fit_linear(inputs, config, candidates, run)


def solve(found: Moments, penalty: float, width: int, power: float) -> tuple[Head, Head]:
    """Both heads, the image head without centring (the gallery option decides that)."""
    a, b = _whitening(found.xx, penalty), _whitening(found.yy, penalty)
    left, strength, right = np.linalg.svd(a @ found.xy @ b, full_matrices=False)
    strength = strength[:width] ** power
    image = (b @ right[:width].T * strength).T.astype(np.float32)
    return centred_map(found.x_mean, a @ left[:, :width] * strength), Head((Linear(image, np.zeros(width, np.float32)),))


def _whitening(scatter: Matrix, penalty: float) -> Matrix:
    """Inverse square root of a covariance with `penalty` times its mean variance added."""
    values, vectors = np.linalg.eigh(scatter)
    return np.asarray((vectors * (np.maximum(values, 0) + penalty * values.mean()) ** -0.5) @ vectors.T)
