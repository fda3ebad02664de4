"""Which split a group goes to: wholly to one, in sizes as asked, with sources and languages spread evenly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.data.compose.recipe import Splits
from mella_retrieval.data.compose.rounding import apportion
from mella_retrieval.errors import DataError

SPLITS = ("train", "validation", "test")


def split_sizes(records: int, splits: Splits) -> list[int]:
    """Records asked for each of `SPLITS`.

    Raises:
        DataError: validation and test ask for all there are, or more.
    """
    wanted = [round(value * records) if value < 1 else int(value) for value in (splits.validation, splits.test)]
    if sum(wanted) >= records:
        raise DataError(
            f"validation ({wanted[0]}) and test ({wanted[1]}) ask for {sum(wanted)} of {records} records and leave none for "
            "train; ask for less (splits.validation, splits.test)."
        )
    return [records - sum(wanted), *wanted]


def assign(groups: NDArray[np.int64], strata: NDArray[np.int64], sizes: list[int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Number of the split of each record, shape (n,).

    Groups come in random order; each goes where, of its strata, the largest part is still wanted, unless it is larger than
    all that a split beside train still wants. So splits fill up evenly, and what no small enough group fills stays with train.

    Args:
        groups: (n,) label of each record's group.
        strata: (n,) number of its source and language.
        sizes: records wanted of each of `SPLITS`.
    """
    _, group = np.unique(groups, return_inverse=True)
    group = group.reshape(-1)
    cells, counts = np.unique(np.stack([group, strata], axis=1), axis=0, return_counts=True)
    starts = np.searchsorted(cells[:, 0], np.arange(int(group.max()) + 2 if len(group) else 1)).tolist()
    stratum, held = cells[:, 1].tolist(), counts.tolist()
    in_stratum = np.bincount(strata)
    # Each stratum's share of a split in whole numbers; train wants what is left of each.
    wanted = [apportion(size, in_stratum.astype(np.float64), in_stratum) for size in sizes[1:]]
    need = [list(map(int, part)) for part in (in_stratum - sum(wanted), *wanted)]
    scale = [[1 / max(value, 1) for value in part] for part in need]
    left = list(sizes)
    chosen = np.zeros(len(starts) - 1, dtype=np.uint8)
    order = (1, 2, 0)
    for number in rng.permutation(len(starts) - 1).tolist():
        inside = range(starts[number], starts[number + 1])
        size = sum(held[place] for place in inside)
        best, most = 0, float("-inf")
        for split in order:
            if split and size > left[split]:
                continue
            score = sum(held[place] * need[split][stratum[place]] * scale[split][stratum[place]] for place in inside)
            if score > most:
                best, most = split, score
        chosen[number] = best
        left[best] -= size
        for place in inside:
            need[best][stratum[place]] -= held[place]
    return chosen[group]
