"""Texts in other languages that say what English texts say: parallel sentences, row by row."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mella_retrieval.embeddings.mapped import VectorRows, rows_of
from mella_retrieval.embeddings.sets import Selection
from mella_retrieval.errors import DataError

log = logging.getLogger(__name__)

COLUMN = "english_id"


@dataclass(frozen=True)
class Translations:
    """Translated texts of the English texts at hand.

    Attributes:
        text: (m, d_x), multilingual text tower.
        english_rows: (m,), row of `English` that each one translates.
    """

    text: VectorRows
    english_rows: npt.NDArray[np.int64]

    def of(self, english: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Rows of the translations of some English rows."""
        return np.flatnonzero(np.isin(self.english_rows, english))


def match_translations(texts: Selection, english_ids: list[str], *, in_memory: bool) -> Translations:
    """The translations whose column `english_id` names an English text.

    Raises:
        DataError: no such column, or it names none of them.
    """
    places = {key: row for row, key in enumerate(english_ids)}
    rows = np.array([places.get(str(key), -1) for key in texts.column(COLUMN)], np.int64)
    found = np.flatnonzero(rows >= 0)
    if not len(found):
        raise DataError(f"no {COLUMN} of the {len(rows)} translations in {texts.source.folder} is the id of an English text.")
    if len(found) < len(rows):
        log.warning("%d of %d translations in %s name no English text", len(rows) - len(found), len(rows), texts.source.folder)
    return Translations(rows_of(texts.take(found), in_memory=in_memory), rows[found])
