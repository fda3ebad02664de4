"""Whatever kills a writer, the index is the old or the new one."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from crashing import crash_everywhere
from index_material import answers, exact_vectors, vector_set

from mella_retrieval.artifacts import writer_lock
from mella_retrieval.errors import ArtifactError, LockedError
from mella_retrieval.indexes.build import build_index
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.manifest import DEEP_LIMIT
from mella_retrieval.indexes.update import add_to_index, delete_from_index


@pytest.mark.parametrize("job", ["build", "rebuild", "add", "delete", "replace", "compact", "merge"])
def test_a_killed_writer_leaves_the_old_or_the_new_index(tmp_path: Path, job: str):
    *crashes, undisturbed = crash_everywhere(Path(__file__).with_name("index_material.py"), job, tmp_path)
    assert len(crashes) >= 2
    old, new = crashes[0]["state"]["answers"], undisturbed["state"]["answers"]
    assert (old != new) == (job != "compact") and (old is None) == (job == "build")  # compaction changes no answer
    for crash in crashes:
        assert crash["state"]["answers"] in (old, new), f"killed before {crash['step']}"
        assert crash["again"]["answers"] == new, f"killed before {crash['step']}"
        if crash["state"]["answers"] == old:  # the second run did all the work, and cleared up
            assert crash["again"]["files"] == undisturbed["state"]["files"], f"killed before {crash['step']}"


def test_two_writers_are_refused(tmp_path: Path):
    first = vector_set(tmp_path / "first", exact_vectors(3), list("abc"))
    second = vector_set(tmp_path / "second", exact_vectors(3), list("def"))
    build_index(first, tmp_path / "index")
    with writer_lock(tmp_path / "index"):
        for write in (
            lambda: build_index(first, tmp_path / "index", overwrite=True),
            lambda: add_to_index(tmp_path / "index", second),
            lambda: delete_from_index(tmp_path / "index", ["a"]),
        ):
            with pytest.raises(LockedError, match="another process"):
                write()


def test_a_reader_that_opens_while_the_index_is_built_anew_sees_one_state(tmp_path: Path):
    sets = [
        vector_set(tmp_path / name, exact_vectors(4, seed), [f"{name}{row}" for row in range(4)])
        for seed, name in enumerate(("old", "new"))
    ]
    build_index(sets[0], tmp_path / "index")
    stop = threading.Event()

    def write() -> None:
        turn = 1
        while not stop.is_set():
            build_index(sets[turn % 2], tmp_path / "index", overwrite=True)
            turn += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(60):
            found = answers(Index.load(tmp_path / "index"), exact_vectors(4, 0), 4)[0]
            assert {key[:3] for key, _ in found} in ({"old"}, {"new"})
    finally:
        stop.set()
        writer.join()


def test_a_full_disk_leaves_the_index_as_it_was(tmp_path: Path, tiny_disk: Path):
    build_index(vector_set(tmp_path / "first", exact_vectors(20), [f"a{row}" for row in range(20)]), tiny_disk / "index")
    large = vector_set(tmp_path / "large", exact_vectors(9000), [f"b{row}" for row in range(9000)])
    for write in (
        lambda: add_to_index(tiny_disk / "index", large),
        lambda: build_index(large, tiny_disk / "index", overwrite=True),
    ):
        with pytest.raises(ArtifactError, match="could not write"):
            write()
        assert len(Index.load(tiny_disk / "index")) == 20
    files = sorted(path.name for path in (tiny_disk / "index").iterdir())
    assert files == ["manifest.json", "segment-000001", "trained.faiss"]
    add_to_index(tiny_disk / "index", vector_set(tmp_path / "small", exact_vectors(5), list("abcde")))
    assert len(Index.load(tiny_disk / "index")) == 25


# Damage ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Two segments and a tombstone."""
    build_index(vector_set(tmp_path / "first", exact_vectors(9), list("abcdefghi")), tmp_path / "index")
    add_to_index(tmp_path / "index", vector_set(tmp_path / "second", exact_vectors(9, 1), list("ABCDEFGHI")))
    delete_from_index(tmp_path / "index", ["c", "D"])
    return tmp_path / "index"


