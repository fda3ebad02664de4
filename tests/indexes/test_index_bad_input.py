"""Damaged, swapped and impossible input: refused with a sentence that says what and where, before anything changes."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fakes import files_of
from index_material import TOWER, exact_vectors, vector_set

from mella_retrieval.artifacts import write_manifest
from mella_retrieval.embeddings.imports import import_vectors
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.errors import ArtifactError, ConfigError, DataError
from mella_retrieval.indexes.build import build_index
from mella_retrieval.indexes.compact import compact_index
from mella_retrieval.indexes.filters import Filter
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.manifest import FileEntry
from mella_retrieval.indexes.merge import merge_indexes
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.indexes.update import add_to_index, delete_from_index
from mella_retrieval.indexes.writing import Resources

QUERIES = exact_vectors(3, seed=9)
IDS = [f"v{row:03d}" for row in range(60)]


@pytest.fixture(params=["Flat", "HNSW8", "IVF2,Flat", "SQ8", "IVF2,PQ4x4fs", "RaBitQfs"])
def index(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Two segments of 60 and a tombstone; codes with their vectors beside them."""
    folder = tmp_path / "index"
    recipe = IndexRecipe(factory=request.param)
    build_index(vector_set(tmp_path / "first", exact_vectors(60), IDS, n=list(range(60))), folder, recipe)
    add_to_index(folder, vector_set(tmp_path / "second", exact_vectors(60, 1), [f"w{key}" for key in IDS], n=list(range(60))))
    delete_from_index(folder, ["v003", "wv004"])
    return folder


def powers_of_two(size: int) -> list[int]:
    return [0, *(1 << power for power in range(size.bit_length()) if 1 << power < size)]


def test_every_file_cut_at_every_power_of_two_is_named(index: Path):
    for name, content in files_of(index).items():
        if name.endswith(".lock"):
            continue
        for size in powers_of_two(len(content)):
            os.truncate(index / name, size)
            with pytest.raises(ArtifactError, match=name.replace(".", r"\.")):
                Index.load(index)
            (index / name).write_bytes(content)
    Index.load(index).verify()


def resign(index: Path, segment: int, name: str) -> None:
    """Make the manifest agree with whatever the file of a segment holds now."""
    manifest = json.loads((index / "manifest.json").read_text())
    entry = manifest["segments"][segment]
    entry["files"][name] = FileEntry.of(index / entry["name"] / name).model_dump()
    (index / "manifest.json").write_text(json.dumps(manifest))


def test_cut_files_are_named_though_the_hashes_agree(index: Path):
    """FAISS's own files are left out: its memory-mapped reader runs past their end (1.15.1). What their hashes say is all."""
    entry = Index.load(index).manifest.segments[0]
    for name in entry.files.keys() - {"vectors.faiss"}:
        path = index / entry.name / name
        content = path.read_bytes()
        for size in powers_of_two(len(content))[1:]:
            path.write_bytes(content[:size])
            resign(index, 0, name)
            with pytest.raises(ArtifactError, match=name.replace(".", r"\.")):
                Index.load(index)
        path.write_bytes(content)
        resign(index, 0, name)
    assert len(Index.load(index)) == 118


def test_files_of_another_segment_are_noticed(index: Path):
    one, two = Index.load(index).manifest.segments
    for name in one.files:
        pair = (index / one.name / name, index / two.name / name)
        contents = [path.read_bytes() for path in pair]
        assert contents[0] != contents[1]
        for path, content in zip(pair, reversed(contents), strict=True):
            path.write_bytes(content)
        with pytest.raises(ArtifactError, match=rf"{one.name}/{name} (does not have the content|has \d+ bytes)"):
            Index.load(index)
        for path, content in zip(pair, contents, strict=True):
            path.write_bytes(content)
    Index.load(index)


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    build_index(vector_set(tmp_path / "first", exact_vectors(60), IDS, n=list(range(60))), tmp_path / "index")
    return tmp_path / "index"


def test_files_that_are_out_of_step_are_named_though_the_hashes_agree(flat: Path, tmp_path: Path):
    recipe = IndexRecipe(factory="SQ8")
    build_index(vector_set(tmp_path / "a", exact_vectors(60), IDS), tmp_path / "lossy", recipe)
    short = build_index(vector_set(tmp_path / "b", exact_vectors(59), IDS[:59]), tmp_path / "short", recipe)
    for name, told in {
        "rows.arrow": "has 59 rows of id; its manifest says 60",
        "vectors.faiss": "holds 59 vectors of 8 dimensions; its manifest says 60 of 8",
        "lookup.npy": r"holds uint64 \(2, 59\); its manifest says 60 rows",
        "vectors.npy": r"holds float16 \(59, 8\); its manifest says \(60, 8\)",
    }.items():
        path = tmp_path / "lossy" / "segment-000001" / name
        content = path.read_bytes()
        shutil.copy(short.folder / "segment-000001" / name, path)
        resign(tmp_path / "lossy", 0, name)
        with pytest.raises(ArtifactError, match=f"{name} {told}"):
            Index.load(tmp_path / "lossy")
        path.write_bytes(content)
        resign(tmp_path / "lossy", 0, name)
    assert len(Index.load(tmp_path / "lossy")) == 60


def test_files_of_other_formats_are_named(flat: Path):
    for name in ("rows.arrow", "vectors.faiss", "lookup.npy"):
        path = flat / "segment-000001" / name
        content = path.read_bytes()
        path.write_bytes(b"\x93NUMPY but not really " * 40)
        resign(flat, 0, name)
        with pytest.raises(ArtifactError, match=f"{name} cannot be read"):
            Index.load(flat)
        path.write_bytes(content)
        resign(flat, 0, name)


