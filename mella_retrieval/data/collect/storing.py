"""Candidates on the disk, between the steps of a job: a line of JSON each, packed; the same candidates give the same bytes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from mella_retrieval.artifacts import Json, atomic_write
from mella_retrieval.data.collect.candidates import Candidate
from mella_retrieval.data.collect.filters.step import Picture, Score


@dataclass(frozen=True, slots=True)
class Survivor:
    """A candidate that no filter has removed so far.

    Attributes:
        candidate: as it was found.
        lang: of its text.
        picture: as the filters saw it.
        scores: of all filters that looked.
    """

    candidate: Candidate
    lang: str
    picture: Picture
    scores: Mapping[str, Score] = field(default_factory=dict)


class Lines:
    """Writes lines of JSON."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def add(self, value: Candidate | Survivor) -> None:
        """One line."""
        self._file.write(json.dumps(asdict(value), ensure_ascii=True, separators=(",", ":")).encode() + b"\n")


@contextmanager
def written_lines(path: Path) -> Iterator[Lines]:
    """A file that appears only when it is complete."""
    with atomic_write(path) as file, gzip.GzipFile(filename="", mode="wb", compresslevel=3, fileobj=file, mtime=0) as packed:
        yield Lines(packed)  # type: ignore[arg-type]


def read_candidates(path: Path) -> Iterator[Candidate]:
    """The candidates of a file, in order."""
    return (candidate_of(value) for value in _values(path))


def read_survivors(path: Path) -> Iterator[Survivor]:
    """The survivors of a file, in order."""
    for value in _values(path):
        yield Survivor(candidate_of(value["candidate"]), value["lang"], Picture(**value["picture"]), value["scores"])


def candidate_of(value: Json) -> Candidate:
    """A candidate from its JSON."""
    size: Any = value["declared_size"]
    return Candidate(**{**value, "provenance": tuple(value["provenance"]), "declared_size": tuple(size) if size else None})


def _values(path: Path) -> Iterator[Json]:
    with gzip.open(path, "rb") as file:
        yield from map(json.loads, file)
