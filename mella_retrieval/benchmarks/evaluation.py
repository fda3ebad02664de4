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

    Where captions carry labels, the queries of each label follow as a subset: the galleries stay whole, and what a label joins is
    looked for, while what else is relevant to a query neither helps nor stands in the way.

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
        cells += cells_of(name, language, ranks, evaluation, asked)
        if progress:
            progress(done + 1, len(texts))
    return cells


def cells_of(name: str, language: str, ranks: Ranks, evaluation: EvaluationSet, asked: Selection) -> Iterator[RankedQueries]:
    """Both directions of one system and language, for the whole test set and each of its parts.

    Args:
        name: of the system.
        language: that was ranked.
        ranks: over `evaluation.gallery(language)`.
        evaluation: the test set.
        asked: the protocol's selection of this language's captions.
    """
    captions, inside = evaluation.captions[language], evaluation.gallery(language)
    text_ids = [captions.text_id[row] for row in asked.captions]
    owners = [evaluation.image_ids[captions.image[row]] for row in asked.captions]
    for subset, part in subsets(captions, asked, ranks.text_rows, inside[ranks.image_rows]).items():
        texts, owner = np.unique(ranks.text_rows[part], return_inverse=True)
        yield RankedQueries(
            name,
            language,
            TEXT_TO_IMAGE,
            tuple(text_ids[row] for row in texts.tolist()),
            tuple(owners[row] for row in texts.tolist()),
            Positions.from_ahead(owner.astype(np.int64).ravel(), ranks.ahead_of_image[part]),
            subset,
        )
        images, owner = np.unique(ranks.image_rows[part], return_inverse=True)
        found = tuple(evaluation.image_ids[inside[row]] for row in images)
        positions = Positions.from_ahead(owner.astype(np.int64).ravel(), ranks.ahead_of_text[part])
        yield RankedQueries(name, language, IMAGE_TO_TEXT, found, found, positions, subset)


def subsets(captions: Captions, asked: Selection, texts: Ints, images: Ints) -> dict[str, Ints]:
    """The parts of a test set that get scores of their own: which relevant pairs belong to each; "" is all of them.

    A pair belongs to a label if a caption with that label joins them. What else is relevant to a query of a part neither
    helps nor stands in the way.

    Args:
        captions: of one language.
        asked: the protocol's selection.
        texts: (P,) of each pair its position in `asked.captions` ...
        images: (P,) ... and the row of its image.
    """
    everything = np.arange(len(texts))
    found = {"": everything}
    if not captions.labels:
        return found
    owner = np.asarray(captions.image, np.int64)
    size = int(owner.max(initial=0)) + 1
    codes = np.where(asked.classes >= 0, asked.classes * size + owner, -1)  # of every caption
    pairs = asked.classes[asked.captions[texts]] * size + images
    for column, values in captions.labels.items():
        given = np.array(values, dtype=object)
        for value in sorted(set(values) - {""}):
            labelled = codes[(given == value) & (codes >= 0)]
            inside = np.isin(pairs, labelled)
            if not asked.shared:  # a copy of the text on another image asks for itself, with that image's label
                inside &= np.isin(codes[asked.captions[texts]], labelled)
            if inside.any():
                found[f"{column}={value}"] = everything[inside]
    return found


def relevant_counts(evaluation: EvaluationSet, language: str, protocol: Protocol) -> dict[str, dict[str, tuple[Ints, Ints]]]:
    """Per subset and direction the relevant items of every query (n,), and the sizes (n,) of the galleries they are ranked in."""
    captions, images = evaluation.captions[language], len(evaluation.gallery(language))
    asked = protocol.select(captions)
    texts, owners = np.unique(np.stack([asked.text_index, asked.image_index]), axis=1)
    found = {}
    for subset, part in subsets(captions, asked, texts, owners).items():
        found[subset] = {
            TEXT_TO_IMAGE: _counted(texts, part, images),
            IMAGE_TO_TEXT: _counted(owners, part, len(asked.captions)),
        }
    return found


def _counted(queries: Ints, part: Ints, gallery: int) -> tuple[Ints, Ints]:
    """Relevant items of the queries of a part, and what each is ranked among: its other relevant items do not take part."""
    everything = np.bincount(queries)
    mine = np.bincount(queries[part], minlength=len(everything))
    asked = mine > 0
    return mine[asked].astype(np.int64), (gallery - (everything - mine)[asked]).astype(np.int64)


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
