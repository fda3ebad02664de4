"""What an index holds, to the bit, and whether it holds together: for `kills.py`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mella_retrieval.artifacts import MANIFEST
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.manifest import TRAINED

EXACT = ("Flat", "IVF16,Flat")
"""Factory strings of the indexes whose searches are exact."""

K = 10

State = dict[str, Any]


def state(folder: Path, known: Iterable[str]) -> State:
    """A hash of all that an index holds (None where there is none), and the files that it does not name.

    Args:
        folder: of the index.
        known: all ids that it may hold.

    Raises:
        AssertionError: it does not hold together; also every error of opening it.
    """
    stray = sorted(strays(folder))
    if not folder.exists():
        return {"generation": 0, "content": None, "stray": stray}
    index = Index.load(folder)
    index.verify()
    items = [item for number in range(len(index.segments)) for item in living(index, number)]
    ids = [key for key, _, _ in items]
    assert len(set(ids)) == len(ids) == len(index), f"{len(ids)} items, {len(set(ids))} ids, the index says {len(index)}"
    assert index.find(known).keys() == set(ids), "ids are not found by name as they are listed"
    check_search(index, ids, np.stack([vector for _, _, vector in items]))
    digest = hashlib.sha256()
    for key, record, vector in sorted(items, key=lambda item: item[0]):
        digest.update(json.dumps([key, record], sort_keys=True).encode() + vector.tobytes())
    return {"generation": index.manifest.generation, "content": digest.hexdigest(), "stray": stray}


def living(index: Index, number: int) -> Iterator[tuple[str, dict[str, Any], np.ndarray]]:
    """Id, record and vector of the living items of one segment."""
    segment, rows = index.segments[number], np.flatnonzero(index.alive[number])
    return zip(segment.ids(rows.tolist()), segment.records(rows), segment.vectors(rows), strict=True)


def check_search(index: Index, ids: list[str], vectors: np.ndarray) -> None:
    """Hits are items that live, each once, with the scores of their vectors, and the best ones where the search is exact."""
    queries = vectors[:: max(1, len(vectors) // 20)]
    exact = queries @ vectors.T
    row = {key: number for number, key in enumerate(ids)}
    for query, hits in enumerate(index.search(queries, K)):
        found = [row[hit.id] for hit in hits]
        assert len(set(found)) == len(found) == min(K, len(ids)), f"a search brought {len(set(found))} items"
        scores = np.array([hit.score for hit in hits])
        assert np.allclose(scores, exact[query, found], atol=1e-5), "scores are not those of the vectors"
        if index.manifest.recipe.factory in EXACT:
            assert np.allclose(scores, np.sort(exact[query])[::-1][: len(found)], atol=1e-5), "the best were not found"


def strays(folder: Path) -> Iterator[str]:
    """Files in and beside an index that it does not name."""
    named: set[Path] = set()
    if folder.exists():
        manifest = Index.load(folder).manifest
        named = {folder / MANIFEST, folder / TRAINED, *(folder / entry.name for entry in manifest.tombstones)}
        named |= {folder / entry.name / name for entry in manifest.segments for name in entry.files}
    for path in folder.parent.rglob("*"):
        if path.is_file() and path not in named and path != folder.with_name(f".{folder.name}.lock"):
            yield str(path.relative_to(folder.parent))
