"""Groups that must stay together: the same picture, pictures alike, the same or near-equal texts, one by way of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.data.compose.identity import Images
from mella_retrieval.data.compose.pictures import UNKNOWN
from mella_retrieval.data.compose.survey import NONE, Survey
from mella_retrieval.data.near.bands import first_holders
from mella_retrieval.data.near.groups import groups
from mella_retrieval.data.near.images import image_pairs
from mella_retrieval.data.near.texts import Verifier, joining_pairs


def near_candidates(survey: Survey) -> NDArray[np.bool_]:
    """Mask of shape (T,): texts that must be read again, since they may be near-equal to another."""
    wanted = np.zeros(len(survey.met[0]), dtype=bool)
    if survey.sketches is not None:
        for pairs in survey.sketches.candidates():
            wanted[pairs] = True
    return wanted


def text_groups(survey: Survey, similarity: float, texts: Mapping[int, str]) -> NDArray[np.int64]:
    """Near-equal texts as groups, labels of shape (T,).

    Args:
        texts: number -> normal form, of all candidates.
    """
    pairs = np.zeros((0, 2), dtype=np.int64)
    if survey.sketches is not None:
        pairs = joining_pairs(survey.sketches, Verifier(similarity, texts.__getitem__))
    return groups(len(survey.met[0]), pairs)


@dataclass(frozen=True)
class Groups:
    """Which records stay together.

    Attributes:
        of_record: (n,) label of a record's group.
        stock: (n,) whether a record's text is a stock phrase.
    """

    of_record: NDArray[np.int64]
    stock: NDArray[np.bool_]


def group_records(
    survey: Survey,
    images: Images,
    same_text: NDArray[np.int64] | None,
    distance: int | None,
    stock: int,
    chosen: NDArray[np.bool_],
) -> Groups:
    """Connected components over the chosen records; the others stand alone.

    Args:
        same_text: labels of near-equal texts, shape (T,); None: texts join nothing.
        distance: bits in which hashes of like pictures may differ; None: only equal files and places are the same.
        stock: texts at more images than this join nothing.
        chosen: (n,) the records that count.
    """
    image, text = images.of_record, survey.text.astype(np.int64)
    pictured = chosen & (image != NONE)
    used = np.zeros(len(images), dtype=bool)
    used[image[pictured]] = True
    pairs = [_image_pairs(survey, images, distance, used)]
    phrases = np.zeros(len(survey), dtype=bool)
    if same_text is not None:
        both = pictured & (text != NONE)
        held = np.unique(np.stack([same_text[text[both]], image[both]], axis=1), axis=0)
        common = np.bincount(held[:, 0], minlength=len(same_text)) > stock
        said = text != NONE
        phrases[said] = common[same_text[text[said]]]
        joining = both & ~phrases
        pairs.append(np.stack([image[joining], len(images) + same_text[text[joining]]], axis=1))
        numbers = np.unique(text[chosen & said & ~phrases])
        pairs.append(len(images) + np.stack([numbers, same_text[numbers]], axis=1))
    labels = groups(len(images) + len(survey.met[0]), np.concatenate(pairs))
    node = np.where(image != NONE, image, len(images) + text)
    return Groups(labels[node], phrases)


def _image_pairs(survey: Survey, images: Images, distance: int | None, used: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Pairs of images that are the same, by place, file or look."""
    looked = survey.looked
    rows = np.flatnonzero(used[images.of_picture]) if len(used) else np.zeros(0, dtype=np.int64)
    found = []
    for keys in (looked.place[rows], looked.content[rows]):
        known = np.flatnonzero(keys != UNKNOWN)
        found.append(known[first_holders(keys[known])[1]])
    if distance is not None:
        found.append(image_pairs(looked.look[rows], distance))
    return images.of_picture[rows[np.concatenate(found)]]
