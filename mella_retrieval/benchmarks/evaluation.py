"""From vectors to ranks and scores: one system over all languages of a test set.

Nothing here knows encoders or adapters: a system is a name and its vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mella_retrieval.artifacts import fingerprint
from mella_retrieval.benchmarks.metrics import DIRECTIONS, IMAGE_TO_TEXT, TEXT_TO_IMAGE
from mella_retrieval.benchmarks.protocols import Captions, Protocol
from mella_retrieval.benchmarks.ranking import rank
from mella_retrieval.benchmarks.similarity import UnitVectors
from mella_retrieval.errors import DataError

Ints = NDArray[np.int64]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class EvaluationSet:
    """What is asked of a system: the gallery, and the captions of each language.

    Attributes:
        image_ids: (N,) ids of the images; the row of an image is its position here.
        captions: by language.
    """

    image_ids: tuple[str, ...]
    captions: Mapping[str, Captions]

    def __post_init__(self) -> None:
        if len(set(self.image_ids)) != len(self.image_ids):
            raise DataError("an image stands twice in the gallery.")

    def fingerprints(self) -> dict[str, str]:
        """Hashes of the gallery (`images`, whatever its order) and of the captions of each language."""
        found = {"images": fingerprint(sorted(self.image_ids))}
        for language, captions in self.captions.items():
            images = [self.image_ids[row] for row in captions.image]
            found[language] = fingerprint(sorted(zip(captions.text_id, images, captions.text, strict=True)))
        return found


@dataclass(frozen=True)
class RankedQueries:
    """The ranks of one system in one language and direction.

    Attributes:
        query_id: (n,) text ids (text -> image) or image ids (image -> text).
        image_id: (n,) the image each query belongs to.
        rank: (n,) from 1.
    """

    system: str
    language: str
    direction: str
    query_id: tuple[str, ...]
    image_id: tuple[str, ...]
    rank: Ints


@dataclass(frozen=True)
class Reverse:
    """What a system uses for image -> text where that differs from text -> image, such as a bias per text instead of per image.

    Attributes:
        texts: by language (M, d'), the same languages and captions as the system's own texts.
        images: (N, d').
    """

    texts: Mapping[str, ArrayLike]
    images: ArrayLike


def rank_system(
    name: str,
    texts: Mapping[str, ArrayLike],
    images: ArrayLike | UnitVectors,
    evaluation: EvaluationSet,
    protocol: Protocol,
    *,
    reverse: Reverse | None = None,
    progress: Progress | None = None,
) -> list[RankedQueries]:
    """Rank one system in every language it has text vectors for, both directions.

    Args:
        name: of the system.
        texts: by language (M, d), one row per caption of that language, in the order of `evaluation.captions`.
        images: (N, d), one row per image.
        evaluation: gallery and captions.
        protocol: which captions are asked.
        reverse: vectors for image -> text; by default both directions are ranked by the same ones.
        progress: called with (languages done, languages in all).

    Raises:
        DataError: vectors of another number than images or captions, a `reverse` of other languages, or what `ranking.rank`
            refuses.
    """
    if reverse is not None:
        if list(reverse.texts) != list(texts):
            raise DataError(f"{name} has texts in {', '.join(texts)}, but for image -> text in {', '.join(reverse.texts)}.")
        backward = rank_system(name, reverse.texts, reverse.images, evaluation, protocol)
        forward = rank_system(name, texts, images, evaluation, protocol, progress=progress)
        return [back if back.direction == IMAGE_TO_TEXT else cell for cell, back in zip(forward, backward, strict=True)]
    gallery = images if isinstance(images, UnitVectors) else UnitVectors(images, f"image vectors of {name}")
    if len(gallery) != len(evaluation.image_ids):
        raise DataError(f"{name} has {len(gallery)} image vectors for a gallery of {len(evaluation.image_ids)} images.")
    cells = []
    for done, (language, vectors) in enumerate(texts.items()):
        if language not in evaluation.captions:
            raise DataError(f"{name} has text vectors in {language}, but the test set has no captions in it.")
        cells += _rank_language(name, language, vectors, gallery, evaluation, protocol)
        if progress:
            progress(done + 1, len(texts))
    return cells


def _rank_language(
    name: str, language: str, vectors: ArrayLike, gallery: UnitVectors, evaluation: EvaluationSet, protocol: Protocol
) -> list[RankedQueries]:
    captions = evaluation.captions[language]
    rows = np.asarray(vectors)
    if len(rows) != len(captions.text_id):
        raise DataError(f"{name} has {len(rows)} text vectors for {len(captions.text_id)} captions in {language}.")
    asked = protocol.select(captions)
    units = UnitVectors(rows[asked.captions], f"text vectors of {name} in {language}")
    ranks = rank(units, gallery, asked.text_index, asked.image_index)
    text_ids = tuple(captions.text_id[row] for row in asked.captions)
    text_images = tuple(evaluation.image_ids[captions.image[row]] for row in asked.captions)
    image_ids = tuple(evaluation.image_ids[row] for row in ranks.image_index)
    return [
        RankedQueries(name, language, TEXT_TO_IMAGE, text_ids, text_images, ranks.text),
        RankedQueries(name, language, IMAGE_TO_TEXT, image_ids, image_ids, ranks.image),
    ]


def relevant_counts(captions: Captions, images: int, protocol: Protocol) -> dict[str, tuple[Ints, int]]:
    """Per direction the number of relevant items of every query, and the size of the gallery it is ranked in."""
    asked = protocol.select(captions)
    pairs = np.unique(np.stack([asked.text_index, asked.image_index]), axis=1)
    per_text = np.bincount(pairs[0], minlength=len(asked.captions)).astype(np.int64)
    per_image = np.bincount(pairs[1]).astype(np.int64)
    return {TEXT_TO_IMAGE: (per_text, images), IMAGE_TO_TEXT: (per_image[per_image > 0], len(asked.captions))}


def shuffle_pairs(evaluation: EvaluationSet, seed: int = 0) -> EvaluationSet:
    """The same captions given to other images, in every language by the same shuffle: what a system must not be able to answer.

    The captions of one image stay together, so that the number of relevant items is unchanged.
    """
    owner = np.random.default_rng(seed).permutation(len(evaluation.image_ids))
    shuffled = {
        language: Captions(owner[np.asarray(captions.image, np.int64)], captions.text, captions.text_id)
        for language, captions in evaluation.captions.items()
    }
    return EvaluationSet(evaluation.image_ids, shuffled)


def query_counts(cells: Sequence[RankedQueries]) -> dict[str, dict[str, int]]:
    """Queries per language and direction, the same for every system that has the language."""
    counts: dict[str, dict[str, int]] = {}
    for cell in cells:
        counts.setdefault(cell.language, dict.fromkeys(DIRECTIONS, 0))[cell.direction] = len(cell.rank)
    return counts