FILES = (
    "segment-000001/vectors.faiss",
    "segment-000002/vectors.faiss",
    "segment-000001/rows.arrow",
    "tombstone-000003.parquet",
)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["cut", "flip", "missing"])
def test_damaged_files_are_named(index: Path, name: str, damage: str):
    data = bytearray((index / name).read_bytes())
    data[len(data) // 2] ^= 1
    (index / name).write_bytes(data[:-7] if damage == "cut" else data)
    if damage == "missing":
        (index / name).unlink()
    with pytest.raises(ArtifactError, match=Path(name).name):
        Index.load(index)


def test_swapped_files_are_noticed(index: Path):
    one, two = (index / f"segment-00000{number}" / "vectors.faiss" for number in (1, 2))
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"segment-000001/vectors\.faiss"):
        Index.load(index)


def test_rows_out_of_step_with_the_vectors_are_noticed_though_the_hashes_agree(index: Path, tmp_path: Path):
    other = build_index(vector_set(tmp_path / "short", exact_vectors(8), list("abcdefgh")), tmp_path / "other")
    manifest = json.loads((index / "manifest.json").read_text())
    for name in ("rows.arrow", "vectors.faiss"):
        file = index / "segment-000001" / name
        kept = file.read_bytes()
        file.write_bytes((other.folder / "segment-000001" / name).read_bytes())
        changed = json.loads(json.dumps(manifest))
        changed["segments"][0]["files"][name] = json.loads((other.folder / "manifest.json").read_text())["segments"][0]["files"][
            name
        ]
        (index / "manifest.json").write_text(json.dumps(changed))
        with pytest.raises(ArtifactError, match=rf"{name} (has|holds) 8 .* its manifest says 9"):
            Index.load(index)
        file.write_bytes(kept)


def test_damaged_manifests_and_other_folders_are_refused(index: Path, tmp_path: Path):
    good = json.loads((index / "manifest.json").read_text())
    for text in ("", "{", json.dumps({**good, "segments": [{}]}), json.dumps({**good, "extra": 1})):
        (index / "manifest.json").write_text(text)
        with pytest.raises(ArtifactError):
            Index.load(index)
    with pytest.raises(ArtifactError, match="kind 'index' is needed"):
        Index.load(tmp_path / "first")
    with pytest.raises(ArtifactError, match="there is no folder"):
        Index.load(tmp_path / "absent")


@pytest.mark.parametrize("place", ["middle", "end"])
def test_of_large_files_opening_looks_at_the_ends_and_verify_at_all(tmp_path: Path, place: str):
    vectors = np.tile(exact_vectors(100), (400, 1))
    build_index(vector_set(tmp_path / "set", vectors, [str(row) for row in range(len(vectors))]), tmp_path / "index")
    path = tmp_path / "index" / "segment-000001" / "vectors.faiss"
    assert path.stat().st_size > DEEP_LIMIT
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if place == "middle" else -3] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"segment-000001/vectors\.faiss does not have the content"):
        Index.load(tmp_path / "index").verify()
    if place == "end":
        with pytest.raises(ArtifactError, match=r"segment-000001/vectors\.faiss does not have the content"):
            Index.load(tmp_path / "index")


def test_only_an_index_is_overwritten(tmp_path: Path):
    vectors = vector_set(tmp_path / "set", exact_vectors(3), list("abc"))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"dear")
    for folder in ("photos", "set"):
        with pytest.raises(ArtifactError):
            build_index(vectors, tmp_path / folder, overwrite=True)
    assert (tmp_path / "photos" / "holiday.jpg").exists() and (tmp_path / "set" / "manifest.json").exists()
    build_index(vectors, tmp_path / "index")
    with pytest.raises(ArtifactError, match="already exists"):
        build_index(vectors, tmp_path / "index")
