"""Ranks of all relevant items in both directions, from one pass over the score matrix in blocks.

Definition (pessimistic ties): an irrelevant item stands before a relevant one if it scores equal to it or higher. The
items that do are counted, nothing is sorted, and the matrix of all scores never exists. What float32 cannot order is
scored again in float64, so that the ranks do not depend on block size, number of threads, BLAS, device or order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from mella_retrieval.benchmarks.counting import Problem, count_ahead
from mella_retrieval.benchmarks.positions import Positions
from mella_retrieval.benchmarks.relevance import Direction, checked_pairs
from mella_retrieval.benchmarks.similarity import Ints, UnitVectors, exact_scores
from mella_retrieval.errors import DataError

BLOCK = (3700, 4080)
"""Captions and images; 60 MB a thread at most."""


@dataclass(frozen=True)
class Ranks:
    """What stands before each relevant item, in both directions.

    Attributes:
        text_rows: (P,) the caption of each relevant pair, ascending ...
        image_rows: (P,) ... and its image, ascending within a caption.
        ahead_of_image: (P,) text -> image: irrelevant images before the pair's image, asked with its caption.
        ahead_of_text: (P,) image -> text: irrelevant captions before the pair's caption, asked with its image.
        texts: M, the gallery of image -> text.
        images: N, the gallery of text -> image.
    """

    text_rows: Ints
    image_rows: Ints
    ahead_of_image: Ints
    ahead_of_text: Ints
    texts: int
    images: int

    @cached_property
    def by_text(self) -> Positions:
        """Text -> image: of every caption."""
        return Positions.from_ahead(self.text_rows, self.ahead_of_image)

    @cached_property
    def image_index(self) -> Ints:
        """(Q,) the images that have a relevant caption, ascending."""
        return np.unique(self.image_rows)

    @cached_property
    def by_image(self) -> Positions:
        """Image -> text: of every image of `image_index`."""
        return Positions.from_ahead(np.searchsorted(self.image_index, self.image_rows), self.ahead_of_text)

    @property
    def text(self) -> Ints:
        """(M,) rank of each caption's best relevant image."""
        return self.by_text.best

    @property
    def image(self) -> Ints:
        """(Q,) rank of the best relevant caption of each image of `image_index`."""
        return self.by_image.best


def rank(
    texts: ArrayLike | UnitVectors,
    images: ArrayLike | UnitVectors,
    text_index: ArrayLike,
    image_index: ArrayLike,
    *,
    block: tuple[int, int] = BLOCK,
    threads: int | None = None,
    device: str = "cpu",
) -> Ranks:
    """Rank the relevant images of every caption and the relevant captions of every image.

    Args:
        texts: (M, d) caption vectors; normalised here. Pass `UnitVectors` to reuse what was normalised before.
        images: (N, d) image vectors: the whole gallery, images without a caption included.
        text_index: (P,) rows of `texts`; with `image_index` the pairs that are relevant to each other.
        image_index: (P,) rows of `images`.
        block: most captions and images that one thread scores at a time; the memory needed is 4 bytes per entry and thread.
        threads: by default one per processor, at most 16.
        device: `cpu`, or a device of torch (`cuda:0`); the ranks are the same.

    Raises:
        DataError: NaN or infinite vectors, different dimensions, an index out of range, or a caption without a relevant
        image.
    """
    text_units = texts if isinstance(texts, UnitVectors) else UnitVectors(texts, "text vectors")
    image_units = images if isinstance(images, UnitVectors) else UnitVectors(images, "image vectors")
    if text_units.dim != image_units.dim:
        raise DataError(
            f"{text_units.name} have {text_units.dim} dimensions, {image_units.name} {image_units.dim}: "
            "they do not lie in one space."
        )
    if min(block) < 1:
        raise ValueError(f"a block needs at least one row and one column, not {block}")
    text_rows, image_rows = checked_pairs(text_units, image_units, text_index, image_index)
    relevant = exact_scores(text_units, image_units, text_rows, image_rows)
    by_text = Direction(len(text_units), text_rows, relevant)
    by_image = Direction(len(image_units), image_rows, relevant)
    problem = Problem(text_units, image_units, text_rows, image_rows, by_text, by_image)
    if device == "cpu":
        ahead_of_image, ahead_of_text = count_ahead(problem, block, threads)
    else:
        from mella_retrieval.benchmarks.counting_torch import count_ahead_on

        ahead_of_image, ahead_of_text = count_ahead_on(device, problem)
    return Ranks(text_rows, image_rows, ahead_of_image, ahead_of_text, len(text_units), len(image_units))
