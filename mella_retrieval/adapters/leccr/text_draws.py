"""Draw texts of given pictures at random: the language first, then one of its texts, both evenly."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mella_retrieval.adapters.inputs import Pairs, Rows

ENGLISH = "en"


class TextDraws:
    """The training texts of one kind: English ones, or all others.

    Args:
        pairs: texts and pictures; only `train` rows are drawn.
        english: which kind.
    """

    def __init__(self, pairs: Pairs, *, english: bool) -> None:
        langs = np.asarray(pairs.langs)[pairs.train]
        kind = pairs.train[(langs == ENGLISH) == english]
        names, codes = np.unique(np.asarray(pairs.langs)[kind], return_inverse=True)
        groups = pairs.image_rows[kind] * max(1, len(names)) + codes
        self._texts: Rows = kind[np.argsort(groups, kind="stable")]
        group, self._start, self._count = np.unique(np.sort(groups), return_index=True, return_counts=True)
        pictures = np.arange(len(pairs.images) + 1)
        bounds = np.searchsorted(group // max(1, len(names)), pictures)
        self._first_group, self._groups = bounds[:-1], np.diff(bounds)

    def has(self, pictures: Rows) -> np.ndarray:
        """(n,) whether a picture has such a text."""
        return np.asarray(self._groups[pictures] > 0)

    def __call__(self, pictures: Rows, generator: torch.Generator) -> Tensor:
        """(n,) one row of `Pairs.text` for each picture, -1 where it has none."""
        if not len(self._texts):
            return torch.full((len(pictures),), -1)
        first, second = torch.rand(2, len(pictures), generator=generator, dtype=torch.float64).numpy()
        groups = self._first_group[pictures] + (first * self._groups[pictures]).astype(np.int64)
        groups = np.minimum(groups, len(self._start) - 1)  # of a picture without such a text, whose draw is not used
        texts = self._texts[self._start[groups] + (second * self._count[groups]).astype(np.int64)]
        return torch.from_numpy(np.where(self.has(pictures), texts, -1))
