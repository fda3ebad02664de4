"""The sets that must not be met: benchmarks, whose pictures and texts have no place in what is trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.data.compose.pictures import UNKNOWN, Looked, PictureReader
from mella_retrieval.data.near.images import image_matches
from mella_retrieval.data.near.shingles import normal_form
from mella_retrieval.data.near.texts import KnownTexts
from mella_retrieval.data.records import Records

NOTHING, SAME_PICTURE, LIKE_PICTURE, SAME_TEXT, LIKE_TEXT = range(5)
KINDS = ("", "benchmark picture", "picture like a benchmark's", "benchmark text", "text like a benchmark's")
"""In words, by code; the strongest first."""


class Against:
    """Pictures and texts of some records folders. Memory: their texts and ids; they are benchmarks, not collections."""

    def __init__(self, sets: Sequence[Records], images: int | None, texts: float | None, workers: int = 4) -> None:
        """
        Args:
            sets: the records folders.
            images: bits in which the hashes of like pictures may differ; None: only equal files count.
            texts: similarity of near-equal texts; None: texts are not compared.
            workers: threads that read pictures.
        """
        self._distance = images
        self._texts = KnownTexts(texts) if texts is not None else None
        self._text_names: list[str] = []
        self._picture_names: list[str] = []
        self.notes: list[str] = []
        reader = PictureReader(look=images is not None, workers=workers)
        try:
            self._pictures = Looked.joined([self._read(records, reader) for records in sets])
        finally:
            reader.close()

    def _read(self, records: Records, reader: PictureReader) -> Looked:
        images = records.images()
        looked = reader.read([records.place_of(image) for image in images["image"].to_pylist()])
        self._picture_names += [f"{image_id} of {records.folder}" for image_id in images["image_id"].to_pylist()]
        if not (looked.content != UNKNOWN).any():
            self.notes.append(f"{records.folder} has no picture files here: its pictures were compared by URL or not at all.")
        if self._texts is not None:
            for batch in records.batches(columns=["text", "text_id"]):
                for text, text_id in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    if text and self._texts.add(normal_form(text)) == len(self._text_names):
                        self._text_names.append(f"{text_id} of {records.folder}")
        return looked

    def texts(self, normal: Sequence[str], keys: NDArray[np.uint32] | None) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Which texts are met.

        Args:
            normal: texts in normal form.
            keys: their band keys at the same similarity, shape (n, bands), if they are at hand.

        Returns:
            Kind of meeting, and the number of what was met; shapes (n,).
        """
        kinds, met = np.zeros(len(normal), dtype=np.uint8), np.full(len(normal), -1, dtype=np.int32)
        for row, text in enumerate(normal if self._texts is not None else ()):
            assert self._texts is not None
            found = self._texts.find(text, None if keys is None else keys[row])
            if found is not None:
                kinds[row], met[row] = (SAME_TEXT if self._texts.holds(text) else LIKE_TEXT), found
        return kinds, met

    def pictures(self, looked: Looked) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Which pictures are met; results as for `texts`."""
        kinds, met = np.zeros(len(looked.look), dtype=np.uint8), np.full(len(looked.look), -1, dtype=np.int32)
        found = image_matches(looked.look, self._pictures.look, self._distance) if self._distance is not None else met
        near = found >= 0
        kinds[near], met[near] = LIKE_PICTURE, found[near]
        for own, others in ((looked.place, self._pictures.place), (looked.content, self._pictures.content)):
            rows, first = _equal(own, others)
            kinds[rows], met[rows] = SAME_PICTURE, first
        return kinds, met

    def name(self, kind: int, number: int) -> str:
        """What was met, in words."""
        return (self._picture_names if kind in (SAME_PICTURE, LIKE_PICTURE) else self._text_names)[number]


def _equal(own: NDArray[np.uint64], others: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows whose key is known among the others, and the first row there that has it."""
    unique, first = np.unique(others, return_index=True)
    if not len(unique):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    place = np.minimum(np.searchsorted(unique, own), len(unique) - 1)
    rows = np.flatnonzero((unique[place] == own) & (own != UNKNOWN))
    return rows, first[place[rows]]
