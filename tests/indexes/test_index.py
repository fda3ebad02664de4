"""Building, searching and changing an index, against brute force."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_material import TOWER, answers, brute_force, exact_vectors, vector_set

from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import ConfigError, DataError, MismatchError, MissingDependencyError
from mella_retrieval.indexes.build import Projection, build_index
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.indexes.update import add_to_index, delete_from_index
from mella_retrieval.recipes import build_config

QUERIES = exact_vectors(25, seed=9)


def names(count: int, start: str = "v") -> list[str]:
    """Ids whose order is not that of the rows."""
    return [f"{start}{(row * 7919) % 1000:03d}" for row in range(count)]


def random_unit(count: int, dim: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("k", [1, 2, 10, 99, 100, 1000])
def test_flat_equals_brute_force_with_ties_by_id(tmp_path: Path, k: int):
    vectors = exact_vectors(100)
    index = build_index(vector_set(tmp_path / "set", vectors, names(100)), tmp_path / "index")
    items = dict(zip(names(100), vectors, strict=True))
    expected = brute_force(items, QUERIES, k)
    assert answers(index, QUERIES, k) == expected and len(expected[0]) == min(k, 100)
    assert answers(index, QUERIES[:1], k) == expected[:1]


def test_many_equal_vectors_come_in_the_order_of_their_ids(tmp_path: Path):
    vectors = np.repeat(exact_vectors(2), 300, axis=0)
    ids = names(600)
    index = build_index(vector_set(tmp_path / "set", vectors, ids), tmp_path / "index")
    index = delete_from_index(tmp_path / "index", sorted(ids[:300])[:20])
    assert [match.id for match in index.search(vectors[:1], 10)[0]] == sorted(ids[:300])[20:30]


RECALL = {"HNSW32": 0.95, "IVF4,Flat": 0.35, "SQ8": 0.9, "PQ16x4": 0.3, "OPQ8,IVF4,PQ16x4": 0.2, "PCA16,Flat": 0.3}


@pytest.mark.parametrize("factory", RECALL)
def test_other_kinds_of_index_find_most_of_what_brute_force_finds(tmp_path: Path, factory: str):
    vectors = random_unit(700, 32)
    index = build_index(vector_set(tmp_path / "set", vectors, names(700)), tmp_path / "index", IndexRecipe(factory=factory))
    more = random_unit(10, 32, seed=1)  # too few to train on
    index = add_to_index(tmp_path / "index", vector_set(tmp_path / "more", more, names(10, "w")))
    index = delete_from_index(tmp_path / "index", names(5))
    items = dict(zip([*names(700), *names(10, "w")], [*vectors, *more], strict=True))
    for key in names(5):
        del items[key]
    assert len(index) == 705
    queries = np.concatenate([random_unit(20, 32, seed=2), more[:2]])
    found, expected = answers(index, queries, 10), brute_force(items, queries, 10)
    shared = [len({key for key, _ in mine} & {key for key, _ in best}) / 10 for mine, best in zip(found, expected, strict=True)]
    assert np.mean(shared) >= RECALL[factory]
    assert all(key in items for matches in found for key, _ in matches)
    assert all(len(matches) == 10 for matches in found) or "IVF" in factory


def test_search_parameters_count(tmp_path: Path):
    vectors = vector_set(tmp_path / "set", random_unit(700, 16), names(700))
    few = build_index(vectors, tmp_path / "few", IndexRecipe(factory="IVF16,Flat", search={"nprobe": 1}))
    all_lists = build_index(vectors, tmp_path / "all", IndexRecipe(factory="IVF16,Flat", search={"nprobe": 16}))
    items = dict(zip(names(700), random_unit(700, 16), strict=True))
    queries = random_unit(20, 16, seed=3)
    expected = [[key for key, _ in row] for row in brute_force(items, queries, 5)]
    assert [[key for key, _ in row] for row in answers(all_lists, queries, 5)] == expected
    assert [[key for key, _ in row] for row in answers(few, queries, 5)] != expected


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"factory": "HNWS32"}, "FAISS cannot make 'HNWS32' for 8 dimensions: could not parse index string HNWS32"),
        ({"factory": ""}, "FAISS cannot make ''"),
        ({"factory": "PQ3"}, "multiple of the number of subquantizers"),
        ({"factory": "IVF64,Flat"}, "IVF64,Flat cannot be trained on 20 vectors"),
        ({"factory": "IDMap,Flat"}, "cannot be filled"),
        ({"search": {"nprobe": 4}}, "search parameter nprobe=4 does not fit 'Flat'"),
        ({"factory": "HNSW8", "search": {"efserch": 4}}, "efserch=4 does not fit 'HNSW8'"),
    ],
)
def test_recipes_that_do_not_fit_are_refused_and_change_nothing(tmp_path: Path, recipe: dict[str, object], message: str):
    vectors = vector_set(tmp_path / "set", exact_vectors(20), names(20))
    build_index(vectors, tmp_path / "index")
    with pytest.raises(ConfigError, match=message) as caught:
        build_index(vectors, tmp_path / "index", build_config(IndexRecipe, recipe, "recipe"), overwrite=True)
    assert ".cpp" not in str(caught.value)
    assert Index.load(tmp_path / "index").manifest.recipe == IndexRecipe()
    with pytest.raises(ConfigError):
        build_index(vectors, tmp_path / "new", build_config(IndexRecipe, recipe, "recipe"))
    assert not (tmp_path / "new").exists()


def test_search_parameters_are_positive():
    with pytest.raises(ConfigError, match="nprobe"):
        build_config(IndexRecipe, {"search": {"nprobe": 0}}, "recipe")


def test_nothing_is_trained_where_nothing_is_learnt(tmp_path: Path):
    vectors = vector_set(tmp_path / "set", exact_vectors(20), names(20))
    seen: list[int] = []

    def apply(block: np.ndarray) -> np.ndarray:
        seen.append(len(block))
        return block

    build_index(vectors, tmp_path / "index", projection=Projection(apply, 8, tmp_path / "set", "f" * 64))
    assert seen == [20]


def test_queries_that_cannot_be_answered_are_refused(tmp_path: Path):
    index = build_index(vector_set(tmp_path / "set", exact_vectors(5), names(5)), tmp_path / "index")
    for queries in (np.ones((1, 7)), np.ones(8), np.ones((1, 1, 8))):
        with pytest.raises(DataError, match="takes vectors of 8 dimensions"):
            index.search(queries)
    for value in (np.nan, np.inf):
        with pytest.raises(DataError, match="NaN or infinite"):
            index.search(np.full((1, 8), value))
    with pytest.raises(DataError, match="k must be at least 1"):
        index.search(QUERIES, 0)
    assert list(index.search(np.zeros((0, 8), np.float32), 3)) == []


def test_an_index_of_which_everything_was_deleted_answers_nothing(tmp_path: Path):
    build_index(vector_set(tmp_path / "set", exact_vectors(5), names(5)), tmp_path / "index")
    index = delete_from_index(tmp_path / "index", names(5))
    assert len(index) == 0 and list(index.search(QUERIES, 3)) == [[]] * len(QUERIES)
    again = add_to_index(tmp_path / "index", EmbeddingSet.load(tmp_path / "set"))
    assert len(again) == 5 and len(again.search(QUERIES, 9)[0]) == 5


def test_records_come_back_with_matches_of_all_segments(tmp_path: Path):
    vectors = exact_vectors(8)
    first = vector_set(tmp_path / "a", vectors[:4], list("abcd"), caption=["A", "B", "C", "D"], content=[1, 2, 3, 4])
    build_index(first, tmp_path / "index")
    index = add_to_index(tmp_path / "index", vector_set(tmp_path / "b", vectors[4:], list("efgh"), year=[1, 2, 3, 4]))
    found = index.search(vectors[[1]], 8)
    records = dict(zip(found.ids[0], found.records(0), strict=True))
    assert records["b"] == {"id": "b", "caption": "B", "record_content": 2} and records["g"] == {"id": "g", "year": 3}


def test_readers_keep_the_state_that_they_opened(tmp_path: Path):
    vectors = exact_vectors(12)
    items = dict(zip(names(6), vectors, strict=False))
    opened = build_index(vector_set(tmp_path / "set", vectors[:6], names(6), n=list(range(6))), tmp_path / "index")
    more = vector_set(tmp_path / "more", vectors[6:], names(6, "w"), n=list(range(6)))
    add_to_index(tmp_path / "index", more)
    delete_from_index(tmp_path / "index", [names(6)[0], names(6, "w")[1]])
    assert answers(opened, QUERIES, 20) == brute_force(items, QUERIES, 20)
    # Built anew in the same place, while another reader has not even read its ids.
    opened = Index.load(tmp_path / "index")
    build_index(more, tmp_path / "index", overwrite=True)
    items = {**dict(zip(names(6, "w"), vectors[6:], strict=True)), **items}
    del items[names(6)[0]], items[names(6, "w")[1]]
    assert answers(opened, QUERIES, 20) == brute_force(items, QUERIES, 20)
    assert {record["id"] for record in opened.search(QUERIES[:1], 20).records(0)} == set(items)


Change = tuple[bool, frozenset[int]]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.frozensets(st.integers(0, 14), min_size=1)), max_size=6), st.integers(1, 16))
def test_segments_and_tombstones_behave_as_one_index_of_the_living(changes: list[Change], k: int):
    folder = Path(tempfile.mkdtemp())
    try:
        vectors = exact_vectors(15 * 7)
        living = {f"i{row:02d}": vectors[row] for row in range(5)}
        index = build_index(vector_set(folder / "set0", vectors[:5], list(living)), folder / "index")
        for turn, (adds, rows) in enumerate(changes, start=1):
            keys = [f"i{row:02d}" for row in sorted(rows) if (f"i{row:02d}" in living) != adds]
            if adds and keys:
                new = {key: vectors[15 * turn + place] for place, key in enumerate(keys)}
                index = add_to_index(folder / "index", vector_set(folder / f"set{turn}", np.stack(list(new.values())), keys))
                living |= new
            elif not adds:
                index = delete_from_index(folder / "index", keys)
                living = {key: vector for key, vector in living.items() if key not in keys}
        assert len(index) == len(living) and set(index.ids()) == set(living)
        assert answers(index, QUERIES[:6], k) == brute_force(living, QUERIES[:6], k)
        index.verify()
    finally:
        shutil.rmtree(folder)


def test_ids_are_added_once_and_deleted_once(tmp_path: Path):
    vectors = exact_vectors(4)
    build_index(vector_set(tmp_path / "set", vectors, list("abcd")), tmp_path / "index")
    with pytest.raises(DataError, match=r"the id 'c' is in .* already"):
        add_to_index(tmp_path / "index", vector_set(tmp_path / "more", vectors, ["x", "c", "y", "z"]))
    with pytest.raises(DataError, match=r"2 ids are not in .*, the first is 'q'"):
        delete_from_index(tmp_path / "index", ["a", "q", "r"])
    assert len(delete_from_index(tmp_path / "index", ["a", "a"])) == 3
    before = (tmp_path / "index" / "manifest.json").read_bytes()
    delete_from_index(tmp_path / "index", [])
    assert (tmp_path / "index" / "manifest.json").read_bytes() == before


def other(**changes: object) -> TowerInfo:
    return TOWER.model_copy(update=changes)


def test_vectors_of_another_tower_are_refused_and_both_are_named(tmp_path: Path):
    build_index(vector_set(tmp_path / "set", exact_vectors(4), list("abcd")), tmp_path / "index")
    for number, (tower, told) in enumerate(
        (
            (
                other(spec="open_clip:ViT-L-14/openai", weights="c" * 64),
                r"ViT-B-32/openai .*aaaaaaaaaaaa.* ViT-L-14/openai .*cccccccccccc",
            ),
            (other(spec="open_clip:ViT-L-14/openai", weights=None), r"ViT-B-32/openai .* ViT-L-14/openai .*not verified"),
        )
    ):
        more = vector_set(tmp_path / f"more{number}", exact_vectors(4), list("efgh"), tower)
        with pytest.raises(MismatchError, match=told.replace(" ViT-L", " .*ViT-L")):
            add_to_index(tmp_path / "index", more)
    prepared = vector_set(tmp_path / "p", exact_vectors(4), list("efgh"), other(preparation={"size": 224}))
    assert len(add_to_index(tmp_path / "index", prepared)) == 8  # what the index does not know cannot differ
    with pytest.raises(MismatchError, match=r"\(8 dimensions.* \(6 dimensions"):
        add_to_index(tmp_path / "index", vector_set(tmp_path / "six", random_unit(4, 6), list("ijkl")))


def test_new_pictures_join_an_index_of_old_vectors_of_the_same_model(tmp_path: Path):
    old = other(weights=None, precision="unknown")
    build_index(vector_set(tmp_path / "old", exact_vectors(4), list("abcd"), old), tmp_path / "index")
    assert len(add_to_index(tmp_path / "index", vector_set(tmp_path / "new", exact_vectors(2), list("ef")))) == 6


def test_another_projection_is_refused_and_both_are_named(tmp_path: Path):
    first = vector_set(tmp_path / "set", exact_vectors(4), list("abcd"))
    second = vector_set(tmp_path / "more", exact_vectors(4), list("efgh"))
    (tmp_path / "adapter").mkdir()
    turned = Projection(lambda block: block[:, ::-1], 8, tmp_path / "adapter", "1" * 64)
    index = build_index(first, tmp_path / "index", projection=turned)
    assert answers(index, exact_vectors(1)[:, ::-1], 1)[0] == [("a", 1.0)]
    for given_, told in (
        (None, "no adapter"),
        (Projection(turned.apply, 8, tmp_path / "adapter", "2" * 64), "adapter 222222222222"),
    ):
        with pytest.raises(MismatchError, match=f"built with the adapter 111111111111, but .*{told} was given"):
            add_to_index(tmp_path / "index", second, given_)
    assert len(add_to_index(tmp_path / "index", second, turned)) == 8


def test_text_vectors_and_repeated_ids_are_refused(tmp_path: Path):
    text = TowerInfo(spec="sentence-transformers:x", modality="text", dim=8)
    with pytest.raises(DataError, match="holds text vectors"):
        build_index(vector_set(tmp_path / "text", exact_vectors(3), list("abc"), text), tmp_path / "index")


def test_without_faiss_both_install_commands_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    vectors = vector_set(tmp_path / "set", exact_vectors(3), list("abc"))
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingDependencyError) as caught:
        build_index(vectors, tmp_path / "index")
    assert "pip install mella-retrieval[cpu]" in str(caught.value) and "pip install mella-retrieval[gpu]" in str(caught.value)
    assert not (tmp_path / "index").exists()


def test_no_queries_have_no_hits_with_and_without_a_filter(tmp_path: Path):
    vectors = vector_set(tmp_path / "set", exact_vectors(20), [f"v{row}" for row in range(20)], n=list(range(20)))
    index = build_index(vectors, tmp_path / "index")
    for where in (None, "n < 3"):
        found = index.search(np.empty((0, 8), np.float32), 5, where=where)
        assert list(found) == [] and found.ids == [] and found.scores.shape == (0, 5)
