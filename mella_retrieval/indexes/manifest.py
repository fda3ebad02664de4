"""The pointer file of an index: everything a reader needs to know, replaced in one rename.

`manifest.json` names the segments and tombstones that count. Files that it does not name do not exist for a reader; adding,
deleting and compacting write new files first and move the pointer last.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, PositiveInt, ValidationError

from mella_retrieval.artifacts import read_manifest, verify_file, write_manifest
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import ArtifactError
from mella_retrieval.recipes import Strict

KIND = "index"
VERSION = 1
ADAPTER = "adapter"
DEEP_LIMIT = 64 << 20
"""Files up to this size are hashed whenever an index is opened; larger ones by `verify` only, so that opening stays instant."""


class IndexRecipe(Strict):
    """How vectors are stored and searched.

    Attributes:
        factory: FAISS factory string (`Flat`, `HNSW32`, `IVF256,Flat`, `OPQ16,IVF256,PQ16` ...); inner product on unit vectors.
        search: FAISS search parameters by name (`efSearch`, `nprobe` ...).
        train_rows: how many vectors a trained index learns from.
    """

    factory: str = "Flat"
    search: dict[str, PositiveInt] = Field(default_factory=dict)
    train_rows: int = Field(default=262_144, ge=1)


class SegmentEntry(Strict):
    """One immutable segment: its folder, rows, and its files with their hashes."""

    name: str
    rows: int
    files: dict[str, dict[str, Any]]


class TombstoneEntry(Strict):
    """One file of deleted ids."""

    name: str
    rows: int
    file: dict[str, Any]


class IndexManifest(Strict):
    """The content of the pointer file.

    Attributes:
        generation: counts the changes; the names of new files carry it.
        recipe: how vectors are stored and searched.
        dim: dimension of the stored (projected) vectors.
        image_tower: the tower that made the image vectors.
        text_tower: the tower for queries, None where texts cannot be searched.
        adapter: fingerprint of the adapter in the folder `adapter`, None where queries need none.
        segments, tombstones: what counts.
    """

    generation: int
    recipe: IndexRecipe
    dim: int
    image_tower: TowerInfo
    text_tower: TowerInfo | None
    adapter: str | None
    segments: list[SegmentEntry]
    tombstones: list[TombstoneEntry]

    @classmethod
    def read(cls, folder: Path) -> IndexManifest:
        """Read the pointer file alone.

        Raises:
            ArtifactError: no index, or a damaged manifest.
        """
        found = read_manifest(folder, KIND, VERSION)
        try:
            return cls.model_validate({key: value for key, value in found.items() if key not in ("kind", "format_version")})
        except ValidationError as error:
            raise ArtifactError(f"the manifest of {folder} is damaged: {error}") from None

    def verify(self, folder: Path, *, deep: bool = False) -> None:
        """Check every named file: its size, and its content if it is small or `deep` is asked for.

        Raises:
            ArtifactError: a file is missing, was cut short or changed.
        """
        for segment in self.segments:
            for name, expected in segment.files.items():
                verify_file(folder / segment.name / name, expected, deep=deep or expected["bytes"] <= DEEP_LIMIT)
        for tombstone in self.tombstones:
            verify_file(folder / tombstone.name, tombstone.file, deep=True)

    def write(self, folder: Path) -> None:
        """Move the pointer: from now on readers that open the index see this state."""
        write_manifest(folder, KIND, VERSION, self.model_dump(mode="json"))
