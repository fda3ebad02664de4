"""Indexes written for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from exchange_material import COUNT, DIM, SPEC, captions, pictures
from index_material import TOWER, exact_vectors, vector_set

from mella_retrieval.data.formats.clip_retrieval import ClipRetrievalFolder
from mella_retrieval.errors import ArtifactError, ConfigError, DataError
from mella_retrieval.indexes import exporting
from mella_retrieval.indexes.build import build_index
from mella_retrieval.indexes.exporting import export_index
from mella_retrieval.indexes.importing import import_index
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.library import faiss
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.indexes.scoring.bank import Bank
from mella_retrieval.indexes.scoring.recipe import ScoringRecipe
from mella_retrieval.indexes.update import add_to_index, delete_from_index


@pytest.mark.parametrize("kind", ["Flat", "HNSW16", "IVF8,PQ8x4"])
@pytest.mark.parametrize("changed", [False, True])
def test_what_is_written_answers_the_same_when_it_is_read_again(tmp_path: Path, kind: str, changed: bool):
    vectors = pictures()
    tower = TOWER.model_copy(update={"dim": DIM})
    ids = [f"v{row:04d}" for row in range(COUNT)]
    made = vector_set(tmp_path / "set", vectors, ids, tower, image=[f"{key}.jpg" for key in ids])
    build_index(
        made, tmp_path / "index", IndexRecipe(factory=kind, store="float32", search={"nprobe": 8} if "IVF" in kind else {})
    )
    if changed:
        delete_from_index(tmp_path / "index", ids[:100])
        add_to_index(tmp_path / "index", vector_set(tmp_path / "more", pictures(20, 7), [f"w{row}" for row in range(20)], tower))
    index = Index.load(tmp_path / "index")
    folder = export_index(tmp_path / "index", tmp_path / "out", dtype="float32", faiss_file=True, shard_rows=500)
    written = ClipRetrievalFolder.open(folder)
    assert list(written.image_ids()) == list(index.ids())
    assert pa.concat_tables(written.read_metadata())["image_path"][0].as_py() == f"{ids[100 * changed]}.jpg"
    alone = faiss().read_index(str(folder / "image.index"))
    assert alone.ntotal == len(index) == json.loads((folder / "image.json").read_text())["nb vectors"]
    again = import_index(folder, tmp_path / "again", SPEC)
    ours, theirs = index.search(vectors[100:150], 5), again.search(vectors[100:150], 5)
    if kind == "HNSW16" and changed:  # the graph was built anew
        same = [len(set(one) & set(other)) for one, other in zip(ours.ids, theirs.ids, strict=True)]
        assert sum(same) >= 0.98 * 250
    else:
        assert np.allclose(ours.scores, theirs.scores, atol=1e-6)
    living = zip(index.segments, index.alive, strict=True)
    stored = np.concatenate([segment.vectors(np.flatnonzero(alive)) for segment, alive in living])
    assert np.array_equal(np.concatenate(list(written.read_vectors())), stored)


def test_exports_that_will_not_do(tmp_path: Path):
    build_index(vector_set(tmp_path / "set", exact_vectors(5), list("abcde")), tmp_path / "index")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(ArtifactError, match="not overwritten"):
        export_index(tmp_path / "index", tmp_path / "mine", overwrite=True)
    export_index(tmp_path / "index", tmp_path / "out")
    with pytest.raises(ArtifactError, match="already exists"):
        export_index(tmp_path / "index", tmp_path / "out")
    delete_from_index(tmp_path / "index", ["a"])
    export_index(tmp_path / "index", tmp_path / "out", overwrite=True)
    assert list(ClipRetrievalFolder.open(tmp_path / "out").image_ids()) == list("bcde")
    with pytest.raises(ConfigError, match="memory"):
        export_index(tmp_path / "index", tmp_path / "second", faiss_file=True, memory=1000)
    delete_from_index(tmp_path / "index", list("bcde"))
    with pytest.raises(DataError, match="nothing lives"):
        export_index(tmp_path / "index", tmp_path / "second")
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize("whole", [True, False])
def test_an_index_built_anew_meanwhile_is_not_exported_half_old_half_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
):
    recipe = IndexRecipe(factory="IVF2,Flat")
    build_index(vector_set(tmp_path / "set", exact_vectors(20), [f"v{row}" for row in range(20)]), tmp_path / "index", recipe)
    if not whole:
        delete_from_index(tmp_path / "index", ["v3"])
    other = vector_set(tmp_path / "other", exact_vectors(20, 5), [f"w{row}" for row in range(20)])
    write = exporting.write_clip_retrieval

    def slowly(*values: Any, **named: Any) -> Any:
        build_index(other, tmp_path / "index", recipe, overwrite=True)
        return write(*values, **named)

    monkeypatch.setattr(exporting, "write_clip_retrieval", slowly)
    with pytest.raises(ArtifactError, match=r"image\.index" if whole else r"trained\.faiss"):
        export_index(tmp_path / "index", tmp_path / "out", faiss_file=True)
    assert not (tmp_path / "out").exists()


def test_of_an_index_that_serves_a_correction_the_vectors_alone_are_written(tmp_path: Path):
    vectors = pictures(300)
    tower = TOWER.model_copy(update={"dim": DIM})
    made = vector_set(tmp_path / "set", vectors, [f"v{row:03d}" for row in range(300)], tower)
    recipe = IndexRecipe(scoring=ScoringRecipe(method="csls"))
    build_index(made, tmp_path / "index", recipe, bank=Bank(captions(vectors)))
    folder = export_index(tmp_path / "index", tmp_path / "out", dtype="float32")
    assert np.array_equal(np.concatenate(list(ClipRetrievalFolder.open(folder).read_vectors())), vectors)
    with pytest.raises(ConfigError, match="write the vectors alone"):
        export_index(tmp_path / "index", tmp_path / "second", faiss_file=True)
    assert not (tmp_path / "second").exists()
