"""The one number by which candidates are compared on held-out data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mella_retrieval.adapters.heads import Array

MEASURE = "mean reciprocal rank"


def mean_reciprocal_rank(
    queries: Array, gallery: Array, partner: npt.NDArray[np.int64], groups: Sequence[str] | None = None, block: int = 1024
) -> float:
    """Mean of 1 / rank of each query's partner in the gallery; with `groups` (languages) the mean of the groups' means.

    Args:
        queries: (n, d), L2-normalised.
        gallery: (m, d), L2-normalised.
        partner: (n,), gallery row of each query's one relevant item; ties and NaN count against it.
        groups: language of each query.
        block: queries scored at a time.
    """
    reciprocal = np.empty(len(queries))
    for start in range(0, len(queries), block):
        scores = queries[start : start + block] @ gallery.T
        own = scores[np.arange(len(scores)), partner[start : start + block]]
        reciprocal[start : start + block] = 1 / (~(scores < own[:, None])).sum(axis=1)
    if groups is None:
        return float(reciprocal.mean())
    names = np.asarray(groups)
    return float(np.mean([reciprocal[names == name].mean() for name in np.unique(names)]))
