"""How many records of each source and language to take, and which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.data.compose.recipe import Balance
from mella_retrieval.data.compose.rounding import apportion


@dataclass(frozen=True)
class Targets:
    """What is asked and what is taken, of S sources and L languages.

    Attributes:
        available: (S, L) what there is.
        asked: (S, L) what weights, size and balance ask for, as if there were enough of everything.
        taken: (S, L) what is taken.
    """

    available: NDArray[np.int64]
    asked: NDArray[np.float64]
    taken: NDArray[np.int64]


def targets(available: NDArray[np.int64], weights: Sequence[float] | None, balance: Balance, size: int | None) -> Targets:
    """What to take of `available`, shape (S, L).

    Without a size: as many as meet all shares exactly, so that no source and no language is asked for more than it has.
    With a size: who has less than its share gives all it has, and the others share the rest.
    """
    limits = available if balance.cap is None else np.minimum(available, balance.cap)
    held = limits.sum(axis=1)
    shares = np.where(limits > 0, np.maximum(limits, 1).astype(np.float64) ** balance.alpha, 0.0)
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-300)
    if size is None:
        exact = np.where(shares > 0, limits / np.where(shares > 0, shares, 1.0), np.inf).min(axis=1)
        budgets = np.where(held > 0, exact, 0.0)
        if weights is not None:
            heavy = np.where(held > 0, weights, 0.0)  # a source without records cannot hold the others back
            budgets = heavy * min((budgets[held > 0] / heavy[held > 0]).tolist(), default=0.0)
        given = np.floor(budgets + 1e-6).astype(np.int64)
    else:
        wanted = held.astype(np.float64) if weights is None else np.asarray(weights, dtype=np.float64)
        budgets = size * wanted / wanted.sum()
        given = apportion(size, wanted, held)
    taken = np.stack([apportion(int(total), *row) for total, *row in zip(given, shares, limits, strict=True)])
    return Targets(available, budgets[:, None] * shares, taken)


def draw(
    cells: NDArray[np.int64], images: NDArray[np.int64], taken: NDArray[np.int64], once: bool, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Which records are taken.

    Pictures come in one random order for all sources and languages: who is given half of two languages gets the same
    pictures in both, as far as these have them.

    Args:
        cells: (n,) number of source and language in `taken` laid flat.
        images: (n,) number of the image; negative for text alone.
        taken: how many of each cell.
        once: count the texts of one picture in a cell as one, and take all of them or none.
    """
    alone = images < 0
    number = np.where(alone, (images.max() + 1 if len(images) else 0) + np.cumsum(alone), images)
    chance = rng.random(int(number.max()) + 1 if len(number) else 0)[number]
    order = np.lexsort((np.arange(len(cells)), number, chance, cells))
    cell = cells[order]
    first = np.searchsorted(cell, cell)
    if once:
        new = np.r_[True, (np.diff(cell) != 0) | (np.diff(number[order]) != 0)][: len(order)]
        units = np.cumsum(new)
        place = units - units[first]
    else:
        place = np.arange(len(order)) - first
    chosen = np.zeros(len(cells), dtype=bool)
    chosen[order] = place < taken.reshape(-1)[cell]
    return chosen


def count_units(cells: NDArray[np.int64], images: NDArray[np.int64], shape: tuple[int, int], once: bool) -> NDArray[np.int64]:
    """How many records (with `once`: different pictures, and texts alone) each cell holds, in `shape`."""
    if once:
        pictured = images >= 0
        pairs = np.unique(np.stack([cells[pictured], images[pictured]], axis=1), axis=0)
        cells = np.r_[pairs[:, 0], cells[~pictured]]
    return np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape).astype(np.int64)
