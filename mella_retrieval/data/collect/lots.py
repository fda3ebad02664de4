"""Drawing by lot while something streams: of each kind those with the lowest numbers stay, in whatever order they come."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Lots(Generic[K, T]):
    """The `size` lowest lots of each kind, with what drew them."""

    def __init__(self, size: int) -> None:
        """Args: size: of each kind."""
        self._size = size
        self._heaps: dict[K, list[tuple[int, int, T]]] = {}
        self._count = 0

    def wants(self, kind: K, lot: int) -> bool:
        """Whether a lot would be among them now."""
        heap = self._heaps.get(kind, [])
        return len(heap) < self._size or (self._size > 0 and lot < -heap[0][0])

    def add(self, kind: K, lot: int, drawn: T) -> None:
        """Take one in; the highest goes if there are too many."""
        heap = self._heaps.setdefault(kind, [])
        self._count += 1
        heapq.heappush(heap, (-lot, self._count, drawn))
        if len(heap) > self._size:
            heapq.heappop(heap)

    def all(self) -> dict[K, list[T]]:
        """What was drawn, by kind, the lowest lot first; of equals the first that came."""
        return {kind: [entry[2] for entry in sorted(heap, key=_in_order)] for kind, heap in self._heaps.items()}


def _in_order(entry: tuple[int, int, T]) -> tuple[int, int]:
    return -entry[0], entry[1]
