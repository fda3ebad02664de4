"""Hubness corrections served by an index: it ranks as the correction on the whole score matrix, whatever is done to it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from index_material import vector_set

from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.errors import ArtifactError, ConfigError, DataError, MismatchError
from mella_retrieval.indexes.build import build_index
from mella_retrieval.indexes.compact import compact_index
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.merge import merge_indexes
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.indexes.scoring.bank import Bank
from mella_retrieval.indexes.scoring.methods import fit_scoring
from mella_retrieval.indexes.scoring.recipe import ScoringRecipe
from mella_retrieval.indexes.update import add_to_index, delete_from_index

N, DIM = 280, 16
METHODS: dict[str, dict[str, Any]] = {"nnn": {"neighbours": 40}, "csls": {}, "inverted-softmax": {}}
ALL = {"rerank": N, "store": "float32"}
KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "Flat": ({}, "fold"),
    "Flat, corrected at re-ranking": (ALL | {"factory": "Flat", "scoring": "rerank"}, "rerank"),
    "IVF8,Flat": ({"search": {"nprobe": 8}}, "fold"),
    "HNSW32": ({"search": {"efSearch": 300}}, "fold"),
    "SQ8": (ALL, "fold"),
    "PQ8x4": (ALL, "fold"),
    "PQ8x4, corrected at re-ranking": (ALL | {"factory": "PQ8x4", "scoring": "rerank"}, "rerank"),
    "OPQ4,IVF4,PQ8x4fs": (ALL | {"search": {"nprobe": 4}}, "fold"),
    "RR16,IVF4,RaBitQ": (ALL | {"search": {"nprobe": 4}}, "fold"),
    "RQ2x4": (ALL, "rerank"),
}


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def world() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Items, bank and queries; texts share a direction, which makes hubs of the items that have much of it."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=DIM)
    items = unit(rng.normal(size=(N, DIM)) + np.outer(rng.normal(size=N), common) * 0.4)
    bank = unit(items[rng.integers(0, N, 120)] + 0.2 * rng.normal(size=(120, DIM)) + 0.4 * common)
    return items, bank, unit(items[:60] + 0.2 * rng.normal(size=(60, DIM)) + 0.4 * common)


ITEMS, BANK, QUERIES = world()
IDS = [f"i{row:03d}" for row in range(N)]


def items(folder: Path, start: int = 0, stop: int = N) -> EmbeddingSet:
    return vector_set(folder / f"set-{start}-{stop}", ITEMS[start:stop], IDS[start:stop], year=list(range(start, stop)))


def recipe(
    method: str,
    factory: str = "Flat",
    place: str = "auto",
    offset: float | None = None,
    scale: float | None = None,
    **rest: Any,
) -> IndexRecipe:
    scoring = ScoringRecipe(method=method, options=METHODS[method], place=place, offset=offset, scale=scale)
    return IndexRecipe(factory=factory, scoring=scoring, **rest)


def expected(method: str, rows: np.ndarray | None = None, queries: np.ndarray = QUERIES) -> list[list[tuple[str, float]]]:
    """All items (or some) for each query, best first, by the correction on the full score matrix."""
    rows = np.arange(N) if rows is None else rows
    scores = fit_scoring(method, ITEMS, Bank(BANK), **METHODS[method]).rescore(queries @ ITEMS.T)
    return [sorted(((IDS[row], float(line[row])) for row in rows), key=lambda hit: (-hit[1], hit[0])) for line in scores]


def require_same(index: Index, wanted: list[list[tuple[str, float]]], k: int = 20, where: str | None = None) -> None:
    """The same items in the same order with the same scores; items nearer than float32 tells apart may change places."""
    found = index.search(QUERIES, k, where=where)
    for matches, line in zip(found, wanted, strict=True):
        known = dict(line)
        assert len(matches) == min(k, len(line)) and len({match.id for match in matches}) == len(matches)
        np.testing.assert_allclose([match.score for match in matches], [score for _, score in line[:k]], atol=2e-6)
        np.testing.assert_allclose([match.score for match in matches], [known[match.id] for match in matches], atol=2e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_ranks_as_the_correction_on_all_scores(tmp_path: Path, kind: str, method: str):
    options, place = KINDS[kind]
    options = dict(options)
    made = recipe(method, options.pop("factory", kind), options.pop("scoring", "auto"), **options)
    index = build_index(items(tmp_path), tmp_path / "index", made, bank=Bank(BANK))
    entry = index.manifest.scoring
    assert index.manifest.dim == DIM and entry is not None and entry.place == place
    assert index.manifest.faiss_dim == index.segments[0].index.d
    require_same(index, expected(method))
    plain = sorted(zip((-(QUERIES[0] @ ITEMS.T)).tolist(), IDS, strict=True))[:5]
    uncorrected = index.search(QUERIES, 5, corrected=False)[0]
    np.testing.assert_allclose([match.score for match in uncorrected], [-score for score, _ in plain], atol=1e-6)


@pytest.mark.parametrize("kind", ["Flat", "HNSW32", "PQ8x4", "PQ8x4, corrected at re-ranking"])
def test_it_stays_so_through_add_delete_filter_compact_and_merge(tmp_path: Path, kind: str):
    options = dict(KINDS[kind][0])
    made = recipe("csls", options.pop("factory", kind), options.pop("scoring", "auto"), offset=-0.25, scale=2.0, **options)
    index = build_index(items(tmp_path, 0, 150), tmp_path / "index", made, bank=Bank(BANK))
    before = index.manifest.scoring
    add_to_index(tmp_path / "index", items(tmp_path, 150, 220))
    gone = np.arange(0, 220, 7)
    index = delete_from_index(tmp_path / "index", [IDS[row] for row in gone])
    living = np.setdiff1d(np.arange(220), gone)
    require_same(index, expected("csls", living))
    require_same(index, expected("csls", living), k=400)
    require_same(index, expected("csls", living[living >= 100]), where="year >= 100")
    index = compact_index(tmp_path / "index")
    assert len(index.segments) == 1 and index.manifest.scoring == before
    require_same(index, expected("csls", living))
    build_index(items(tmp_path, 220, N), tmp_path / "other", made, bank=Bank(BANK))
    index = merge_indexes(tmp_path / "index", [tmp_path / "other"])
    require_same(index, expected("csls", np.concatenate([living, np.arange(220, N)])))
    index.verify()


def test_lengths_of_queries_do_not_weigh_the_bias(tmp_path: Path):
    index = build_index(items(tmp_path), tmp_path / "index", recipe("csls"), bank=Bank(BANK))
    np.testing.assert_allclose(index.search(QUERIES * 7, 9).scores, index.search(QUERIES, 9).scores, atol=1e-6)


def test_hubs_no_longer_stand_before_the_right_items(tmp_path: Path):
    plain = build_index(items(tmp_path), tmp_path / "plain")
    corrected = build_index(items(tmp_path), tmp_path / "corrected", recipe("nnn"), bank=Bank(BANK))

    def skew(index: Index) -> float:
        counts = Counter(match for line in index.search(QUERIES, 10).ids for match in line)
        values = np.array([counts[key] for key in IDS], float)
        return float(((values - values.mean()) ** 3).mean() / values.std() ** 3)

    def right(index: Index) -> int:
        return sum(line[0] == key for line, key in zip(index.search(QUERIES, 1).ids, IDS[:60], strict=True))

    assert skew(corrected) < 0.8 * skew(plain) and right(corrected) > right(plain)


def test_a_float16_store_loses_no_more_of_the_bias_than_of_the_cosine(tmp_path: Path):
    made = recipe("inverted-softmax", "PQ8x4", rerank=N)  # biases around -.3, which float16 alone would keep to 1e-4
    index = build_index(items(tmp_path), tmp_path / "index", made, bank=Bank(BANK))
    wanted = [dict(line) for line in expected("inverted-softmax")]
    plain = QUERIES @ ITEMS.T
    found, uncorrected = index.search(QUERIES, N), index.search(QUERIES, N, corrected=False)
    errors = [match.score - wanted[query][match.id] for query, matches in enumerate(found) for match in matches]
    cosine = [match.score - plain[query, match.row] for query, matches in enumerate(uncorrected) for match in matches]
    assert np.std(errors) < 1.5 * np.std(cosine)


@pytest.mark.parametrize("kind", ["PQ8x4", "RR16,RaBitQ"])
def test_folded_candidates_are_nearer_to_the_corrected_ranking_than_plain_ones(tmp_path: Path, kind: str):
    found = {}
    for place in ("fold", "rerank"):
        made = recipe("inverted-softmax", kind, place, rerank=2, store="float32")
        found[place] = build_index(items(tmp_path), tmp_path / place, made, bank=Bank(BANK)).search(QUERIES, 10).ids
    right = [{key for key, _ in line[:10]} for line in expected("inverted-softmax")]
    folded, plain = (sum(len(ids & set(line)) for ids, line in zip(right, found[place], strict=True)) for place in found)
    assert folded > plain


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bank", "reason"),
    [
        (BANK[:, :8], "16 dimensions are expected"),
        (BANK[:0], "bank of reference queries is empty"),
        (BANK[:9], "the bank holds 9; lower k"),
        (np.where(np.arange(DIM) == 3, np.nan, BANK).astype(np.float32), "NaN"),
    ],
)
def test_a_bank_that_will_not_do_is_refused_and_no_index_is_left(tmp_path: Path, bank: np.ndarray, reason: str):
    with pytest.raises(DataError, match=reason):
        build_index(items(tmp_path), tmp_path / "index", recipe("csls", offset=0.0), bank=Bank(bank))
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize(
    ("scoring", "rest", "reason"),
    [
        ({"method": "cslz"}, {}, "Did you mean 'csls'"),
        ({"method": "qb-norm"}, {}, "cannot be served by an index"),
        ({"method": "csls", "options": {"neighbors": 3}}, {}, "Did you mean 'neighbours'"),
        ({"method": "csls", "place": "fold"}, {"factory": "RQ2x4", "rerank": 9}, r"scoring\.place=rerank"),
        ({"method": "csls"}, {"factory": "RQ2x4"}, r"set rerank \(rerank=10\)"),
        ({"method": "csls"}, {"factory": "RQ2x4", "rerank": 9, "store": "none"}, "store=float16"),
        ({"method": "csls", "place": "rerank"}, {}, r"set rerank \(rerank=10\)"),
    ],
)
def test_recipes_that_cannot_serve_a_correction_are_refused(tmp_path: Path, scoring: Any, rest: Any, reason: str):
    made = IndexRecipe(scoring=ScoringRecipe(**scoring), **rest)
    with pytest.raises(ConfigError, match=reason):
        build_index(items(tmp_path), tmp_path / "index", made, bank=Bank(BANK))


def test_bank_and_correction_need_each_other(tmp_path: Path):
    with pytest.raises(ConfigError, match="needs a bank"):
        build_index(items(tmp_path), tmp_path / "index", recipe("csls"))
    with pytest.raises(ConfigError, match="names no correction"):
        build_index(items(tmp_path), tmp_path / "index", bank=Bank(BANK))


def test_re_ranking_that_corrects_cannot_be_switched_off(tmp_path: Path):
    index = build_index(items(tmp_path), tmp_path / "index", recipe("csls", "PQ8x4", "rerank", rerank=9), bank=Bank(BANK))
    with pytest.raises(ConfigError, match="corrected=False"):
        index.search(QUERIES, 5, parameters={"rerank": 0})
    assert len(index.search(QUERIES, 5, parameters={"rerank": 0}, corrected=False).ids[0]) == 5


def test_indexes_with_other_corrections_are_not_merged(tmp_path: Path):
    build_index(items(tmp_path, 0, 150), tmp_path / "index", recipe("csls", offset=-0.2), bank=Bank(BANK))
    for number, (made, bank) in enumerate([(recipe("csls", offset=-0.2), BANK[:60]), (recipe("csls", offset=-0.1), BANK)]):
        build_index(items(tmp_path, 150, N), tmp_path / f"other{number}", made, bank=Bank(bank))
        with pytest.raises(MismatchError, match=r"scoring\.offset"):
            merge_indexes(tmp_path / "index", [tmp_path / f"other{number}"])


def test_a_changed_bank_is_noticed(tmp_path: Path):
    build_index(items(tmp_path), tmp_path / "index", recipe("csls"), bank=Bank(BANK))
    np.save(tmp_path / "index" / "scoring" / "bank.npy", BANK[::-1])
    with pytest.raises(ArtifactError, match=r"bank\.npy"):
        Index.load(tmp_path / "index")
