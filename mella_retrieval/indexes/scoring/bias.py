"""Folding a bias per item into the vectors, so that an index returns corrected rankings without knowing of it.

`S(q, g) + b_g` is the inner product of `[q, 1]` and `[g, b_g]`. That is enough for inner-product indexes. Where every vector has
to have unit length (embedding sets, cosine indexes, the benchmark's ranking) the same order comes from

    item   [s g, s b, sqrt(1 - s^2 (1 + b^2))]        query   [q, 1, 0] / sqrt 2

with `s = 1 / sqrt(1 + max b^2)`: the cosine is `s (S + b) / sqrt 2`. Several biases (one per language of the queries, say) are
several entries; a query takes those whose weight is 1. All weights 0 give the plain ranking from the same index, which is how
QB-Norm's gate is applied. Exact for flat and graph indexes; product quantisers want a dimension that their parts divide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mella_retrieval.embeddings.imports import normalised
from mella_retrieval.errors import DataError
from mella_retrieval.indexes.scoring.bank import Array


@dataclass(frozen=True)
class UnitItems:
    """Items of unit length that carry their biases.

    Attributes:
        vectors: (n, d + L + 1).
        scale: s. A query with weights w has the cosine `s (S + w b) / sqrt(1 + |w|^2)`.
    """

    vectors: Array
    scale: float


def fold_items(items: Array, biases: npt.ArrayLike) -> Array:
    """Items (n, d) with their biases (n,) or (n, L) behind them: (n, d + L), for inner products.

    Raises:
        DataError: not one finite bias per item, or items that cannot be used.
    """
    return np.concatenate([normalised(items, items.shape[1], "the items"), _columns(biases, len(items), "biases")], axis=1)


def fold_queries(queries: Array, weights: npt.ArrayLike = 1.0) -> Array:
    """Queries (q, d) with their weights behind them: (q, d + L).

    Args:
        queries: in the gallery's space.
        weights: one for all queries and biases, (q,) one per query, or (q, L).

    Raises:
        DataError: weights of another length, or queries that cannot be used.
    """
    given = np.asarray(weights, np.float32)
    given = np.full(len(queries), given) if given.ndim == 0 else given
    return np.concatenate(
        [normalised(queries, queries.shape[1], "the queries"), _columns(given, len(queries), "weights")], axis=1
    )


def fold_unit_items(items: Array, biases: npt.ArrayLike, bound: float | None = None) -> UnitItems:
    """Items (n, d) with their biases (n,) or (n, L) as unit vectors.

    Args:
        items: in the shared space.
        biases: to be added to cosines.
        bound: the largest length of an item's biases that the scale leaves room for; by default the largest of these. Items
            that are added to an index later must be folded with the bound of the first ones.

    Raises:
        DataError: an item's biases are longer than `bound`, or see `fold_items`.
    """
    folded = fold_items(items, biases).astype(np.float64)
    lengths = np.linalg.norm(folded[:, items.shape[1] :], axis=1)
    longest = float(lengths.max(initial=0))
    if bound is not None and longest > bound:
        raise DataError(f"a bias of {longest:.4g} is longer than the bound {bound:.4g} that the scale was chosen for.")
    scale = 1 / np.sqrt(1 + (longest if bound is None else bound) ** 2)
    folded *= scale
    rest = np.sqrt(np.maximum(0, 1 - np.einsum("ij,ij->i", folded, folded)))
    return UnitItems(np.concatenate([folded, rest[:, None]], axis=1).astype(np.float32), float(scale))


def fold_unit_queries(queries: Array, weights: npt.ArrayLike = 1.0) -> Array:
    """Queries (q, d) for `fold_unit_items`, of unit length: (q, d + L + 1); see `fold_queries`."""
    folded = fold_queries(queries, weights).astype(np.float64)
    folded /= np.linalg.norm(folded, axis=1, keepdims=True)
    return np.concatenate([folded, np.zeros((len(folded), 1))], axis=1).astype(np.float32)


def _columns(values: npt.ArrayLike, rows: int, what: str) -> Array:
    columns = np.asarray(values, np.float32)
    columns = columns[:, None] if columns.ndim == 1 else columns
    if columns.ndim != 2 or len(columns) != rows:
        raise DataError(f"the {what} have shape {np.shape(values)}, but there are {rows} vectors.")
    if not np.isfinite(columns).all():
        raise DataError(f"the {what} hold NaN or infinite values.")
    return columns
