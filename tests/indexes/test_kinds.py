"""Every kind of index, with filters and through its whole life, against brute force over the living items."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from index_material import brute_force, vector_set

from mella_retrieval.errors import ConfigError
from mella_retrieval.indexes.build import build_index, rows_in
from mella_retrieval.indexes.compact import compact_index
from mella_retrieval.indexes.filters import Filter
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.kinds import bytes_per_vector
from mella_retrieval.indexes.library import faiss
from mella_retrieval.indexes.merge import merge_indexes
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.indexes.update import add_to_index, delete_from_index

DIM = 32

WHOLE: dict[str, dict[str, int]] = {
    "Flat": {},
    "HNSW16": {"efSearch": 1000},
    "IVF8,Flat": {"nprobe": 8},
    "OPQ8,IVF8,PQ8x4fs": {"nprobe": 8, "rerank": 1000},
    "IVF8,RaBitQ": {"nprobe": 8, "rerank": 1000},
    "RaBitQfs": {"rerank": 1000},
    "SQ8": {"rerank": 1000},
    "HNSW16,SQ8": {"efSearch": 1000, "rerank": 1000},
}
"""Parameters that make each kind look at everything and score it from the vectors as they are."""

Items = dict[str, np.ndarray]


def sparse_unit(count: int, seed: int = 0) -> np.ndarray:
    """Unit vectors (count, DIM) with four entries of +-0.5 among the first twelve: inner products are exact, many are ties."""
    generator = np.random.default_rng(seed)
    vectors = np.zeros((count, DIM), np.float32)
    for vector in vectors:
        vector[generator.choice(12, 4, replace=False)] = generator.choice([-0.5, 0.5], 4)
    return vectors


QUERIES = sparse_unit(8, seed=99)


def make(folder: Path, start: str, count: int, seed: int) -> tuple[Any, Items]:
    """A set with records, and its items. Ids do not come in the order of the rows."""
    ids = [f"{start}{(row * 7919) % 1000:03d}" for row in range(count)]
    vectors = sparse_unit(count, seed)
    columns = {"lang": [("hu", "en", "cs")[row % 3] for row in range(count)], "year": list(range(count))}
    return vector_set(folder, vectors, ids, **columns), dict(zip(ids, vectors, strict=True))


def compare(index: Index, items: Items, parameters: Mapping[str, int], where: Filter | str | None = None) -> None:
    """Brute force over `items` has to give the same ids and scores, and all that `Found` says has to be of one piece."""
    for k in (1, 10, 500):
        found = index.search(QUERIES, k, where=where, parameters=parameters)
        expected = brute_force(items, QUERIES, k)
        assert [[(match.id, match.score) for match in matches] for matches in found] == expected
        assert len(found) == len(QUERIES) and found.scores.shape == found.rows.shape == found.segments.shape
        assert found.ids == [[key for key, _ in row] for row in expected]
        assert found.scores.dtype == np.float32 and found.rows.shape[0] == len(QUERIES)
        count = len(expected[0])
        assert (found.rows[:, count:] == -1).all() and (found.segments[:, count:] == -1).all()
        assert np.isneginf(found.scores[:, count:]).all() and (found.rows[:, :count] >= 0).all()
        places = index.find(items)
        for query in (0, len(QUERIES) - 1):
            assert [record["id"] for record in found.records(query)] == found.ids[query]
            assert [(m.segment, m.row) for m in found[query]] == [places[key] for key in found.ids[query]]


def compare_with_filters(index: Index, items: Items, parameters: Mapping[str, int]) -> None:
    """No filter, and such as leave very little, a part, half, all and nothing."""
    compare(index, items, parameters)
    places = index.find(items)
    records = {key: index.segments[segment].records(np.array([row]))[0] for key, (segment, row) in places.items()}
    few = sorted(items)[:3]
    for where, keep in (
        ("year == 17", lambda record: record["year"] == 17),
        ('lang == "hu"', lambda record: record["lang"] == "hu"),
        ('year < 150 or lang == "cs"', lambda record: record["year"] < 150 or record["lang"] == "cs"),
        ("year >= 0", lambda record: True),
        ('lang == "sk"', lambda record: False),
        (Filter.ids([*few, "nobody"]), lambda record: record["id"] in few),
    ):
        compare(index, {key: items[key] for key, record in records.items() if keep(record)}, parameters, where)


@pytest.mark.parametrize("factory", WHOLE)
def test_every_kind_answers_as_brute_force_through_its_whole_life(tmp_path: Path, factory: str):
    recipe, parameters, folder = IndexRecipe(factory=factory), WHOLE[factory], tmp_path / "index"
    first, items = make(tmp_path / "first", "a", 330, 0)
    compare_with_filters(build_index(first, folder, recipe), items, parameters)

    gone = [*sorted(items)[::3], *list(items)[:20]]
    index = delete_from_index(folder, gone)
    items = {key: vector for key, vector in items.items() if key not in gone}
    assert len(index) == len(items)
    compare_with_filters(index, items, parameters)

    second, more = make(tmp_path / "second", "b", 40, 1)
    add_to_index(folder, second)
    index = delete_from_index(folder, list(more)[:5])
    items |= dict(list(more.items())[5:])
    assert len(index.segments) == 2
    compare_with_filters(index, items, parameters)

    index = compact_index(folder)
    assert len(index.segments) == 1 and not index.manifest.tombstones and index.segments[0].rows == len(items)
    compare_with_filters(index, items, parameters)

    third, others = make(tmp_path / "third", "c", 60, 2)
    build_index(first, tmp_path / "other", recipe)  # the same data to learn from: the codes mean the same
    add_to_index(tmp_path / "other", third)
    delete_from_index(tmp_path / "other", [*first.ids, next(iter(others))])
    index = merge_indexes(folder, [tmp_path / "other"])
    items |= {key: vector for key, vector in others.items() if key != next(iter(others))}
    assert set(index.ids()) == set(items)
    compare_with_filters(index, items, parameters)

    index = delete_from_index(folder, list(items))
    compare(index, {}, parameters)
    index = compact_index(folder)
    assert len(index) == 0 and not index.segments
    compare(index, {}, parameters)
    compare(index, {}, parameters, 'lang == "hu"')
    index = add_to_index(folder, third)
    compare_with_filters(index, others, parameters)


@pytest.mark.parametrize("factory", ["OPQ8,IVF8,PQ8x4fs", "IVF8,RaBitQ", "RaBitQfs", "SQ8", "HNSW16,SQ8"])
def test_of_codes_alone_whatever_is_found_lives_and_fits(tmp_path: Path, factory: str):
    vectors, items = make(tmp_path / "set", "a", 330, 0)
    folder = tmp_path / "index"
    build_index(vectors, folder, IndexRecipe(factory=factory, store="none"))
    index = delete_from_index(folder, list(items)[:100])
    assert not (folder / "segment-000001" / "vectors.npy").exists()
    living = set(items) - set(list(items)[:100])
    places = index.find(living)
    everywhere = {name: value for name, value in WHOLE[factory].items() if name != "rerank"}
    for where, keep in ((None, living), ("year >= 200", {key for key in living if places[key][1] >= 200})):
        found = index.search(QUERIES, 20, where=where, parameters=everywhere)
        assert all(len(ids) == len(set(ids)) == 20 and set(ids) <= keep for ids in found.ids)
        assert (np.diff(found.scores, axis=1) <= 0).all()
    assert [len(ids) for ids in index.search(QUERIES, 20, where="year == 201", parameters=everywhere).ids] == [1] * len(QUERIES)


def test_parameters_of_a_call_take_the_place_of_the_recipe_s(tmp_path: Path):
    vectors, items = make(tmp_path / "set", "a", 330, 0)
    index = build_index(vectors, tmp_path / "index", IndexRecipe(factory="IVF8,Flat", search={"nprobe": 1}))
    expected = brute_force(items, QUERIES, 10)

    def answered(**parameters: int) -> list[list[tuple[str, float]]]:
        return [[(match.id, match.score) for match in matches] for matches in index.search(QUERIES, 10, parameters=parameters)]

    before = answered()
    assert before != expected and answered(nprobe=8) == expected
    assert answered() == before  # the call left nothing behind


def test_reranking_gives_the_scores_of_the_vectors(tmp_path: Path):
    vectors, items = make(tmp_path / "set", "a", 330, 0)
    index = build_index(vectors, tmp_path / "index", IndexRecipe(factory="RaBitQfs", rerank=400))
    own, coarse = index.search(QUERIES, 10), index.search(QUERIES, 10, parameters={"rerank": 1})
    raw = index.search(QUERIES, 10, parameters={"rerank": 0})
    expected = brute_force(items, QUERIES, 10)
    assert [[(match.id, match.score) for match in matches] for matches in own] == expected
    assert all(match.score == float(items[match.id] @ query) for query, row in zip(QUERIES, coarse, strict=True) for match in row)
    assert coarse.ids != own.ids and not np.array_equal(raw.scores, coarse.scores)


@pytest.mark.parametrize(
    ("factory", "parameters", "message"),
    [
        ("Flat", {"nprobe": 3}, "search parameter nprobe does not fit this kind of index; it knows none"),
        ("HNSW16", {"nprobe": 3}, "nprobe does not fit this kind of index; it knows efSearch"),
        ("IVF8,Flat", {"efSearch": 3}, "efSearch does not fit this kind of index; it knows nprobe"),
        ("OPQ8,IVF8,PQ8x4fs", {"nprob": 3}, "nprob does not fit this kind of index; it knows nprobe"),
        ("SQ8", {"reranked": 3}, "reranked does not fit"),
    ],
)
def test_unknown_parameters_are_refused(tmp_path: Path, factory: str, parameters: dict[str, int], message: str):
    vectors, _ = make(tmp_path / "set", "a", 330, 0)
    index = build_index(vectors, tmp_path / "index", IndexRecipe(factory=factory))
    with pytest.raises(ConfigError, match=message):
        index.search(QUERIES, 3, parameters=parameters)
    with pytest.raises(ConfigError, match=message):  # however few rows a filter leaves
        index.search(QUERIES, 3, parameters=parameters, where="year == 3")
    delete_from_index(tmp_path / "index", [vectors.ids[0]])
    with pytest.raises(ConfigError, match=message):
        Index.load(tmp_path / "index").search(QUERIES, 3, parameters=parameters)


@pytest.mark.parametrize(
    ("factory", "parameters"), [("IVF8,Flat", {"nprobe": 0}), ("HNSW16", {"efSearch": -1}), ("SQ8", {"rerank": -2})]
)
def test_parameters_that_mean_nothing_are_refused(tmp_path: Path, factory: str, parameters: dict[str, int]):
    vectors, _ = make(tmp_path / "set", "a", 330, 0)
    index = build_index(vectors, tmp_path / "index", IndexRecipe(factory=factory))
    with pytest.raises(ConfigError, match=f"{next(iter(parameters))}"):
        index.search(QUERIES, 3, parameters=parameters)


def test_what_is_copied_while_it_is_built_gets_fewer_vectors_into_the_same_memory():
    library, memory = faiss(), 256 << 20
    kinds = [
        library.index_factory(64, "HNSW16", library.METRIC_INNER_PRODUCT),
        library.index_factory(64, "IVF4,Flat", library.METRIC_INNER_PRODUCT),
        library.IndexHNSWCagra(64, 16, library.METRIC_INNER_PRODUCT),
    ]
    graph, lists, copied = (rows_in(memory, index) * bytes_per_vector(index) / memory for index in kinds)
    assert graph > 0.8 and 0.35 < lists < 0.5 and 0.25 < copied < 1 / 3
