"""What resampled values say of a value: percentile interval, two-sided p, and Holm's correction of several p.

Sources: Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 (percentile intervals) and 16 (shifted test);
Holm (1979).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Doubles = NDArray[np.float64]


def percentile_interval(draws: Doubles, level: float) -> tuple[float, float] | None:
    """The interval of draws (r,) that holds a share `level` of them; None where fewer than two are numbers."""
    draws = draws[np.isfinite(draws)]
    if draws.size < 2:
        return None
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def shifted_p(value: float, draws: Doubles, slack: float) -> float:
    """The share of draws (r,) that lie at least as far from the observed difference as that lies from zero.

    The observation is counted among them, so p is never 0; two results that are alike have p = 1.

    Args:
        value: the observed difference.
        draws: resampled differences.
        slack: sums in another order, which differ by less, are not further away.
    """
    draws = draws[np.isfinite(draws)]
    p = (1 + int((np.abs(draws - value) >= abs(value) - slack).sum())) / (1 + draws.size)
    return float(min(p, 1.0))


def holm(p_values: ArrayLike) -> Doubles:
    """Holm's step-down adjusted p-values, in the order given: they hold for the whole family at once."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
