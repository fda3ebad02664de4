"""The pointer file of an index: everything a reader needs to know, replaced in one rename.

`manifest.json` names the segments and tombstones that count. Files that it does not name do not exist for a reader; adding,
deleting and compacting write new files first and move the pointer last.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from mella_retrieval.artifacts import read_manifest, remove_leftovers, sha256_file, verify_file, write_manifest
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import ArtifactError
from mella_retrieval.indexes.auto.curve import Curve
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.recipes import Strict

KIND = "index"
VERSION = 2
ADAPTER = "adapter"
TRAINED = "trained.faiss"
CENTRING = "centring"
BANK = "scoring/bank.npy"
DEEP_LIMIT = 1 << 20
"""Files up to this size are hashed whenever an index is opened; of larger ones the two ends, so that opening stays instant."""

EDGE = 1 << 16
"""Bytes at each end."""


class FileEntry(Strict):
    """What the manifest knows of a file.

    Attributes:
        bytes: its size.
        sha256: hash of its content.
        edges: hash of its first and last 64 KiB, compared at every opening: a file that was swapped for another of the same
            size is noticed without reading gigabytes.
    """

    bytes: int
    sha256: str
    edges: str

    @classmethod
    def of(cls, path: Path) -> FileEntry:
        """Describe a file that lies on disk."""
        return cls(bytes=path.stat().st_size, sha256=sha256_file(path), edges=_edges(path))

    def verify(self, path: Path, *, deep: bool) -> None:
        """Compare a file with what is known of it.

        Raises:
            ArtifactError: it is missing, was cut short or changed.
        """
        verify_file(path, {"bytes": self.bytes, "sha256": self.sha256}, deep=deep or self.bytes <= DEEP_LIMIT)
        if _edges(path) != self.edges:
            raise ArtifactError(f"{path} does not have the content that its manifest lists: it is corrupted or changed.")


def _edges(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(EDGE))
        file.seek(-min(EDGE, path.stat().st_size), os.SEEK_END)
        digest.update(file.read(EDGE))
    return digest.hexdigest()


class SegmentEntry(Strict):
    """One immutable segment: its folder, rows, and its files."""

    name: str
    rows: int
    files: dict[str, FileEntry]


class TombstoneEntry(Strict):
    """One file of deleted rows."""

    name: str
    rows: int
    file: FileEntry


class ScoringEntry(Strict):
    """A hubness correction that the index serves.

    Attributes:
        method, options: as in `scoring.methods.SCORING`.
        place: whether the biases lie in the vectors that FAISS searches (`fold`) or only in the stored ones (`rerank`).
        offset: taken from every stored bias, given back in the scores.
        scale: what the biases are multiplied by where they are stored; the queries undo it.
        columns: of a vector that carries its bias.
        transductive: whether the reference queries were those of a test.
        bank: the file of the reference queries.
    """

    method: str
    options: dict[str, int | float]
    place: Literal["fold", "rerank"]
    offset: float
    scale: float
    columns: int
    transductive: bool
    bank: FileEntry


class CentringEntry(Strict):
    """Language means in the folder `centring`: their fingerprint, and the languages that texts are moved to."""

    fingerprint: str
    to: list[str]


class IndexManifest(Strict):
    """The content of the pointer file.

    Attributes:
        generation: counts the changes; the names of new files carry it.
        recipe: how vectors are stored and searched.
        dim: dimension of the queries.
        image_tower: the tower that made the image vectors.
        text_tower: the tower for queries, None where texts cannot be searched.
        adapter: fingerprint of the adapter in the folder `adapter`, None where queries need none.
        trained: the FAISS index without vectors, but with all it learnt: new segments begin as a copy of it.
        scoring: the hubness correction of its searches, None for plain cosines.
        centring: how texts are centred by language, None where they stay where they are.
        segments, tombstones: what counts.
        curve: how the search parameters were tuned, where they were.
    """

    generation: int
    recipe: IndexRecipe
    dim: int
    image_tower: TowerInfo
    text_tower: TowerInfo | None
    adapter: str | None
    trained: FileEntry
    scoring: ScoringEntry | None = None
    centring: CentringEntry | None = None
    segments: list[SegmentEntry] = Field(default_factory=list)
    tombstones: list[TombstoneEntry] = Field(default_factory=list)
    curve: Curve | None = None

    @property
    def stored_dim(self) -> int:
        """Columns of the vectors with all that they carry."""
        return self.scoring.columns if self.scoring else self.dim

    @property
    def faiss_dim(self) -> int:
        """Columns of the vectors that FAISS searches."""
        return self.stored_dim if self.scoring and self.scoring.place == "fold" else self.dim

    @classmethod
    def read(cls, folder: Path) -> IndexManifest:
        """Read the pointer file alone.

        Raises:
            ArtifactError: no index, a damaged manifest, or one of an older version.
        """
        found = read_manifest(folder, KIND, VERSION)
        if found["format_version"] < VERSION:
            raise ArtifactError(f"{folder} is an index of an older version: build it again from its vectors (--overwrite).")
        try:
            return cls.model_validate({key: value for key, value in found.items() if key not in ("kind", "format_version")})
        except ValidationError as error:
            raise ArtifactError(f"the manifest of {folder} is damaged: {error}") from None

    def verify(self, folder: Path, *, deep: bool = False) -> None:
        """Check every named file: its size and its ends, and its whole content if it is small or `deep` is asked for.

        Raises:
            ArtifactError: a file is missing, was cut short or changed.
        """
        self.trained.verify(folder / TRAINED, deep=deep)
        if self.scoring is not None:
            self.scoring.bank.verify(folder / BANK, deep=deep)
        for segment in self.segments:
            for name, expected in segment.files.items():
                expected.verify(folder / segment.name / name, deep=deep)
        for tombstone in self.tombstones:
            tombstone.file.verify(folder / tombstone.name, deep=deep)

    def write(self, folder: Path) -> None:
        """Move the pointer: from now on readers that open the index see this state."""
        write_manifest(folder, KIND, VERSION, self.model_dump(mode="json"))

    def clear(self, folder: Path) -> None:
        """Remove what the pointer does not name: left by killed writers, or no longer needed.

        To be called only by who holds the writer's lock. Readers that have such files open keep them.
        """
        remove_leftovers(folder)
        named = {*(entry.name for entry in self.segments), *(entry.name for entry in self.tombstones)}
        for path in [*folder.glob("segment-*"), *folder.glob("tombstone-*")]:
            if path.name not in named:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
