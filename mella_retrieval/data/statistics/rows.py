"""What statistics remember of every record: digests, lengths and the number of its value in each column."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mella_retrieval.data.near.shingles import digests, normal_form
from mella_retrieval.data.records import Records, Where
from mella_retrieval.data.statistics.scripts import has_words, script_shares
from mella_retrieval.data.writing import Progress

SEPARATOR = "|"
"""Between several values of one record, as in the categories of MELLA."""

Mask = NDArray[np.bool_]


@dataclass
class Column:
    """The values of a column: `codes` (records,) number `values`; a null is the value ""."""

    codes: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    values: list[str] = field(default_factory=list)

    def groups(self, parts: bool = False) -> dict[str, Mask]:
        """Value -> which of `values` belong to it; with `parts` a value with `|` belongs to each of its parts."""
        members: dict[str, list[int]] = defaultdict(list)
        for number, value in enumerate(self.values):
            for part in dict.fromkeys(value.split(SEPARATOR) if parts else [value]):
                members[part].append(number)
        return {part: _mask(numbers, len(self.values)) for part, numbers in sorted(members.items())}

    def of(self, value: str) -> Mask:
        """Mask (records,) of the rows with exactly this value."""
        return self.codes == self.values.index(value) if value in self.values else np.zeros(len(self.codes), bool)


@dataclass
class Rows:
    """One entry a record in each array.

    Attributes:
        pictures: digest of the image_id; 0 where there is none (a text corpus).
        texts: digest of the text; 0 where there is none.
        normal: digest of the text in normal form (NFKC, casefold, single spaces): what overlaps between sets are found by.
        pictured: whether a picture is named.
        characters: length of the text in code points.
        words: runs between white space.
        spaced: whether those are words: false in languages whose letters are mostly of a script without spaces.
        columns: `lang`, `source` and those asked for.
        scripts: language -> share of each script among its letters.
    """

    pictures: NDArray[np.uint64]
    texts: NDArray[np.uint64]
    normal: NDArray[np.uint64]
    pictured: Mask
    characters: NDArray[np.int32]
    words: NDArray[np.int32]
    spaced: Mask
    columns: dict[str, Column]
    scripts: dict[str, dict[str, float]]

    def __len__(self) -> int:
        return len(self.texts)


def read_rows(
    records: Records, where: Where | None = None, columns: Sequence[str] = (), progress: Progress | None = None
) -> Rows:
    """Read a record set once, batch by batch.

    Raises:
        DataError: no such column.
    """
    names = list(dict.fromkeys(["lang", "source", *columns]))
    wanted = list(dict.fromkeys(["image_id", "image", "text", *names]))
    codes: dict[str, _Codes] = {name: _Codes() for name in names}
    letters: dict[str, Counter[str]] = defaultdict(Counter)
    blocks: list[tuple[NDArray[Any], ...]] = []
    done = 0
    for batch in records.batches(columns=wanted, where=where):
        blocks.append(_numbers(batch))
        for name in names:
            codes[name].add(batch[name])
        for code in pc.unique(batch["lang"]).to_pylist():
            letters[code].update(_characters(batch["text"].filter(pc.equal(batch["lang"], code)).to_pylist()))
        done += batch.num_rows
        if progress is not None:
            progress(done, 0 if where else len(records))
    pictures, texts, normal, pictured, characters, words = _joined(blocks)
    scripts = {code: script_shares(found) for code, found in sorted(letters.items()) if code}
    found = {name: column.finish() for name, column in codes.items()}
    lang = found["lang"]
    spaced = np.array([has_words(scripts.get(code, {})) for code in lang.values], dtype=bool)
    return Rows(pictures, texts, normal, pictured, characters, words, spaced[lang.codes], found, scripts)


def digests_of(values: Iterable[str]) -> NDArray[np.uint64]:
    """Digests of texts and names, 0 for the empty one."""
    listed = list(values)
    found = digests(listed)
    return np.where(np.array([bool(value) for value in listed], dtype=bool), found, np.uint64(0))


def _numbers(batch: pa.RecordBatch) -> tuple[NDArray[Any], ...]:
    texts = batch["text"].to_pylist()
    words = pc.list_value_length(pc.utf8_split_whitespace(pc.utf8_trim_whitespace(batch["text"])))
    return (
        digests_of(batch["image_id"].to_pylist()),
        digests_of(texts),
        digests_of([normal_form(text) for text in texts]),
        pc.not_equal(batch["image"], "").to_numpy(zero_copy_only=False),
        pc.utf8_length(batch["text"]).to_numpy(zero_copy_only=False).astype(np.int32),
        words.to_numpy(zero_copy_only=False).astype(np.int32),
    )


def _characters(texts: list[str]) -> dict[str, int]:
    """How often each character occurs; a histogram of code points takes a tenth of the time of a Counter."""
    points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    counts = np.bincount(points)
    return {chr(point): int(counts[point]) for point in np.flatnonzero(counts)}


def _joined(blocks: list[tuple[NDArray[Any], ...]]) -> list[NDArray[Any]]:
    kinds = (np.uint64, np.uint64, np.uint64, np.bool_, np.int32, np.int32)
    return [
        np.concatenate([np.zeros(0, kind), *(block[place] for block in blocks)]).astype(kind) for place, kind in enumerate(kinds)
    ]


class _Codes:
    """Numbers the values of a column as they come."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._blocks: list[NDArray[np.int32]] = [np.zeros(0, np.int32)]

    def add(self, values: pa.Array) -> None:
        encoded = pc.dictionary_encode(values, null_encoding="encode")
        names = ["" if value is None else str(value) for value in encoded.dictionary.to_pylist()]
        numbers = np.array([self._numbers.setdefault(name, len(self._numbers)) for name in names], dtype=np.int32)
        self._blocks.append(numbers[encoded.indices.to_numpy(zero_copy_only=False)])

    def finish(self) -> Column:
        return Column(np.concatenate(self._blocks), list(self._numbers))


def _mask(numbers: list[int], length: int) -> Mask:
    mask = np.zeros(length, dtype=bool)
    mask[numbers] = True
    return mask
