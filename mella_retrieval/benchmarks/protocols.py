"""Protocols: which captions of a test set are asked, and which image is the right answer.

The same weights get different numbers under different protocols (by several points), so a result names its protocol and
results are only compared within one. A protocol is one function and one line in `PROTOCOLS`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.benchmarks.metrics import LONG_METRICS, METRICS, NDCG
from mella_retrieval.errors import ConfigError, DataError
from mella_retrieval.recipes import suggest

Ints = NDArray[np.int64]

TIE_RULE = (
    "pessimistic: rank = 1 + irrelevant items that score at least as high as the best relevant one; "
    "scores within 1e-5 are compared in float64"
)


@dataclass(frozen=True)
class Captions:
    """The captions of a test set in one language, in the order of the test set.

    Attributes:
        image: (M,) the row of each caption's image in the gallery.
        text: (M,) the captions, as they were before any text preparation.
        text_id: (M,) unique ids.
        labels: by column of the records (`source`, `category` ...) its value (M,) for each caption, "" where there is none.
    """

    image: Ints
    text: Sequence[str]
    text_id: Sequence[str]
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.image) == len(self.text) == len(self.text_id):
            raise DataError(
                f"captions need an image, a text and an id each, but there are {len(self.image)} images, {len(self.text)} texts "
                f"and {len(self.text_id)} ids."
            )
        for column, values in self.labels.items():
            if len(values) != len(self.text):
                raise DataError(f"the column {column!r} has {len(values)} values for {len(self.text)} captions.")


@dataclass(frozen=True)
class Selection:
    """What a protocol takes from the captions of one language.

    Attributes:
        captions: (S,) rows of the captions that are asked; together they are the gallery of image -> text.
        text_index: (P,) relevant pairs: positions in `captions` ...
        image_index: (P,) ... and rows of the image gallery.
        classes: (M,) a number for every caption of the test set, equal for those that one asked caption stands for; -1 for those
            that nothing asked stands for.
        shared: whether an asked caption stands for all images that carry it, instead of for its own.
    """

    captions: Ints
    text_index: Ints
    image_index: Ints
    classes: Ints
    shared: bool = False


@dataclass(frozen=True)
class Protocol:
    """A convention of evaluation, with the words that go into every result.

    Attributes:
        name: short name.
        description: what is asked and what is right.
        select: which captions are asked, and the relevant pairs.
        headline: the metric it is known by.
        metrics: all that it reports.
    """

    name: str
    description: str
    select: Callable[[Captions], Selection]
    headline: str = "R@10"
    metrics: tuple[str, ...] = METRICS


def _all_hit(captions: Captions) -> Selection:
    rows = np.arange(len(captions.image))
    return Selection(rows, rows, np.asarray(captions.image, np.int64), rows)


def _first(captions: Captions) -> Selection:
    image = np.asarray(captions.image, np.int64)
    rows = np.sort(np.unique(image, return_index=True)[1]).astype(np.int64)
    classes = np.full(len(image), -1)
    classes[rows] = rows
    return Selection(rows, np.arange(len(rows)), image[rows], classes)


def _all_dedup(captions: Captions) -> Selection:
    """An equal text on several images stays once for each of them, and all of these images are right for each."""
    image = np.asarray(captions.image, np.int64)
    numbers: dict[str, int] = {}
    text = np.array([numbers.setdefault(one, len(numbers)) for one in captions.text], np.int64)
    rows = np.sort(np.unique(np.stack([image, text]), axis=1, return_index=True)[1]).astype(np.int64)
    order = np.argsort(text[rows], kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(text[rows]))])
    text_index, image_index = [rows[:0]], [rows[:0]]
    for start, stop in itertools.pairwise(starts):
        same = order[start:stop]
        text_index.append(np.repeat(same, len(same)))
        image_index.append(np.tile(image[rows][same], len(same)))
    return Selection(rows, np.concatenate(text_index), np.concatenate(image_index), text)


def _keywords(captions: Captions) -> Selection:
    """Each different text once, by the smallest of its ids whatever the order; all images that carry it are right."""
    numbers: dict[str, int] = {}
    text = np.array([numbers.setdefault(one, len(numbers)) for one in captions.text], np.int64)
    by_id = np.array(sorted(range(len(text)), key=lambda row: captions.text_id[row]), np.int64)
    rows = by_id[np.unique(text[by_id], return_index=True)[1]].astype(np.int64)
    return Selection(rows, text, np.asarray(captions.image, np.int64), text, shared=True)


PROTOCOLS: dict[str, Protocol] = {
    "all-hit": Protocol(
        "all-hit",
        "all captions; a caption's own image is relevant; an image is answered by whichever of its own captions ranks best",
        _all_hit,
    ),
    "first": Protocol(
        "first",
        "the first caption of every image and language; caption and image are relevant to one another alone",
        _first,
    ),
    "all": Protocol(
        "all",
        "all captions; a caption's own image is relevant, and all captions of an image are; true recall and nDCG as in mteb",
        _all_hit,
        NDCG,
        (*METRICS, *LONG_METRICS),
    ),
    "all-dedup": Protocol(
        "all-dedup",
        "all captions, each text once per image; all images that carry an equal text are relevant to each of its copies",
        _all_dedup,
    ),
    "keywords": Protocol(
        "keywords",
        "each different text once; all images that carry it are relevant, and it is answered by whichever of them ranks best",
        _keywords,
        "hit rate@10",
        (*METRICS, *LONG_METRICS),
    ),
}


def get_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        ConfigError: there is none; the nearest name is suggested.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f"there is no protocol {name!r}.{suggest(name, PROTOCOLS)} Known: {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[name]
