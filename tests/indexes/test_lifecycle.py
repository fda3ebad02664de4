"""Replacing, several segments, compaction, merging: what an index of a long life holds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes import files_of
from index_material import TOWER, answers, brute_force, exact_vectors, vector_set

from mella_retrieval.artifacts import writer_lock
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.errors import ArtifactError, ConfigError, DataError, LockedError, MismatchError
from mella_retrieval.indexes import merge
from mella_retrieval.indexes.build import Projection, build_index
from mella_retrieval.indexes.compact import compact_index
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.merge import merge_indexes
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.indexes.update import add_to_index, delete_from_index
from mella_retrieval.indexes.writing import Resources

QUERIES = exact_vectors(12, seed=9)


def with_content(folder: Path, vectors: np.ndarray, ids: list[str], contents: list[str | None]) -> EmbeddingSet:
    """A set that knows what its vectors were made from, as `mella embed` writes it."""
    import pyarrow as pa

    from mella_retrieval.embeddings.writing import EmbeddingWriter, Shard

    writer = EmbeddingWriter(folder, TOWER, {"dtype": "float32", "tokens": False, "job": [*ids, *contents]})
    writer.open()
    writer.add(Shard(vectors, {"id": pa.array(ids), "content": pa.array(contents, pa.string())}), len(ids))
    return writer.finish()


def bytes_of(index: Path) -> dict[str, bytes]:
    """What a reader could see of an index: all files that its pointer names, and the pointer."""
    manifest = Index.load(index).manifest
    named = ("manifest.json", "trained.faiss", *(entry.name for entry in [*manifest.segments, *manifest.tombstones]))
    return {name: content for name, content in files_of(index).items() if name.split("/")[0] in named}


# Adding again ---------------------------------------------------------------------------------------------------------


def test_what_is_there_with_the_same_content_is_passed_over(tmp_path: Path):
    vectors = exact_vectors(8)
    build_index(with_content(tmp_path / "set", vectors[:4], list("abcd"), list("1234")), tmp_path / "index")
    before = files_of(tmp_path / "index")
    again = with_content(tmp_path / "again", vectors[4:], list("badc"), list("2143"))  # other vectors: they are not looked at
    index = add_to_index(tmp_path / "index", again)
    assert files_of(tmp_path / "index") == before and index.manifest.generation == 1
    more = with_content(tmp_path / "more", vectors[4:7], ["b", "x", "d"], ["2", "9", "4"])
    index = add_to_index(tmp_path / "index", more)
    items = {**dict(zip("abcd", vectors, strict=False)), "x": vectors[5]}
    assert answers(index, QUERIES, 9) == brute_force(items, QUERIES, 9)
    assert index.segments[1].rows == 1


def test_changed_content_is_refused_or_replaced_in_one_step(tmp_path: Path):
    vectors = exact_vectors(8)
    build_index(with_content(tmp_path / "set", vectors[:4], list("abcd"), list("1234")), tmp_path / "index")
    changed = with_content(tmp_path / "changed", vectors[4:8], list("aebf"), ["1", "5", "7", "6"])
    before = bytes_of(tmp_path / "index")
    with pytest.raises(DataError, match=r"the id 'b' is in .* already, one of 1 such: delete or replace"):
        add_to_index(tmp_path / "index", changed)
    assert bytes_of(tmp_path / "index") == before
    index = add_to_index(tmp_path / "index", changed, replace=True)
    assert index.manifest.generation == 2  # one step: no reader saw b missing or twice
    items = {"a": vectors[0], "b": vectors[6], "c": vectors[2], "d": vectors[3], "e": vectors[5], "f": vectors[7]}
    assert answers(index, QUERIES, 9) == brute_force(items, QUERIES, 9)
    assert index.find("b") == {"b": (1, 1)} and len(index) == 6
    assert index.contents(index.find("ab")) == {"a": "1", "b": "7"}
    assert answers(compact_index(tmp_path / "index"), QUERIES, 9) == brute_force(items, QUERIES, 9)


@pytest.mark.parametrize("known", [(True, False), (False, True), (False, False)])
def test_an_id_whose_content_one_side_does_not_know_counts_as_changed(tmp_path: Path, known: tuple[bool, bool]):
    vectors = exact_vectors(4)
    sets = [
        with_content(tmp_path / f"set{turn}", vectors[2 * turn :][:2], ["a", "b"], ["1", "2"] if knows else [None, None])
        for turn, knows in enumerate(known)
    ]
    build_index(sets[0], tmp_path / "index")
    with pytest.raises(DataError, match=r"the id 'a' is in .* already, one of 2 such"):
        add_to_index(tmp_path / "index", sets[1])
    index = add_to_index(tmp_path / "index", sets[1], replace=True)
    assert answers(index, QUERIES, 3) == brute_force(dict(zip("ab", vectors[2:], strict=True)), QUERIES, 3)


def test_what_was_deleted_can_be_added_again(tmp_path: Path):
    vectors = exact_vectors(4)
    first = with_content(tmp_path / "set", vectors[:2], ["a", "b"], ["1", "2"])
    build_index(first, tmp_path / "index")
    for _ in range(3):
        delete_from_index(tmp_path / "index", ["a"])
        index = add_to_index(tmp_path / "index", first)
        assert answers(index, QUERIES, 3) == brute_force(dict(zip("ab", vectors, strict=False)), QUERIES, 3)
    assert len(index.segments) == 4 and len(compact_index(tmp_path / "index").segments) == 1


def test_an_id_that_comes_twice_changes_nothing(tmp_path: Path):
    vectors = exact_vectors(6)
    build_index(vector_set(tmp_path / "set", vectors[:2], ["a", "b"]), tmp_path / "index")
    before = bytes_of(tmp_path / "index")
    for replace in (False, True):
        twice = with_content(tmp_path / f"twice{replace}", vectors[:3], ["x", "y", "x"], ["1", "2", "3"])
        with pytest.raises(DataError, match="the id 'x' is there twice"):
            add_to_index(tmp_path / "index", twice, replace=replace)
        assert bytes_of(tmp_path / "index") == before
    add_to_index(tmp_path / "index", vector_set(tmp_path / "more", vectors[2:3], ["c"]))
    assert sorted(path.name for path in (tmp_path / "index").glob("segment-*")) == ["segment-000001", "segment-000002"]


# Several segments -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factory", ["Flat", "IVF8,Flat"])
def test_several_segments_answer_as_one(tmp_path: Path, factory: str):
    rows = 36_000
    ids = [f"v{(row * 7919) % 100_003:06d}" for row in range(rows)]
    vectors = vector_set(tmp_path / "set", exact_vectors(2000)[np.arange(rows) % 2000], ids, n=list(range(rows)))
    recipe = IndexRecipe(factory=factory, search={"nprobe": 8} if "IVF" in factory else {})
    with pytest.raises(
        ConfigError, match=r"1,000 bytes of memory do not suffice to build this index: [\d,]+ are the least"
    ) as told:
        build_index(vectors, tmp_path / "many", recipe, resources=Resources(memory=1000))
    least = int(str(told.value).split(": ")[1].split(" are")[0].replace(",", ""))
    counted: list[int] = []
    many = build_index(vectors, tmp_path / "many", recipe, resources=Resources(memory=least, progress=counted.append))
    one = build_index(vectors, tmp_path / "one", recipe, resources=Resources(memory=10 * least))
    assert len(many.segments) == 3 and len(one.segments) == 1 and sum(counted) == rows
    assert {segment.rows for segment in many.segments[:2]} == {16_384}
    for where in (None, "n < 20000", "n == 30000", "n < 0"):
        found, expected = many.search(QUERIES, 40, where=where), one.search(QUERIES, 40, where=where)
        assert found.ids == expected.ids and np.array_equal(found.scores, expected.scores)
        assert found.records(3) == expected.records(3)
    assert list(many.ids()) == list(one.ids()) == ids
    delete_from_index(tmp_path / "many", ids[::2])
    with pytest.raises(ConfigError, match="do not suffice"):
        compact_index(tmp_path / "many", resources=Resources(memory=least - 1))
    half = compact_index(tmp_path / "many", resources=Resources(memory=least))
    assert [segment.rows for segment in half.segments] == [16_384, rows // 2 - 16_384]
    assert list(half.ids()) == ids[1::2]
    assert half.search(QUERIES, 20).ids == delete_from_index(tmp_path / "one", ids[::2]).search(QUERIES, 20).ids


# Compaction -----------------------------------------------------------------------------------------------------------


def test_compaction_keeps_the_records_of_all_segments(tmp_path: Path):
    vectors = exact_vectors(6)
    build_index(vector_set(tmp_path / "a", vectors[:2], ["a", "b"], caption=["A", "B"], n=[1, 2]), tmp_path / "index")
    add_to_index(tmp_path / "index", vector_set(tmp_path / "c", vectors[2:4], ["c", "d"], year=[3, None], n=[0.5, 4.0]))
    add_to_index(tmp_path / "index", vector_set(tmp_path / "e", vectors[4:], ["e", "f"]))
    delete_from_index(tmp_path / "index", ["b"])
    index = compact_index(tmp_path / "index")
    found = index.search(QUERIES[:1], 9)
    records = dict(zip(found.ids[0], found.records(0), strict=True))
    rows = {"a": ("A", None, 1.0), "c": (None, 3, 0.5), "d": (None, None, 4.0), "e": (None,) * 3, "f": (None,) * 3}
    assert records == {key: {"id": key, "caption": caption, "year": year, "n": n} for key, (caption, year, n) in rows.items()}
    assert sorted(index.ids("year == None and n != None")) == ["a", "d"]
    files = sorted(path.name for path in (tmp_path / "index").iterdir() if path.suffix != ".lock")
    assert files == ["manifest.json", "segment-000005", "trained.faiss"]


def test_compaction_with_nothing_to_gain_changes_nothing(tmp_path: Path):
    build_index(vector_set(tmp_path / "a", exact_vectors(6), list("abcdef")), tmp_path / "index")
    before = files_of(tmp_path / "index")
    assert len(compact_index(tmp_path / "index")) == 6
    assert files_of(tmp_path / "index") == before


@pytest.mark.parametrize("factory", ["SQ8", "IVF4,RaBitQ"])
def test_codes_alone_are_not_compacted(tmp_path: Path, factory: str):
    ids = [f"{row:03d}" for row in range(200)]
    build_index(
        vector_set(tmp_path / "a", exact_vectors(200), ids), tmp_path / "index", IndexRecipe(factory=factory, store="none")
    )
    delete_from_index(tmp_path / "index", ids[:9])
    before = bytes_of(tmp_path / "index")
    with pytest.raises(ConfigError, match=f"keeps only the codes of {factory} .*build it again from its vectors"):
        compact_index(tmp_path / "index")
    assert bytes_of(tmp_path / "index") == before


# Merging --------------------------------------------------------------------------------------------------------------


def test_merging_takes_over_the_living_of_several_indexes(tmp_path: Path):
    vectors = exact_vectors(12)
    for number, keys in enumerate(("abcd", "efgh", "aijk")):
        part = vector_set(tmp_path / f"set{number}", vectors[4 * number :][:4], list(keys), turn=[number] * 4)
        build_index(part, tmp_path / f"index{number}")
    delete_from_index(tmp_path / "index0", ["a", "d"])  # so that the other's a may come
    delete_from_index(tmp_path / "index1", ["e"])
    add_to_index(tmp_path / "index1", vector_set(tmp_path / "e", vectors[:1], ["e"], turn=[5]))  # e lives again, elsewhere
    others = [tmp_path / "index1", tmp_path / "index2"]
    before = [files_of(other) for other in others]
    index = merge_indexes(tmp_path / "index0", others)
    items = {**dict(zip("abcdefghaijk", vectors, strict=True)), "e": vectors[0]}
    del items["d"]
    index.verify()
    for opened in (index, compact_index(tmp_path / "index0")):
        assert answers(opened, QUERIES, 20) == brute_force(items, QUERIES, 20)
        assert sorted(opened.ids("turn == 2")) == ["a", "i", "j", "k"] and list(opened.ids("turn == 5")) == ["e"]
    assert [files_of(other) for other in others] == before


def test_what_does_not_belong_together_is_not_merged_and_nothing_changes(tmp_path: Path):
    vectors, ids = exact_vectors(40), [f"v{row:02d}" for row in range(40)]
    first = vector_set(tmp_path / "first", vectors, ids)
    second = vector_set(tmp_path / "second", vectors, [f"w{key}" for key in ids])
    (tmp_path / "adapter").mkdir()
    turned = Projection(lambda block: block[:, ::-1], 8, tmp_path / "adapter", "1" * 64)
    other_tower = vector_set(
        tmp_path / "third", vectors, [f"x{key}" for key in ids], TOWER.model_copy(update={"weights": "c" * 64})
    )
    build_index(first, tmp_path / "index")
    build_index(second, tmp_path / "fits")
    build_index(vector_set(tmp_path / "fourth", vectors[:1], ["v07"]), tmp_path / "clash")
    build_index(second, tmp_path / "hnsw", IndexRecipe(factory="HNSW8"))
    build_index(second, tmp_path / "adapted", projection=turned)
    build_index(other_tower, tmp_path / "tower")
    (tmp_path / "link").symlink_to(tmp_path / "index")
    before = bytes_of(tmp_path / "index")
    for names, error, message in (
        (["clash"], DataError, r"1 ids are in .*index and in .*clash, the first is 'v07'"),
        (["fits", "fits"], DataError, r"40 ids are in .*fits and in .*fits"),
        (["fits", "hnsw"], MismatchError, r"index is Flat with 8 dimensions, .*hnsw is HNSW8 with 8"),
        (["adapted"], MismatchError, "different adapters"),
        (["tower"], MismatchError, "aaaaaaaaaaaa.* cccccccccccc"),
        (["index"], MismatchError, "cannot be merged with itself"),
        (["link"], MismatchError, "cannot be merged with itself"),
    ):
        with pytest.raises(error, match=message):
            merge_indexes(tmp_path / "index", [tmp_path / name for name in names])
        assert bytes_of(tmp_path / "index") == before
    assert len(merge_indexes(tmp_path / "index", [])) == 40
    assert bytes_of(tmp_path / "index") == before
    assert len(merge_indexes(tmp_path / "index", [tmp_path / "fits"])) == 80


def test_indexes_that_keep_their_vectors_differently_are_not_merged(tmp_path: Path):
    first = vector_set(tmp_path / "first", exact_vectors(40), [f"v{row}" for row in range(40)])
    second = vector_set(tmp_path / "second", exact_vectors(40, 1), [f"w{row}" for row in range(40)])
    build_index(first, tmp_path / "index", IndexRecipe(factory="SQ8", rerank=10))
    build_index(second, tmp_path / "codes", IndexRecipe(factory="SQ8", store="none"))
    build_index(second, tmp_path / "exact", IndexRecipe(factory="SQ8", store="float32"))
    build_index(second, tmp_path / "fits", IndexRecipe(factory="SQ8"))
    for other in ("codes", "exact"):
        with pytest.raises(MismatchError, match=r"keep their vectors differently \(store\)"):
            merge_indexes(tmp_path / "index", [tmp_path / other])
    assert len(merge_indexes(tmp_path / "index", [tmp_path / "fits"])) == 80


def test_indexes_merged_together_have_to_go_together(tmp_path: Path):
    build_index(vector_set(tmp_path / "set", exact_vectors(1), ["a"]), tmp_path / "index")  # it has no year itself
    build_index(vector_set(tmp_path / "numbers", exact_vectors(1, 1), ["b"], year=[2010]), tmp_path / "first")
    build_index(vector_set(tmp_path / "texts", exact_vectors(1, 2), ["c"], year=["2011"]), tmp_path / "second")
    before = bytes_of(tmp_path / "index")
    with pytest.raises(DataError, match=r"do not go together.*year"):
        merge_indexes(tmp_path / "index", [tmp_path / "first", tmp_path / "second"])
    assert bytes_of(tmp_path / "index") == before


def test_an_index_that_changes_while_it_is_merged_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    build_index(vector_set(tmp_path / "first", exact_vectors(3), list("abc")), tmp_path / "index")
    build_index(vector_set(tmp_path / "second", exact_vectors(3, 1), list("def")), tmp_path / "other")
    monkeypatch.setattr(merge, "_refuse_shared", lambda *_: shutil.rmtree(tmp_path / "other" / "segment-000001"))
    with pytest.raises(ArtifactError, match=r"other was changed while it was read; run the command again"):
        merge_indexes(tmp_path / "index", [tmp_path / "other"])
    assert len(Index.load(tmp_path / "index")) == 3


def test_a_column_of_another_kind_is_refused_before_it_spoils_the_index(tmp_path: Path):
    build_index(vector_set(tmp_path / "first", exact_vectors(2), ["a", "b"], year=[2010, 2011]), tmp_path / "index")
    texts = vector_set(tmp_path / "texts", exact_vectors(1), ["c"], year=["2012"])
    build_index(texts, tmp_path / "other")
    before = bytes_of(tmp_path / "index")
    for change in (
        lambda: add_to_index(tmp_path / "index", texts),
        lambda: merge_indexes(tmp_path / "index", [tmp_path / "other"]),
    ):
        with pytest.raises(DataError, match=r"columns of the records do not go together.*year"):
            change()
        assert bytes_of(tmp_path / "index") == before
    # Whole numbers and fractions go together, as far as fractions can hold the numbers.
    add_to_index(tmp_path / "index", vector_set(tmp_path / "half", exact_vectors(1, 1), ["d"], year=[2012.5]))
    add_to_index(tmp_path / "index", vector_set(tmp_path / "large", exact_vectors(1, 2), ["e"], year=[(1 << 53) + 1]))
    with pytest.raises(DataError, match="the column 'year' has values that double cannot hold"):
        compact_index(tmp_path / "index")
    delete_from_index(tmp_path / "index", ["e"])
    assert len(compact_index(tmp_path / "index")) == 3


# Readers and writers --------------------------------------------------------------------------------------------------


def test_readers_keep_their_state_through_replacing_merging_and_compaction(tmp_path: Path):
    vectors = exact_vectors(12)
    part = with_content(tmp_path / "set", vectors[:6], list("abcdef"), list("123456"))
    build_index(part, tmp_path / "index")
    build_index(vector_set(tmp_path / "more", vectors[6:9], list("xyz")), tmp_path / "other")
    changed = with_content(tmp_path / "changed", vectors[9:], list("abg"), list("789"))
    steps: list[Callable[[], Index]] = [
        lambda: delete_from_index(tmp_path / "index", ["c"]),
        lambda: add_to_index(tmp_path / "index", changed, replace=True),
        lambda: merge_indexes(tmp_path / "index", [tmp_path / "other"]),
        lambda: compact_index(tmp_path / "index"),
        lambda: build_index(changed, tmp_path / "index", overwrite=True),
    ]
    items = dict(zip("abcdef", vectors, strict=False))
    readers = [(Index.load(tmp_path / "index"), dict(items))]
    changes = ({"c": None}, dict(zip("abg", vectors[9:], strict=True)), dict(zip("xyz", vectors[6:9], strict=True)), {}, None)
    for step, change in zip(steps, changes, strict=True):
        step()
        items = dict(zip("abg", vectors[9:], strict=True)) if change is None else {**items, **change}
        items = {key: vector for key, vector in items.items() if vector is not None}
        readers.append((Index.load(tmp_path / "index"), dict(items)))
        for index, held in readers:  # those that looked at nothing yet, too
            assert answers(index, QUERIES, 20) == brute_force(held, QUERIES, 20)
            assert set(index.ids()) == set(held) == set(index.find([*"abcdefgxyz"]))
            assert {record["id"] for record in index.search(QUERIES[:1], 20).records(0)} == set(held)


def test_a_second_writer_is_refused_whatever_it_wants(tmp_path: Path):
    build_index(vector_set(tmp_path / "first", exact_vectors(3), list("abc")), tmp_path / "index")
    build_index(vector_set(tmp_path / "second", exact_vectors(3), list("def")), tmp_path / "other")
    delete_from_index(tmp_path / "index", ["a"])
    with writer_lock(tmp_path / "index"):
        for write in (
            lambda: compact_index(tmp_path / "index"),
            lambda: merge_indexes(tmp_path / "index", [tmp_path / "other"]),
            lambda: add_to_index(tmp_path / "index", EmbeddingSet.load(tmp_path / "second"), replace=True),
        ):
            with pytest.raises(LockedError, match="another process"):
                write()
        (tmp_path / "link").symlink_to(tmp_path / "index")
        with pytest.raises(LockedError, match="another process"):
            compact_index(tmp_path / "link")
        with pytest.raises(LockedError, match="another process"):
            build_index(EmbeddingSet.load(tmp_path / "second"), tmp_path / "link", overwrite=True)
        assert len(Index.load(tmp_path / "index")) == 2  # reading is free
    assert len(compact_index(tmp_path / "index").segments) == 1


def test_nothing_lies_in_the_folder_that_the_pointer_does_not_name(tmp_path: Path):
    folder = tmp_path / "index"
    build_index(vector_set(tmp_path / "set", exact_vectors(9), list("abcdefghi")), folder)
    delete_from_index(folder, ["a"])
    for stray in ("segment-000077", ".segment-000003.0123456789ab.tmp"):  # as a killed writer leaves them
        (folder / stray).mkdir()
        (folder / stray / "vectors.faiss").write_bytes(b"half")
    (folder / "tombstone-000077.parquet").write_bytes(b"half")
    delete_from_index(folder, ["b"])
    assert {path.name for path in folder.iterdir()} == {
        "manifest.json", "trained.faiss", "segment-000001", "tombstone-000002.parquet", "tombstone-000003.parquet"
    }  # fmt: skip
    compact_index(folder)
    assert {path.name for path in folder.iterdir()} == {"manifest.json", "trained.faiss", "segment-000004"}


def test_ids_whose_hashes_collide_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def colliding(ids: Sequence[str]) -> np.ndarray:
        return np.array([len(key) for key in ids], np.uint64)

    for module in ("writing", "segment"):
        monkeypatch.setattr(f"mella_retrieval.indexes.{module}.id_hashes", colliding)
    index = build_index(vector_set(tmp_path / "set", exact_vectors(4), ["a", "b", "cc", "dd"]), tmp_path / "index")
    assert index.find(["b", "dd", "x", "yy", "zzz"]) == {"b": (0, 1), "dd": (0, 3)}
    delete_from_index(tmp_path / "index", ["a"])
    add_to_index(tmp_path / "index", vector_set(tmp_path / "more", exact_vectors(1, 1), ["e"]))
    assert set(Index.load(tmp_path / "index").ids()) == {"b", "cc", "dd", "e"}
    with pytest.raises(DataError, match="'b' is in"):
        add_to_index(tmp_path / "index", vector_set(tmp_path / "again", exact_vectors(1, 2), ["b"]))
