"""First pass: the candidates of each part of a job, and how many pictures of a site have each text."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.artifacts import Json, atomic_write, read_json, write_json
from mella_retrieval.data.collect.candidates import Candidate
from mella_retrieval.data.collect.extract import extract
from mella_retrieval.data.collect.pages import Page
from mella_retrieval.data.collect.report import NOTED
from mella_retrieval.data.collect.storing import read_candidates, written_lines
from mella_retrieval.data.collect.units import Unit
from mella_retrieval.data.near.shingles import digests, normal_form
from mella_retrieval.data.records import Note
from mella_retrieval.data.text import excerpt
from mella_retrieval.data.web.fetching import Fetcher

Count = Callable[[int], None]


class Extracted:
    """The candidates of one part, on the disk. Its summary is written last: where it is, all is there.

    Attributes:
        candidates: file of them.
        keys: file of their keys, see `repeats_of`.
        skipped: file of the pages that could not be read.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self._summary = folder / f"{number:05d}.json"
        self.candidates, self.keys, self.skipped = (folder / f"{number:05d}.{kind}" for kind in ("jsonl.gz", "npy", "csv"))

    @property
    def done(self) -> bool:
        """Whether the part is finished."""
        return self._summary.is_file()

    @property
    def summary(self) -> Json:
        """`candidates`, their number; `counts`, of the source; `notes`, on pages and the source -> how often;
        `noted`, (note, where, address of the page, detail) for the first pages of each note.
        """
        return dict(read_json(self._summary))

    def write(self, unit: Unit, fetcher: Fetcher, count: Count) -> None:
        """Read the pages of a part; `count` is told how many candidates more there are."""
        source = unit.pages(fetcher)
        notes: Counter[str] = Counter()
        noted: list[tuple[str, str, str, str]] = []
        keys: set[tuple[int, int]] = set()
        number = 0
        with written_lines(self.candidates) as lines, atomic_write(self.skipped) as skipped:
            for item in source:
                if isinstance(item, Page):
                    found = extract(item)
                    for note in found.notes:  # those of its source among them
                        name, _, detail = note.partition(":")
                        notes[name] += 1
                        if notes[name] <= NOTED:
                            noted.append((name, item.where, item.url, detail.strip()))
                    for candidate in found.candidates:
                        lines.add(candidate)
                        keys.add((_key(candidate), _digest(candidate.image)))
                    number += len(found.candidates)
                    count(len(found.candidates))
                elif isinstance(item, Note):
                    notes[item.text] += 1
                else:
                    skipped.write(csv_row(item.where, item.reason, item.excerpt))
        with atomic_write(self.keys) as file:
            np.save(file, np.array(sorted(keys), dtype=np.uint64).reshape(-1, 2), allow_pickle=False)
        counts = dict(sorted(source.counts.items()))
        summary = {"candidates": number, "counts": counts, "notes": dict(sorted(notes.items())), "noted": noted}
        write_json(self._summary, summary)

    def read(self) -> Iterable[Candidate]:
        """The candidates, in order."""
        return read_candidates(self.candidates)


def repeats_of(parts: Iterable[Extracted]) -> Callable[[Candidate], int]:
    """Candidate -> different picture addresses of its site that have its text; 16 bytes for each while it counts."""
    return repeats_in(np.load(part.keys, allow_pickle=False) for part in parts)


def repeats_among(candidates: Iterable[Candidate]) -> Callable[[Candidate], int]:
    """The same for candidates in memory."""
    keys = {(_key(candidate), _digest(candidate.image)) for candidate in candidates}
    return repeats_in([np.array(sorted(keys), dtype=np.uint64).reshape(-1, 2)])


def repeats_in(arrays: Iterable[NDArray[np.uint64]]) -> Callable[[Candidate], int]:
    """The same from rows of key and picture."""
    rows = np.concatenate([np.zeros((0, 2), dtype=np.uint64), *arrays])
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    different = np.ones(len(rows), dtype=bool)
    different[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    keys, counts = np.unique(rows[different, 0], return_counts=True)
    several: Mapping[int, int] = dict(zip(keys[counts > 1].tolist(), counts[counts > 1].tolist(), strict=True))
    return lambda candidate: several.get(_key(candidate), 1)


def _key(candidate: Candidate) -> int:
    """A site and a text; case, white space and compatibility forms make no difference."""
    return _digest(f"{candidate.site}\n{normal_form(candidate.text)}")


def _digest(text: str) -> int:
    return int(digests([text])[0])


def csv_row(*cells: str) -> bytes:
    """A line of a table, each cell cut to an excerpt."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(map(excerpt, cells))
    return line.getvalue().encode()
