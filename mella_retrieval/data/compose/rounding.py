"""Whole numbers that add up and stay within limits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def apportion(total: int, shares: NDArray[np.float64], limits: NDArray[np.int64]) -> NDArray[np.int64]:
    """Divide `total` by `shares`; who has less than its part gives all it has, and the others share the rest.

    Args:
        total: the whole; at most the sum of the limits is given.
        shares: shape (n,), not negative; their sum does not matter.
        limits: shape (n,): what each has.

    Returns:
        Shape (n,): whole numbers, as near to the shares as whole numbers can be (largest remainders, the first of equals).
    """
    given = np.zeros(len(shares), dtype=np.int64)
    open_ = (shares > 0) & (limits > 0)
    rest = min(total, int(limits[open_].sum()))
    while rest > 0:
        part = np.where(open_, shares, 0.0)
        part = part * (rest / part.sum())
        short = open_ & (part >= limits)
        if not short.any():
            given[open_] = np.floor(part[open_] + 1e-9).astype(np.int64)
            left = rest - int(given[open_].sum())
            remainder = np.where(open_ & (given < limits), part - given, -1.0)
            given[np.argsort(-remainder, kind="stable")[:left]] += 1
            break
        given[short] = limits[short]
        rest -= int(limits[short].sum())
        open_ &= ~short
    return given
