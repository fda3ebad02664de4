"""Evaluation through an index: ranks by what its search returns, beside exact ranking, so that the loss can be seen.

An index returns the `DEPTH` best items it finds. What it does not return counts as last, so the recalls are those that a
user of the index gets, and MRR, mAP and the median rank are never flattered. Equal scores are counted against the
system; scores are the index's own, which nothing scores again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from mella_retrieval.benchmarks.evaluation import EvaluationSet, RankedQueries, cells_of
from mella_retrieval.benchmarks.metrics import IMAGE_TO_TEXT, TEXT_TO_IMAGE
from mella_retrieval.benchmarks.protocols import Protocol as EvaluationProtocol
from mella_retrieval.benchmarks.ranking import Ranks
from mella_retrieval.benchmarks.similarity import Floats, Ints, UnitVectors
from mella_retrieval.errors import ConfigError, DataError, MismatchError
from mella_retrieval.indexes.devices import Devices
from mella_retrieval.indexes.gpu import on_devices
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.kinds import new_index
from mella_retrieval.indexes.recipe import IndexRecipe

DEPTH = 100

_QUERIES = 1024  # asked at a time
_EQUAL = 1e-5  # scores nearer than this are one score: float32 cannot order them


class Searcher(Protocol):
    """Something that finds items by vectors."""

    def search(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        """Scores (q, k) and rows (q, k) of the best items, best first; row -1 where there is none."""
        ...


@dataclass(frozen=True)
class RecipeSearcher:
    """A FAISS index made here from unit vectors."""

    index: object

    @classmethod
    def build(cls, recipe: IndexRecipe, vectors: Floats, device: str = "cpu") -> RecipeSearcher:
        """Train and fill an index of (n, d) unit vectors; raises `ConfigError` where the recipe does not fit them."""
        rows = np.linspace(0, len(vectors) - 1, min(len(vectors), recipe.train_rows)).astype(np.int64)
        index = new_index(recipe, vectors.shape[1], lambda: vectors[rows])
        index.add(np.ascontiguousarray(vectors))
        return cls(on_devices(index, Devices.parse(device)))

    def search(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        """See `Searcher`."""
        scores, rows = self.index.search(np.ascontiguousarray(queries), k)  # type: ignore[attr-defined]
        return scores, rows


class FolderSearcher:
    """An index folder, as an app uses it.

    Args:
        index: the opened index.
        image_ids: the gallery; the index must hold these pictures and no others.

    Raises:
        MismatchError: the index holds other pictures than the gallery.
    """

    def __init__(self, index: Index, image_ids: Sequence[str]) -> None:
        if index.manifest.scoring is not None:
            raise MismatchError(
                f"{index.folder} serves a correction ({index.manifest.scoring.method}), but a system is ranked by plain cosines "
                "beside it: build an index without one for this."
            )
        self.index = index
        rows = {image_id: row for row, image_id in enumerate(image_ids)}
        self._rows = [np.array([rows.get(key, -1) for key in segment.ids()], np.int64) for segment in index.segments]
        missing = len(rows) - len(index.find(image_ids))
        others = len(index) - (len(rows) - missing)
        if missing or others:
            raise MismatchError(
                f"{index.folder} is not an index of the test set's gallery: {missing} of its {len(rows)} pictures are "
                f"missing there, and it holds {others} others. Build it from the gallery's vectors alone."
            )

    def search(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        """See `Searcher`."""
        found = self.index.search(queries, k)
        rows = np.full(found.rows.shape, -1, np.int64)
        for number, gallery in enumerate(self._rows):
            here = found.segments == number
            rows[here] = gallery[found.rows[here]]
        return found.scores, rows


@dataclass(frozen=True)
class Through:
    """An index to rank a system through.

    Attributes:
        label: how it is called in the result.
        recipe: what the captions of each language are indexed by, and the pictures too where there is no folder.
        folder: an index of the gallery that exists already.
        device: where FAISS searches what is built here: `cpu` or `cuda:N`.
    """

    label: str
    recipe: IndexRecipe
    folder: Index | None = None
    device: str = "cpu"

    @property
    def description(self) -> str:
        """For results: how the index ranks."""
        return (
            f"searched through FAISS {self.recipe.factory}, the first {DEPTH} hits; what is not returned counts as last. "
            "Captions are indexed by the same recipe"
        )

    def rank(
        self,
        system: str,
        texts: Mapping[str, ArrayLike],
        images: ArrayLike,
        evaluation: EvaluationSet,
        protocol: EvaluationProtocol,
    ) -> Ranked:
        """Rank one system through the index in every language it has vectors for, both directions.

        Args:
            system: its name in the result.
            texts: by language (M, d), in the order of the captions.
            images: (N, d), in the order of the gallery.
            evaluation: gallery and captions.
            protocol: which captions are asked.

        Raises:
            MismatchError: the folder is not an index of the gallery.
            ConfigError: the recipe does not fit the vectors, or every language has a gallery of its own.
        """
        if evaluation.own_galleries:
            raise ConfigError("each language of this test set has a gallery of its own; one index cannot serve them all.")
        gallery = UnitVectors(images, f"image vectors of {system}")
        if self.folder is not None:
            _require_space(self.folder, gallery.dim)
            searcher: Searcher = FolderSearcher(self.folder, evaluation.image_ids)
        else:
            searcher = RecipeSearcher.build(self.recipe, gallery.values, self.device)
        cells: list[RankedQueries] = []
        recalls: dict[tuple[str, str], float] = {}
        for language, vectors in texts.items():
            asked = protocol.select(evaluation.captions[language])
            units = UnitVectors(np.asarray(vectors)[asked.captions], f"text vectors of {system} in {language}").values
            pairs = np.unique(np.stack([asked.text_index, asked.image_index]), axis=1)
            images_ahead = _search(searcher, units, gallery.values, pairs)
            asking, numbers = np.unique(pairs[1], return_inverse=True)
            captions_index = RecipeSearcher.build(self.recipe, units, self.device)
            back = np.stack([numbers.ravel(), pairs[0]])
            texts_ahead = _search(captions_index, gallery.values[asking], units, back)
            ranks = Ranks(pairs[0], pairs[1], images_ahead.ahead, texts_ahead.ahead, len(units), len(gallery))
            cells += cells_of(system, language, ranks, evaluation, asked)
            recalls[language, TEXT_TO_IMAGE] = images_ahead.recall
            recalls[language, IMAGE_TO_TEXT] = texts_ahead.recall
        return Ranked(tuple(cells), recalls)


@dataclass(frozen=True)
class Ranked:
    """Ranks through an index, and its search recall by language and direction."""

    cells: tuple[RankedQueries, ...]
    recalls: Mapping[tuple[str, str], float]


@dataclass(frozen=True)
class _Found:
    ahead: Ints
    recall: float


def _require_space(index: Index, dim: int) -> None:
    if index.manifest.dim != dim:
        raise MismatchError(
            f"{index.folder} holds vectors of {index.manifest.dim} dimensions, the system's have {dim}: another adapter made it."
        )


def _search(searcher: Searcher, queries: Floats, items: Floats, pairs: Ints) -> _Found:
    """Irrelevant items ahead of the relevant item of each pair (2, P) of query and item, and the search recall.

    One hit more than `DEPTH` is asked for: a relevant item that ties with it may stand before or behind what was cut off, so
    it counts as not returned.
    """
    counts = np.bincount(pairs[0], minlength=len(queries))
    ahead = (len(items) - counts)[pairs[0]].astype(np.int64)  # not returned: behind every irrelevant item
    codes, order = _sorted(pairs[0] * len(items) + pairs[1])
    wanted, shares = min(DEPTH + 1, len(items)), []
    for start in range(0, len(queries), _QUERIES):
        asked = queries[start : start + _QUERIES]
        scores, rows = searcher.search(asked, wanted)
        if np.isnan(scores).any():
            raise DataError("the index returned scores that are not numbers.")
        code = (start + np.arange(len(asked)))[:, None] * len(items) + rows
        place = np.searchsorted(codes, code).clip(max=len(codes) - 1)
        right = (codes[place] == code) & (rows >= 0)
        wrong = ~right & (rows >= 0)
        if wanted > DEPTH:
            right &= (scores > scores[:, -1:]) | (rows[:, -1:] < 0)
        at, column = np.nonzero(right)
        ahead[order[place[at, column]]] = (wrong[at] & (scores[at] >= scores[at, column][:, None])).sum(axis=1)
        shares.append(_recall(asked, items, rows[:, :10]))
    return _Found(ahead, float(np.concatenate(shares).mean()))


def _sorted(codes: Ints) -> tuple[Ints, Ints]:
    order = np.argsort(codes)
    return codes[order], order


def _recall(queries: Floats, items: Floats, rows: Ints) -> Floats:
    """(q,) share of the ten best items that are among `rows` (q, 10), by exact scores."""
    wanted = min(10, len(items))
    exact = queries @ items.T
    last = np.partition(exact, len(items) - wanted, axis=1)[:, len(items) - wanted]
    found = np.take_along_axis(exact, np.maximum(rows, 0), axis=1) >= (last - _EQUAL)[:, None]
    return np.asarray((found & (rows >= 0)).sum(axis=1).clip(max=wanted) / wanted, np.float32)
