"""The order of training, decided before it begins: it depends on no batch size, no number of devices and no interruption."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


def draw(
    sources: Sequence[str], weights: Mapping[str, float], *, batch: int, epochs: float, steps: int | None, seed: int
) -> Rows:
    """Rows in the order in which they are trained on, whole batches of them.

    Args:
        sources: (n,), source of each row.
        weights: source -> how often a row of it is drawn in a pass, 1 by default.
        batch: rows to a step.
        epochs: passes; the last batch is filled from one more pass.
        steps: instead of `epochs`.
        seed: of the order and of what fractions draw.

    Returns:
        (steps * batch,); empty where every weight is 0.
    """
    owners = np.asarray(sources)
    groups = [(np.flatnonzero(owners == name), weights.get(name, 1.0)) for name in sorted(set(sources))]
    first = _once(groups, seed, 0)
    if not len(first):
        return first
    rows = (steps or max(1, math.ceil(round(len(first) * epochs, 6) / batch))) * batch
    passes, drawn = [first], len(first)
    while drawn < rows:
        passes.append(_once(groups, seed, len(passes)))
        drawn += len(passes[-1])
    return np.concatenate(passes)[:rows]


def times_before(rows: Rows) -> Rows:
    """(n,), how often each row was drawn before."""
    order = np.argsort(rows, kind="stable")
    begins = np.flatnonzero(np.diff(rows[order], prepend=-1))
    times = np.empty_like(rows)
    times[order] = np.arange(len(rows)) - np.repeat(begins, np.diff(begins, append=len(rows)))
    return times


def _once(groups: Sequence[tuple[Rows, float]], seed: int, number: int) -> Rows:
    """One pass over the data, shuffled; never empty if any weight is above 0."""
    generator = np.random.default_rng([seed, number])
    drawn = [np.zeros(0, np.int64)]
    for rows, weight in groups:
        whole = math.floor(weight)
        part = math.ceil((weight - whole) * len(rows) - 1e-9)
        drawn += [rows] * whole + [generator.choice(rows, part, replace=False)]
    return generator.permutation(np.concatenate(drawn))


class HeldOut:
    """Chooses the pictures that are held out; all texts of a picture share its fate.

    Args:
        names: of the pictures, repeated as they come.
        share: of the different ones; at least one is chosen of several, and never all.
        seed: of the choice.
    """

    def __init__(self, names: Iterable[str], share: float, seed: int) -> None:
        self._seed, self._last = seed, -1
        if share:
            numbers = np.unique(np.fromiter((self._number(name) for name in names), np.int64))
            if chosen := min(math.ceil(share * len(numbers)), len(numbers) - 1):
                self._last = int(numbers[chosen - 1]) if chosen > 0 else -1

    def __contains__(self, name: str) -> bool:
        return self._last >= 0 and self._number(name) <= self._last

    def _number(self, name: str) -> int:
        return int.from_bytes(hashlib.sha256(f"held out {self._seed}\n{name}".encode()).digest()[:8], "big") >> 1
