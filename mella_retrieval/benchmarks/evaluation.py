"""From vectors to ranks and scores: one system over all languages of a test set.

Nothing here knows encoders or adapters: a system is a name and its vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mella_retrieval.artifacts import fingerprint
from mella_retrieval.benchmarks.metrics import DIRECTIONS, IMAGE_TO_TEXT, TEXT_TO_IMAGE
from mella_retrieval.benchmarks.positions import Positions
from mella_retrieval.benchmarks.protocols import Captions, Protocol, Selection
from mella_retrieval.benchmarks.ranking import Ranks, rank
from mella_retrieval.benchmarks.similarity import UnitVectors
from mella_retrieval.errors import DataError

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class EvaluationSet:
    """What is asked of a system: the gallery, and the captions of each language.

    Attributes:
        image_ids: (N,) ids of the images; the row of an image is its position here.
        captions: by language.
        own_galleries: whether each language is ranked among the images that have captions in it alone.
    """

    image_ids: tuple[str, ...]
    captions: Mapping[str, Captions]
    own_galleries: bool = False

    def __post_init__(self) -> None:
        if len(set(self.image_ids)) != len(self.image_ids):
            raise DataError("an image stands twice in the gallery.")

    def gallery(self, language: str) -> Ints:
        """Rows of the images that captions of a language are ranked among, ascending."""
        if self.own_galleries:
            return np.unique(np.asarray(self.captions[language].image, np.int64))
        return np.arange(len(self.image_ids))

    def named(self, language: str, asked: Selection) -> tuple[list[str], list[str]]:
        """Ids of the images of a language's gallery, and of the image of each asked caption."""
        owner = self.captions[language].image
        return [self.image_ids[row] for row in self.gallery(language)], [self.image_ids[owner[row]] for row in asked.captions]

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
        positions: of the relevant items of each query.
        subset: "" for the whole test set, or the part of it that these queries are, such as `source=know`.
    """

    system: str
    language: str
    direction: str
    query_id: tuple[str, ...]
    image_id: tuple[str, ...]
    positions: Positions
    subset: str = ""

    @property
    def rank(self) -> Ints:
        """(n,) rank of the best relevant item, from 1."""
        return self.positions.best

    def take(self, queries: Sequence[int]) -> RankedQueries:
        """Some of the queries, in that order."""
        query_id, image_id = (tuple(ids[row] for row in queries) for ids in (self.query_id, self.image_id))
        return replace(self, query_id=query_id, image_id=image_id, positions=self.positions.take(queries))


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
    device: str = "cpu",
    progress: Progress | None = None,
) -> list[RankedQueries]:
    """Rank one system in every language it has text vectors for, both directions.

    Where captions carry labels, each label's queries follow as a subset: the galleries stay whole, and image -> text looks for
    the captions with that label, while an image's other captions neither help nor stand in the way.

    Args:
        name: of the system.
        texts: by language (M, d), one row per caption of that language, in the order of `evaluation.captions`.
        images: (N, d), one row per image.
        evaluation: gallery and captions.
        protocol: which captions are asked.
        reverse: vectors for image -> text; by default both directions are ranked by the same ones.
        device: where to rank: `cpu`, or a device of torch; the ranks are the same.
        progress: called with (languages done, languages in all).

    Raises:
        DataError: vectors of another number than images or captions, a `reverse` of other languages, or what `ranking.rank`
            refuses.
    """
    if reverse is not None:
        if list(reverse.texts) != list(texts):
            raise DataError(f"{name} has texts in {', '.join(texts)}, but for image -> text in {', '.join(reverse.texts)}.")
        backward = rank_system(name, reverse.texts, reverse.images, evaluation, protocol, device=device)
        forward = rank_system(name, texts, images, evaluation, protocol, device=device, progress=progress)
        return [back if back.direction == IMAGE_TO_TEXT else cell for cell, back in zip(forward, backward, strict=True)]
    gallery = images if isinstance(images, UnitVectors) else UnitVectors(images, f"image vectors of {name}")
    if len(gallery) != len(evaluation.image_ids):
        raise DataError(f"{name} has {len(gallery)} image vectors for a gallery of {len(evaluation.image_ids)} images.")
    cells: list[RankedQueries] = []
    for done, (language, vectors) in enumerate(texts.items()):
        if language not in evaluation.captions:
            raise DataError(f"{name} has text vectors in {language}, but the test set has no captions in it.")
        captions = evaluation.captions[language]
        rows = np.asarray(vectors)
        if len(rows) != len(captions.text_id):
            raise DataError(f"{name} has {len(rows)} text vectors for {len(captions.text_id)} captions in {language}.")
        asked = protocol.select(captions)
        units = UnitVectors(rows[asked.captions], f"text vectors of {name} in {language}")
        inside = evaluation.gallery(language)
        ranks = rank(
            units,
            gallery.take(inside) if evaluation.own_galleries else gallery,
            asked.text_index,
            np.searchsorted(inside, asked.image_index),
            device=device,
        )
        cells += _cells(name, language, ranks, captions, asked, *evaluation.named(language, asked))
        if progress:
            progress(done + 1, len(texts))
    return cells


def _cells(
    name: str, language: str, ranks: Ranks, captions: Captions, asked: Selection, gallery: Sequence[str], owners: Sequence[str]
) -> Iterator[RankedQueries]:
    """Cells of every subset.

    Args:
        name, language, ranks, captions, asked: what was ranked.
        gallery: ids of the images in the order they were ranked.
        owners: id of the image of each asked caption.
    """
    text_ids = [captions.text_id[row] for row in asked.captions]
    for subset, chosen in subsets(captions, asked).items():
        texts = np.flatnonzero(chosen)
        pairs = np.flatnonzero(chosen[ranks.text_rows])
        images, owner = np.unique(ranks.image_rows[pairs], return_inverse=True)
        yield RankedQueries(
            name,
            language,
            TEXT_TO_IMAGE,
            tuple(text_ids[row] for row in texts),
            tuple(owners[row] for row in texts.tolist()),
            ranks.by_text.take(texts),
            subset,
        )
        found = tuple(gallery[row] for row in images.tolist())
        positions = Positions.from_ahead(owner.astype(np.int64).ravel(), ranks.ahead_of_text[pairs])
        yield RankedQueries(name, language, IMAGE_TO_TEXT, found, found, positions, subset)


def subsets(captions: Captions, asked: Selection) -> dict[str, Flags]:
    """The parts of a test set that get scores of their own: which (S,) of the asked captions belong to each; "" is all."""
    found = {"": np.ones(len(asked.captions), np.bool_)}
    for column, values in captions.labels.items():
        given = np.array([values[row] for row in asked.captions], dtype=object)
        for value in sorted(set(given.tolist()) - {""}):
            found[f"{column}={value}"] = np.asarray(given == value, np.bool_)
    return found


def relevant_counts(evaluation: EvaluationSet, language: str, protocol: Protocol) -> dict[str, dict[str, tuple[Ints, Ints]]]:
    """Per subset and direction the relevant items of every query (n,), and the sizes (n,) of the galleries they are ranked in."""
    captions, images = evaluation.captions[language], len(evaluation.gallery(language))
    asked = protocol.select(captions)
    texts, owners = np.unique(np.stack([asked.text_index, asked.image_index]), axis=1)
    per_text = np.bincount(texts, minlength=len(asked.captions)).astype(np.int64)
    per_image = np.bincount(owners).astype(np.int64)
    found = {}
    for subset, chosen in subsets(captions, asked).items():
        mine = np.bincount(owners[chosen[texts]], minlength=len(per_image)).astype(np.int64)
        others = (per_image - mine)[mine > 0]  # an image's captions outside the subset do not take part
        found[subset] = {
            TEXT_TO_IMAGE: (per_text[chosen], np.full(int(chosen.sum()), images)),
            IMAGE_TO_TEXT: (mine[mine > 0], len(asked.captions) - others),
        }
    return found


def shuffle_pairs(evaluation: EvaluationSet, seed: int = 0) -> EvaluationSet:
    """The same captions given to other images, in every language by the same shuffle: what a system must not be able to answer.

    The captions of one image stay together, so that the number of relevant items is unchanged.
    """
    owner = np.random.default_rng(seed).permutation(len(evaluation.image_ids))
    shuffled = {
        language: Captions(owner[np.asarray(captions.image, np.int64)], captions.text, captions.text_id, captions.labels)
        for language, captions in evaluation.captions.items()
    }
    return EvaluationSet(evaluation.image_ids, shuffled, evaluation.own_galleries)


def query_counts(cells: Sequence[RankedQueries]) -> dict[str, dict[str, int]]:
    """Queries per language and direction of the whole test set, the same for every system that has the language."""
    counts: dict[str, dict[str, int]] = {}
    for cell in cells:
        if not cell.subset:
            counts.setdefault(cell.language, dict.fromkeys(DIRECTIONS, 0))[cell.direction] = len(cell.positions)
    return counts
