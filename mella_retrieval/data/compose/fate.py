"""What becomes of each record, and why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.data.compose.against import KINDS, NOTHING, Against
from mella_retrieval.data.compose.identity import Images
from mella_retrieval.data.compose.survey import NONE, Survey
from mella_retrieval.data.near.bands import first_holders

KEPT = NOTHING
DUPLICATE, NOT_DRAWN = len(KINDS), len(KINDS) + 1
REASONS = (*KINDS, "duplicate record", "not drawn")
"""By code; those of `against.KINDS` come first."""


@dataclass
class Fates:
    """Codes of `REASONS` (0: kept) and, for what meets a benchmark, the number of what it met; shapes (n,)."""

    code: NDArray[np.uint8]
    met: NDArray[np.int32]

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Mask of the records that are kept."""
        kept: NDArray[np.bool_] = self.code == KEPT
        return kept


def judge(survey: Survey, images: Images, against: Against) -> Fates:
    """What each record meets, by its picture before its text; and which records stood before."""
    code, met = meetings(survey, images, against)
    kept = np.flatnonzero(code == KEPT)
    code[kept[first_holders(_contents(survey, images)[kept])[1][:, 1]]] = DUPLICATE
    return Fates(code, met)


def meetings(survey: Survey, images: Images, against: Against) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Kind and number of what each record meets; shapes (n,)."""
    kinds, numbers = against.pictures(survey.looked)
    # All records of an image fall with any of its pictures: the strongest meeting counts.
    rank = np.where(kinds == NOTHING, len(KINDS), kinds)
    order = np.lexsort((rank, images.of_picture))
    strongest = order[np.searchsorted(images.of_picture[order], np.arange(len(images)))]
    code, met = np.zeros(len(survey), dtype=np.uint8), np.full(len(survey), NONE, dtype=np.int32)
    said = np.flatnonzero(survey.text != NONE)
    code[said], met[said] = (values[survey.text[said]] for values in survey.met)
    shown = np.flatnonzero(images.of_record != NONE)
    picture = strongest[images.of_record[shown]]
    shown, picture = shown[kinds[picture] != NOTHING], picture[kinds[picture] != NOTHING]
    code[shown], met[shown] = kinds[picture], numbers[picture]
    return code, met


def _contents(survey: Survey, images: Images) -> NDArray[np.uint64]:
    """Image, language and text in one number: odd multipliers mix them."""
    image, lang = (values.astype(np.int64).astype(np.uint64) for values in (images.of_record, survey.lang))
    mixed: NDArray[np.uint64] = survey.raw * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= image * np.uint64(0xC2B2AE3D27D4EB4F) ^ (lang + np.uint64(1)) * np.uint64(0x165667B19E3779F9)
    return mixed ^ (mixed >> np.uint64(29))
