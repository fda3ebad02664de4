"""A block of yes/no flags, one byte each, whose rows and columns are summed eight flags at a time.

Eight neighbouring bytes are read as one 64-bit word. Up to 255 such words can be added before the sum of a single byte
runs over into its neighbour, so that one addition counts eight flags; it is about ten times faster than summing
booleans.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Scores = NDArray[np.float32]

_WORD = 8  # flags in a word
LONGEST_SUM = 255  # words that may be added


class Flags:
    """Flags of a block of `height` x `width` scores, `height` at most 255.

    A row is padded to `parts` runs of equally many words, at most 255 each.
    """

    def __init__(self, height: int, width: int) -> None:
        if height > LONGEST_SUM:
            raise ValueError(f"at most {LONGEST_SUM} rows can be counted at a time, not {height}")
        words = -(-width // _WORD)
        self.parts = max(1, -(-words // LONGEST_SUM))
        self.run = -(-words // self.parts)
        self.height, self.width = height, width
        self.bytes = np.empty((height, self.parts * self.run * _WORD), np.bool_)
        self.bytes[:, width:] = False
        self.words = self.bytes.view(np.uint64)

    def reach(self, scores: Scores, thresholds: Scores) -> None:
        """Set the flags where `scores` (height, width) are equal to or above the thresholds (broadcast to that shape)."""
        np.greater_equal(scores, thresholds, out=self.bytes[:, : self.width])

    def rows(self) -> Ints:
        """(height,) flags set in each row."""
        sums = np.add.reduce(self.words.reshape(self.height, self.parts, self.run), axis=2)
        return np.asarray(sums.view(np.uint8).reshape(self.height, -1).sum(axis=1, dtype=np.int64))

    def columns(self) -> Ints:
        """(width,) flags set in each column."""
        sums = np.add.reduce(self.words, axis=0).view(np.uint8)
        return np.asarray(sums[: self.width], np.int64)

    def total(self) -> int:
        """Flags set."""
        return int(np.count_nonzero(self.bytes))

    def places(self) -> tuple[Ints, Ints]:
        """Rows and columns of the flags that are set."""
        words = np.flatnonzero(self.words.ravel() != 0)  # of booleans: five times as fast as of words
        return self._places(words, self.bytes.reshape(-1, _WORD)[words])

    def differing(self, other: Flags) -> tuple[Ints, Ints]:
        """Rows and columns where the two blocks differ."""
        words = np.flatnonzero(self.words.ravel() != other.words.ravel())
        if not words.size:
            return words, words
        mine, others = self.bytes.reshape(-1, _WORD)[words], other.bytes.reshape(-1, _WORD)[words]
        return self._places(words, mine != others)

    def _places(self, words: Ints, chosen: NDArray[np.bool_]) -> tuple[Ints, Ints]:
        """Rows and columns of the chosen bytes (n, 8) of some words (n,)."""
        which, byte = np.nonzero(chosen)
        rows, columns = np.divmod(words[which] * _WORD + byte, self.bytes.shape[1])
        return rows, columns
