"""Which texts a training step sees: MELLA's two sources and the languages by weight, long descriptions sentence by sentence.

MELLA (arXiv 2508.05502) has texts of two kinds, native alt-text (`know`) and translated descriptions (`ling`), and languages of
very different size; both are balanced here, explicitly.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from mella_retrieval.adapters.inputs import Pairs, Rows
from mella_retrieval.embeddings.neighbours import nearest
from mella_retrieval.errors import ConfigError


def text_weights(pairs: Pairs, rows: Rows, sources: Mapping[str, float], temperature: float) -> Tensor:
    """Probability of drawing each of the texts `rows`, shape (n,).

    Args:
        pairs: the texts.
        rows: those that may be drawn.
        sources: share of each value of the column `source`, whatever their counts; empty: as they are.
        temperature: a language's share grows with its count to this power: 1 leaves the languages as they are, 0 makes them even.

    The sentences of one description (`part_of`) share the weight of one text. Texts of a source with weight 0 are never drawn.

    Raises:
        ConfigError: a source that no text has, or that has texts but no weight.
    """
    whole = _counts([pairs.whole[row] for row in rows])
    weights = 1 / whole
    origins = np.asarray([pairs.origins[row] for row in rows])
    kinds = sorted(set(origins.tolist())) if sources else [""]
    if sources and set(kinds) != set(sources):
        raise ConfigError(f"source_weights names {', '.join(sources)}; the pairs have {', '.join(map(repr, kinds))}.")
    langs = np.asarray([pairs.langs[row] for row in rows])
    for kind in kinds:
        inside = origins == kind if sources else np.ones(len(rows), bool)
        for lang in np.unique(langs[inside]):
            own = inside & (langs == lang)
            weights[own] *= weights[own].sum() ** (temperature - 1)
        weights[inside] *= sources.get(kind, 1.0) / weights[inside].sum()
    if not weights.sum() > 0:
        raise ConfigError("source_weights leaves no text to draw: at least one source needs a weight above 0.")
    return torch.from_numpy(weights / weights.sum())


def _counts(names: list[str]) -> np.ndarray:
    _, inverse, counts = np.unique(names, return_inverse=True, return_counts=True)
    return counts[inverse].astype(np.float64)


class TextSampler:
    """Draw training texts by weight; some of them are hard negatives of others.

    Args:
        pairs: texts and pictures.
        weights: probability of each training text (see `text_weights`).
        hard: share of a batch that is drawn from pictures like those of the rest of the batch.
        neighbours: how many pictures count as like one; found once, exactly, among the stored vectors.
    """

    def __init__(self, pairs: Pairs, weights: Tensor, hard: float = 0.0, neighbours: int = 16) -> None:
        self.rows = torch.from_numpy(pairs.train)
        self._weights = weights
        self._hard = hard
        self._owner = pairs.image_rows[pairs.train]
        if hard:
            allowed = np.flatnonzero(weights.numpy() > 0)
            used = np.unique(self._owner[allowed])
            vectors = pairs.images[used]
            like, _ = nearest(vectors, vectors, neighbours + 1)
            self._like = {int(used[row]): used[others[others != row]] for row, others in enumerate(like)}
            order = allowed[np.argsort(self._owner[allowed], kind="stable")]
            bounds = np.searchsorted(self._owner[order], np.arange(len(pairs.images) + 1))
            self._texts = [order[start:end] for start, end in pairwise(bounds)]

    def __call__(self, count: int, generator: torch.Generator) -> Tensor:
        """(count,) rows of `Pairs.text`."""
        hard = int(self._hard * count)
        chosen = torch.multinomial(self._weights, count - hard, replacement=True, generator=generator)
        if hard:
            chosen = torch.cat([chosen, self._hard_negatives(chosen[:hard], generator)])
        return self.rows[chosen]

    def _hard_negatives(self, seeds: Tensor, generator: torch.Generator) -> Tensor:
        """For each seed a text of a picture like its own."""
        first, second = torch.rand(2, len(seeds), generator=generator, dtype=torch.float64).numpy()
        found = []
        for seed, a, b in zip(seeds.tolist(), first, second, strict=True):
            like = self._like[int(self._owner[seed])]
            texts = self._texts[int(like[int(a * len(like))])]
            found.append(int(texts[int(b * len(texts))]))
        return torch.tensor(found)


class ImageSampler:
    """Draw pictures evenly, each with one text of every language it has: the batches of 1-to-K.

    Args:
        pairs: texts and pictures.
        weights: probability of each training text; within a language of a picture, texts are drawn by it.
    """

    def __init__(self, pairs: Pairs, weights: Tensor) -> None:
        self._weights = weights
        groups: dict[int, dict[str, list[int]]] = {}
        for place, row in enumerate(pairs.train.tolist()):
            if weights[place] > 0:
                groups.setdefault(int(pairs.image_rows[row]), {}).setdefault(pairs.langs[row], []).append(place)
        self._groups = [[torch.tensor(texts) for texts in langs.values()] for langs in groups.values()]
        self.rows = torch.from_numpy(pairs.train)

    def __len__(self) -> int:
        return len(self._groups)

    def __call__(self, pictures: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Rows of `Pairs.text` (R,) and which of the given pictures each belongs to (R,)."""
        chosen, owner = [], []
        for number, picture in enumerate(pictures.tolist()):
            for texts in self._groups[picture]:
                drawn = torch.multinomial(self._weights[texts], 1, generator=generator)
                chosen.append(texts[drawn])
                owner.append(number)
        return self.rows[torch.cat(chosen)], torch.tensor(owner)
