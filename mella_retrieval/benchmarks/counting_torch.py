"""Count the irrelevant items ahead of every relevant one on a device of torch: the same numbers as `counting`.

The products are full float32 (no TF32: its rounding is wider than `TOLERANCE`); what is nearer than that goes back to
the processor and is scored in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from mella_retrieval.benchmarks.counting import Ahead, Problem
from mella_retrieval.benchmarks.relevance import Direction
from mella_retrieval.benchmarks.similarity import Doubles, Ints

ENTRIES = 1 << 26  # scores of a block: 256 MiB, and a quarter of that for each flag matrix


def count_ahead_on(device: str, problem: Problem) -> Ahead:
    """As `counting.count_ahead`.

    Args:
        device: of torch, such as `cuda:0`.
        problem: vectors and pairs.
    """
    images = torch.from_numpy(problem.images.values).to(device)
    height = max(1, ENTRIES // max(len(problem.images), 1))
    by_text = _Side(problem.by_text, 1, problem.exact, device)
    by_image = _Side(problem.by_image, 0, lambda queries, others: problem.exact(others, queries), device)
    with full_float32(), torch.inference_mode():
        for top in range(0, len(problem.texts), height):
            texts = torch.from_numpy(problem.texts.values[top : top + height]).to(device)
            scores = texts @ images.T
            first, last = np.searchsorted(problem.text_rows, (top, top + height))
            at = (problem.text_rows[first:last] - top, problem.image_rows[first:last])
            scores[torch.from_numpy(at[0]).to(device), torch.from_numpy(at[1]).to(device)] = -torch.inf
            by_text.count(scores, top, 0)
            by_image.count(scores, 0, top)
    return by_text.ahead, by_image.ahead


@contextmanager
def full_float32() -> Iterator[None]:
    """Inside the block products of float32 are not rounded to fewer bits on the way."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class _Side:
    """One direction; `along` is the axis over which the items of one query stand."""

    def __init__(self, direction: Direction, along: int, exact: Callable[[Ints, Ints], Doubles], device: str) -> None:
        self.direction, self.along, self.exact = direction, along, exact
        self.bounds = [tuple(torch.from_numpy(bound).to(device) for bound in (slot.low, slot.high)) for slot in direction.slots]
        self.ahead: Ints = np.zeros(len(direction.pairs), np.int64)

    def count(self, scores: torch.Tensor, first_query: int, first_other: int) -> None:
        """Count what stands in `scores`, whose queries and other items begin at these rows."""
        queries = slice(first_query, first_query + scores.shape[1 - self.along])
        for slot, bounds in zip(self.direction.slots, self.bounds, strict=True):
            low, high = (bound[queries].unsqueeze(self.along) for bound in bounds)
            sure = scores >= high
            counts = sure.sum(dim=self.along).cpu().numpy()
            places = ((scores >= low) & ~sure).nonzero().cpu().numpy()
            near, others = places[:, 1 - self.along] + first_query, places[:, self.along] + first_other
            tied = near[self.exact(near, others) >= slot.exact[near]]
            pair = slot.pair[queries]
            self.ahead[pair[pair >= 0]] += counts[pair >= 0]
            self.ahead += np.bincount(slot.pair[tied], minlength=len(self.ahead))
