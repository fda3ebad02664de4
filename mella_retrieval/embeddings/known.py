"""Vectors that were made before: found by the content of their input, so that it need not be embedded again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from mella_retrieval.artifacts import MANIFEST, Json, read_json, verify_file
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import ArtifactError, ConfigError

JOURNAL = "journal.json"

_DIGEST = "S16"


class KnownRows:
    """Stored vectors by the content hash of their input: 24 bytes a row in memory, the vectors stay on disk."""

    def __init__(self) -> None:
        self._shards: list[npt.NDArray[np.floating[Any]]] = []
        self._keys = np.empty(0, _DIGEST)
        self._places = np.empty(0, np.int64)  # shard * 2**32 + row

    @classmethod
    def find(cls, folders: Iterable[Path], tower: TowerInfo, dtype: np.dtype[Any]) -> KnownRows:
        """The rows of finished or abandoned sets that the same tower made, stored at the same precision.

        Raises:
            ArtifactError: a shard was cut short or changed.
        """
        known = cls()
        keys, places = [known._keys], [known._places]
        for folder in folders:
            for stem in _stems_of_same_tower(folder, tower, dtype):
                content = _contents(folder / f"{stem}.parquet")
                keys.append(np.array([_digest(value) for value in content], _DIGEST))
                places.append((len(known._shards) << 32) + np.arange(len(content)))
                known._shards.append(np.load(folder / f"{stem}.npy", mmap_mode="r", allow_pickle=False))
        known._keys, first = np.unique(np.concatenate(keys), return_index=True)
        known._places = np.concatenate(places)[first]
        return known

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, content: object) -> bool:
        return self._place(str(content)) is not None

    def __getitem__(self, content: str) -> npt.NDArray[np.floating[Any]]:
        place = self._place(content)
        if place is None:
            raise KeyError(content)
        vector: npt.NDArray[np.floating[Any]] = self._shards[place >> 32][place & 0xFFFFFFFF]
        return vector

    def _place(self, content: str) -> int | None:
        if not content or not len(self._keys):
            return None
        key = np.array(_digest(content), _DIGEST)
        position = int(np.searchsorted(self._keys, key))
        if position == len(self._keys) or self._keys[position] != key:
            return None
        return int(self._places[position])


def _digest(content: str) -> bytes:
    return bytes.fromhex(content[:32])


def _contents(path: Path) -> list[str]:
    file = pq.ParquetFile(path)
    if "content" not in file.schema_arrow.names:  # imported or computed vectors, not those of an encoder's inputs
        return []
    return list(file.read(columns=["content"])["content"].to_pylist())


def _stems_of_same_tower(folder: Path, tower: TowerInfo, dtype: np.dtype[Any]) -> list[str]:
    made = _made(folder)
    if made is None or made[0] != tower.fingerprint() or made[1] != dtype:
        return []
    for entry in made[2]:
        for name, expected in entry["files"].items():
            verify_file(folder / name, expected, deep=True)
    return [f"part-{shard:05d}" for shard in range(len(made[2]))]


def _made(folder: Path) -> tuple[str, np.dtype[Any], list[Json]] | None:
    """Fingerprint of the tower, stored precision and shards of a finished or abandoned set."""
    found = next((folder / name for name in (MANIFEST, JOURNAL) if (folder / name).is_file()), None)
    if found is None:
        return None
    made = read_json(found)
    try:
        return TowerInfo.from_json(made["tower"]).fingerprint(), np.dtype(made["dtype"]), list(made["shards"])
    except (KeyError, TypeError, ConfigError) as error:
        raise ArtifactError(f"{found} is damaged ({error!r}); remove {folder} to embed everything anew.") from None
