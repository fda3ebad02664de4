"""The last reading: every record as it is written, or the reason why it is not."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.data.compose.against import KINDS, Against
from mella_retrieval.data.compose.fate import KEPT, NOT_DRAWN, REASONS
from mella_retrieval.data.compose.identity import Images
from mella_retrieval.data.compose.report import Outcome
from mella_retrieval.data.compose.sources import Source, batches
from mella_retrieval.data.compose.splits import SPLITS
from mella_retrieval.data.compose.survey import NONE, Survey
from mella_retrieval.data.near.bands import first_holders
from mella_retrieval.data.near.shingles import digests
from mella_retrieval.data.records import COLUMNS, Note, RawRecord, Rejected, is_url
from mella_retrieval.data.writing import Item

SPLIT = "split"


class Rewriting:
    """The records of some sources as a stream for `write_records`."""

    def __init__(
        self,
        sources: Sequence[Source],
        survey: Survey,
        images: Images,
        outcome: Outcome,
        against: Against,
        places: Mapping[int, str],
        root: Path | None,
    ) -> None:
        """
        Args:
            places: image -> where its picture lies, of images with several pictures.
            root: the folder to which pictures inside it are named relatively.
        """
        self._sources, self._survey, self._images, self._outcome, self._against = sources, survey, images, outcome, against
        self._places = places
        self._root = f"{root}{os.sep}" if root is not None else None
        self._image_ids, self._text_ids = np.unique(survey.image_id), np.unique(survey.text_id)
        kept = np.flatnonzero(outcome.fates.kept)
        self._renamed = set(kept[first_holders(survey.text_id[kept])[1][:, 1]].tolist())

    def items(self, notes: Sequence[str]) -> Iterator[Item]:
        """The notes, then every record or its rejection, in the order of the sources."""
        yield from (Note(text) for text in notes)
        begin = 0
        for source, batch in batches(self._sources):
            for number, row in enumerate(batch.to_pylist(), start=begin):
                yield self._item(source, number, row)
            begin += batch.num_rows

    def _item(self, source: Source, number: int, row: dict[str, Any]) -> Item:
        where = f"{source.name}: {row['text_id']}"
        code = int(self._outcome.fates.code[number])
        if code != KEPT:
            return Rejected(where, f"{REASONS[code]}: {self._why(source, number, code, row)}", row["text"] or row["image_id"])
        image = int(self._images.of_record[number])
        image_id = row["image_id"]
        if image != NONE and self._images.turn[image]:
            turn = int(self._images.turn[image])
            image_id = _free(f"{source.name}:{image_id}" + f":{turn}" * (turn > 1), self._image_ids)
        text_id = _free(f"{source.name}:{row['text_id']}", self._text_ids) if number in self._renamed else row["text_id"]
        return RawRecord(
            image_id=image_id,
            image=self._named(self._places.get(image) or source.records.place_of(row["image"])),
            text=row["text"] or None,
            lang=row["lang"],
            source=source.value,
            text_id=text_id,
            extras={name: value for name, value in row.items() if name not in COLUMNS}
            | {SPLIT: SPLITS[self._outcome.split[number]]},
            where=where,
        )

    def _why(self, source: Source, number: int, code: int, row: dict[str, Any]) -> str:
        if code < len(KINDS):
            return self._against.name(code, int(self._outcome.fates.met[number]))
        return (
            f"more {row['lang']} of {source.name} than its share"
            if code == NOT_DRAWN
            else "picture, language and text stood before"
        )

    def _named(self, place: str) -> str:
        if self._root is None or is_url(place) or not place.startswith(self._root):
            return place
        return place[len(self._root) :]


def _free(name: str, taken: NDArray[np.uint64]) -> str:
    """The name, lengthened until its digest is none of the sorted `taken`."""
    while True:
        digest = digests([name])[0]
        if taken[min(np.searchsorted(taken, digest), len(taken) - 1)] != digest:
            return name
        name += "+"
