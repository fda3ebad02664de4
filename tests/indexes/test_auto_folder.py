"""An index that tunes itself is put in its place only when it is tuned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from index_material import vector_set

from mella_retrieval.errors import ArtifactError, ConfigError
from mella_retrieval.indexes.auto.folder import build_tuned
from mella_retrieval.indexes.auto.needs import AutoConfig
from mella_retrieval.indexes.build import build_index
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.recipe import IndexRecipe


def unit(count: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, 16)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def tuned(folder: Path, memory: str | int, queries: np.ndarray | None, **options: bool) -> Index:
    vectors = vector_set(folder / "set", unit(900, 0), [f"v{row}" for row in range(900)])
    recipe = IndexRecipe(factory="auto", auto=AutoConfig(memory=memory, recall=0.9))
    said: list[str] = []
    index = build_tuned(
        vectors,
        folder / "index",
        recipe,
        queries,
        lambda place, by: build_index(vectors, place, by, overwrite=True),
        say=said.append,
        **options,
    )
    assert any(sentence.startswith("chosen: ") for sentence in said) and any("held-out" in sentence for sentence in said)
    return index


def test_recipe_and_curve_are_stored_and_nothing_is_left_beside(tmp_path: Path):
    index = tuned(tmp_path, "45KB", unit(120, 1))
    curve, recipe = index.manifest.curve, index.manifest.recipe
    assert curve is not None and curve.met and curve.recall >= 0.85 and curve.held_out == 60 and len(index) == 900
    assert recipe.factory == curve.factory != "Flat" and recipe.rerank == curve.chosen.get("rerank", 0)
    assert recipe.auto == AutoConfig(memory="45KB", recall=0.9)
    assert {path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")} == {"index", "set"}
    assert Index.load(tmp_path / "index").manifest == index.manifest
    index.verify()


def test_what_was_there_stays_where_no_index_can_be_made(tmp_path: Path):
    old = tuned(tmp_path, "10MB", unit(120, 1))
    for memory, queries, message in ((0, unit(120, 1), "smallest budget"), ("10MB", None, "text vectors")):
        with pytest.raises(ConfigError, match=message):
            tuned(tmp_path, memory, queries, overwrite=True)
    with pytest.raises(ArtifactError, match="already exists"):
        tuned(tmp_path, "10MB", unit(120, 1))
    assert Index.load(tmp_path / "index").manifest == old.manifest


def test_of_many_queries_some_that_are_evenly_spread_suffice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("mella_retrieval.indexes.auto.build.MOST_QUERIES", 60)
    curve = tuned(tmp_path, "10MB", unit(500, 1)).manifest.curve
    assert curve is not None and (curve.tuned_on, curve.held_out) == (30, 30)