def test_an_index_of_the_first_version_says_what_to_do(flat: Path):
    manifest = json.loads((flat / "manifest.json").read_text())
    write_manifest(flat, "index", 1, {key: value for key, value in manifest.items() if key not in ("kind", "format_version")})
    with pytest.raises(ArtifactError, match=r"an index of an older version: build it again from its vectors \(--overwrite\)"):
        Index.load(flat)
    write_manifest(flat, "index", 3, {key: value for key, value in manifest.items() if key not in ("kind", "format_version")})
    with pytest.raises(ArtifactError, match="version"):
        Index.load(flat)


@pytest.mark.parametrize("memory", [0, -5, 1, 100_000])
def test_a_budget_that_cannot_be_met_names_the_least_that_can(flat: Path, tmp_path: Path, memory: int):
    before = files_of(flat)
    more = vector_set(tmp_path / "more", exact_vectors(5), list("abcde"))
    for write in (
        lambda: build_index(more, flat, overwrite=True, resources=Resources(memory=memory)),
        lambda: build_index(more, tmp_path / "new", resources=Resources(memory=memory)),
        lambda: add_to_index(flat, more, resources=Resources(memory=memory)),
        lambda: compact_index(flat, resources=Resources(memory=memory)),
    ):
        with pytest.raises(ConfigError, match=rf"{memory:,} bytes of memory do not suffice .* [\d,]+ are the least"):
            write()
    assert files_of(flat) == before and not (tmp_path / "new").exists()


def test_a_filter_that_names_no_column_says_which_there_are(flat: Path):
    index = Index.load(flat)
    for where in ("lang == 'hu'", Filter.parse("lang == 'hu'")):
        with pytest.raises(DataError, match=r"asks for the column 'lang', but there is none\. Columns: id, n"):
            index.search(QUERIES, where=where)
    with pytest.raises(DataError, match="'lang'"):
        list(index.ids("lang == 'hu'"))
    with pytest.raises(ConfigError, match="not valid"):
        index.search(QUERIES, where="n ==")
    delete_from_index(flat, IDS)
    with pytest.raises(DataError, match="'lang'"):  # also where nothing is left to look at
        Index.load(flat).search(QUERIES, where="lang == 'hu'")


@pytest.mark.parametrize("k", [61, 1000, 10**9, 2**70])
def test_more_than_there_is_brings_all_there_is(index: Path, k: int):
    opened = Index.load(index)
    found = opened.search(QUERIES, k)
    assert found.scores.shape == (3, min(k, 118)) and all(len(set(ids)) == min(k, 118) for ids in found.ids)
    assert [len(row) for row in opened.search(QUERIES, k, where="n < 7")] == [12] * 3


def test_vectors_that_cannot_be_compared_are_refused_and_change_nothing(flat: Path, tmp_path: Path):
    before = files_of(flat)
    for number, value in enumerate((np.nan, np.inf, 0.0)):
        vectors = exact_vectors(5)
        bad = vector_set(tmp_path / f"bad{number}", vectors, list("abcde"))
        path = bad.folder / "part-00000.npy"
        vectors[3] = value
        np.save(path, vectors)
        bad = EmbeddingSet(bad.folder, bad.manifest)
        with pytest.raises(DataError, match=f"bad{number}"):
            add_to_index(flat, bad)
        with pytest.raises(DataError, match=f"bad{number}"):
            build_index(bad, tmp_path / "new")
        with pytest.raises(DataError, match=f"bad{number}"):
            build_index(bad, flat, overwrite=True)
    opened = Index.load(flat)
    assert len(opened) == 60 and not (tmp_path / "new").exists()
    opened.manifest.clear(flat)
    assert files_of(flat) == before


def test_an_empty_set_is_refused_before_there_is_one(tmp_path: Path):
    nothing = pa.table({"id": pa.array([], pa.string())})
    with pytest.raises(ArtifactError, match="there is nothing to embed"):
        import_vectors(tmp_path / "empty", TOWER, [(np.empty((0, 8), np.float32), nothing)], "key")
    assert not (tmp_path / "empty").exists()


def read_only(path: Path) -> Any:
    """Nothing can be written to this folder, not even by the superuser: there is a file in its place."""
    path.write_text("in the way")
    return path


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    vectors = vector_set(tmp_path / "set", exact_vectors(5), list("abcde"))
    blocked = read_only(tmp_path / "blocked")
    for out in (blocked, blocked / "index"):
        with pytest.raises(ArtifactError, match="blocked"):
            build_index(vectors, out)
    assert blocked.read_text() == "in the way"


def test_a_folder_without_an_index_is_named_by_every_command(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    vectors = vector_set(tmp_path / "set", exact_vectors(5), list("abcde"))
    build_index(vectors, tmp_path / "index")
    for folder in (tmp_path / "absent", tmp_path / "empty", vectors.folder):
        for change in (
            lambda folder=folder: Index.load(folder),
            lambda folder=folder: add_to_index(folder, vectors),
            lambda folder=folder: delete_from_index(folder, ["a"]),
            lambda folder=folder: compact_index(folder),
            lambda folder=folder: merge_indexes(folder, [tmp_path / "index"]),
            lambda folder=folder: merge_indexes(tmp_path / "index", [folder]),
        ):
            with pytest.raises(ArtifactError, match=folder.name):
                change()
    assert not any((tmp_path / "empty").iterdir()) and len(Index.load(tmp_path / "index")) == 5
