"""The first reading: what composing must know of every record, in 50 bytes each, and of every picture and text once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.data.compose.against import Against
from mella_retrieval.data.compose.pictures import Looked, PictureReader
from mella_retrieval.data.compose.sources import Source
from mella_retrieval.data.near.shingles import digests, normal_form
from mella_retrieval.data.near.sketches import TextSketches
from mella_retrieval.data.records import Records, Where
from mella_retrieval.data.seen import SeenKeys
from mella_retrieval.data.writing import Progress
from mella_retrieval.errors import DataError

COLUMNS = ("image_id", "image", "text", "lang", "source", "text_id")
NONE = -1


@dataclass(frozen=True)
class Survey:
    """What stands where. n records, P different pictures (image_id and place), T different texts (in normal form).

    Attributes:
        names: of the sources.
        langs: codes; "" stands for records without a text.
        source: (n,) number in `names`.
        lang: (n,) number in `langs`.
        picture: (n,) number of the picture, `NONE` for text alone.
        text: (n,) number of the text, `NONE` for a picture alone.
        raw: (n,) digest of the text as it stands.
        text_id: (n,) digest of the text_id.
        image_id: (P,) digest of the image_id.
        looked: of the P pictures.
        sketches: of the T texts, if near-equal ones are looked for.
        met: kind and number of what each text meets among the sets to be disjoint from, shapes (T,).
        found: how reading the pictures went.
        sources_before: name -> other values of the column `source` in its records, with their counts.
    """

    names: tuple[str, ...]
    langs: tuple[str, ...]
    source: NDArray[np.uint16]
    lang: NDArray[np.uint16]
    picture: NDArray[np.int32]
    text: NDArray[np.int32]
    raw: NDArray[np.uint64]
    text_id: NDArray[np.uint64]
    image_id: NDArray[np.uint64]
    looked: Looked
    sketches: TextSketches | None
    met: tuple[NDArray[np.uint8], NDArray[np.int32]]
    found: Counter[str]
    sources_before: dict[str, Counter[str]]

    def __len__(self) -> int:
        return len(self.source)


class Surveyor:
    """Reads records folders one after the other; `finish` gives the survey, of `done` records."""

    def __init__(self, images: int | None, texts: float | None, against: Against, workers: int = 4) -> None:
        """Args: as for `Against`."""
        self._sketches = TextSketches(texts) if texts is not None and texts < 1 else None
        self._against = against
        self._reader = PictureReader(look=images is not None, workers=workers)
        self._names: list[str] = []
        self._langs: dict[str, int] = {"": 0}
        self._seen_pictures, self._seen_texts = SeenKeys(), SeenKeys()
        self._columns: dict[str, list[NDArray[Any]]] = {}
        self._looked: list[Looked] = []
        self._met: list[tuple[NDArray[np.uint8], NDArray[np.int32]]] = []
        self._before: dict[str, Counter[str]] = {}
        self.done = 0

    def close(self) -> None:
        """End the threads."""
        self._reader.close()

    def read(self, name: str, records: Records, where: Where, progress: Callable[[int], None] | None = None) -> None:
        """Add a source; `progress` is called with the records read so far, of all sources."""
        number = len(self._names)
        self._names.append(name)
        self._before[name] = Counter()
        for batch in records.batches(4096, columns=list(COLUMNS), where=where):
            rows = {column: batch.column(column).to_pylist() for column in COLUMNS}
            self._before[name].update(value for value in rows["source"] if value not in ("", name))
            self._add("source", np.full(batch.num_rows, number, dtype=np.uint16))
            langs = [self._langs.setdefault(code, len(self._langs)) for code in rows["lang"]]
            self._add("lang", np.array(langs, dtype=np.uint16))
            self._add("text_id", digests(rows["text_id"]))
            self._add_pictures(records, rows["image_id"], rows["image"])
            self._add_texts(rows["text"])
            self.done += batch.num_rows
            if progress is not None:
                progress(self.done)

    def finish(self) -> Survey:
        """What was read."""
        columns = {name: np.concatenate(parts) for name, parts in self._columns.items()}
        kinds, met = (np.concatenate(part) for part in zip(*self._met, strict=True))
        return Survey(
            names=tuple(self._names),
            langs=tuple(self._langs),
            source=columns["source"],
            lang=columns["lang"],
            picture=_numbered(columns["picture"]),
            text=_numbered(columns["text"]),
            raw=columns["raw"],
            text_id=columns["text_id"],
            image_id=columns["image_id"],
            looked=Looked.joined(self._looked),
            sketches=self._sketches,
            met=(kinds, met),
            found=self._reader.found,
            sources_before=self._before,
        )

    def _add(self, name: str, values: NDArray[Any]) -> None:
        self._columns.setdefault(name, []).append(values)

    def _add_pictures(self, records: Records, image_ids: Sequence[str], images: Sequence[str]) -> None:
        places = [records.place_of(image) for image in images]
        keys = digests(f"{image_id}\n{place}" for image_id, place in zip(image_ids, places, strict=True))
        keys = np.where([bool(image_id) for image_id in image_ids], keys, np.uint64(0))
        new = _new(self._seen_pictures, keys)
        self._add("picture", keys)
        self._add("image_id", digests(image_ids[row] for row in new))
        self._looked.append(self._reader.read([places[row] for row in new]))

    def _add_texts(self, texts: Sequence[str]) -> None:
        normal = [normal_form(text) for text in texts]
        keys = np.where([bool(text) for text in texts], digests(normal), np.uint64(0))
        new = [normal[row] for row in _new(self._seen_texts, keys)]
        self._add("text", keys)
        self._add("raw", digests(texts))
        sketched = self._sketches.add(new) if self._sketches is not None else None
        self._met.append(self._against.texts(new, sketched))


def read_sources(
    sources: Sequence[Source], images: int | None, texts: float | None, against: Against, workers: int, progress: Progress | None
) -> Survey:
    """The first reading of all sources; arguments as for `Against`.

    Raises:
        DataError: they hold no record.
    """
    total = sum(len(source.records) for source in sources)
    surveyor = Surveyor(images, texts, against, workers)
    try:
        for source in sources:
            surveyor.read(
                source.name,
                source.records,
                source.where,
                (lambda done: progress(done, total)) if progress is not None else None,
            )
    finally:
        surveyor.close()
    if not surveyor.done:
        raise DataError(f"no record of {', '.join(str(source.records.folder) for source in sources)} passes the filters.")
    return surveyor.finish()


def _new(seen: SeenKeys, keys: NDArray[np.uint64]) -> list[int]:
    """Rows whose key was not seen before, and is none of the zeros that stand for nothing."""
    rows = np.flatnonzero(keys)
    new: list[int] = rows[seen.add([key.tobytes() for key in keys[rows]])].tolist()
    return new


def _numbered(keys: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Numbers in the order of first appearance, `NONE` for 0."""
    numbers = np.full(len(keys), NONE, dtype=np.int32)
    rows = np.flatnonzero(keys)
    _, first, inverse = np.unique(keys[rows], return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    numbers[rows] = rank[inverse.reshape(-1)]
    return numbers
