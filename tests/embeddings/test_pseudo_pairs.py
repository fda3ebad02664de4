"""Soft retrieval against a dense softmax in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fakes import files_of

from mella_retrieval.embeddings.imports import import_vectors
from mella_retrieval.embeddings.pseudo_pairs import measure_top, soft_retrieve, soft_retrieve_top, store_pseudo_pairs
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import DataError, MismatchError


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def dense(queries: np.ndarray, bank: np.ndarray, temperature: float) -> np.ndarray:
    queries, bank = queries.astype(np.float64), bank.astype(np.float64)
    logits = queries @ bank.T / temperature
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    mean = weights / weights.sum(axis=1, keepdims=True) @ bank
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


@pytest.mark.parametrize("block", [1, 7, 64, 10_000])
@pytest.mark.parametrize("temperature", [0.001, 0.01, 1.0])
def test_exact_whatever_the_block(block: int, temperature: float):
    generator = np.random.default_rng(1)
    bank = unit(generator.normal(size=(150, 32)))
    bank[75:] = unit(bank[:75] + 1e-4 * generator.normal(size=(75, 32)))  # near-ties, which a temperature pulls apart
    queries = unit(bank[:40] + 0.3 * generator.normal(size=(40, 32)))
    found = soft_retrieve(queries, bank, temperature, block)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, dense(queries, bank, temperature), rtol=0, atol=1e-6)


def test_half_precision_queries_do_not_make_half_precision_pairs():
    queries = unit(np.random.default_rng(0).normal(size=(3, 8)))
    found = soft_retrieve(queries.astype(np.float16), queries)  # type: ignore[arg-type]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, dense(queries.astype(np.float16), queries, 0.01), atol=1e-6)


def stored(folder: Path, vectors: np.ndarray, start: str) -> EmbeddingSet:
    tower = TowerInfo(spec=f"open_clip:{start}", modality="image", dim=vectors.shape[1], weights=start)
    ids = [f"{start}{row}" for row in range(len(vectors))]
    return import_vectors(folder, tower, [(vectors, pa.table({"id": ids, "half": list("AB" * (len(ids) // 2))}))], start)


def test_stored_pairs_carry_the_ids_of_their_queries(tmp_path: Path):
    generator = np.random.default_rng(2)
    queries = stored(tmp_path / "q", generator.normal(size=(10, 6)), "q")
    bank = stored(tmp_path / "b", generator.normal(size=(30, 6)), "b")
    chosen, half = queries.select(), bank.select({"half": "B"})
    made = store_pseudo_pairs(chosen, half, tmp_path / "pairs", shard_rows=4)
    assert made.ids == queries.ids and made.tower == bank.tower and len(made.manifest["shards"]) == 3
    np.testing.assert_allclose(made.vectors(), dense(queries.vectors(), bank.vectors()[1::2], 0.01), atol=1e-6)
    before = files_of(tmp_path / "pairs")
    store_pseudo_pairs(chosen, half, tmp_path / "pairs", shard_rows=4)
    assert files_of(tmp_path / "pairs") == before
    other = store_pseudo_pairs(chosen, bank.select({"half": "A"}), tmp_path / "pairs", shard_rows=4)
    np.testing.assert_allclose(other.vectors(), dense(queries.vectors(), bank.vectors()[::2], 0.01), atol=1e-6)


def test_spaces_that_differ_and_empty_selections_are_refused(tmp_path: Path):
    small = stored(tmp_path / "s", np.eye(4), "s").select()
    large = stored(tmp_path / "l", np.eye(6), "l").select()
    with pytest.raises(MismatchError, match=r"open_clip:s, 4 dimensions.*open_clip:l, 6 dimensions"):
        store_pseudo_pairs(small, large, tmp_path / "pairs")
    nothing = small.source.select({"half": "C"})
    for queries, bank, what in ((nothing, small, "queries"), (small, nothing, "bank")):
        with pytest.raises(DataError, match=f"the {what} of the pseudo-pairs .* are empty"):
            store_pseudo_pairs(queries, bank, tmp_path / "pairs")


def test_the_error_of_the_nearest_is_measured_against_the_exact_result():
    generator = np.random.default_rng(3)
    queries, bank = unit(generator.normal(size=(20, 16))), unit(generator.normal(size=(60, 16)))
    error = measure_top(queries, bank, 5, 0.1)
    logits = queries.astype(np.float64) @ bank.T.astype(np.float64) / 0.1
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    order = np.argsort(-logits, axis=1)[:, :5]
    near = np.stack([shares[row, chosen] @ bank[chosen] for row, chosen in enumerate(order)])
    cosines = (unit(near) * dense(queries, bank, 0.1)).sum(axis=1)
    assert error.mass == pytest.approx(np.take_along_axis(shares, order, 1).sum(axis=1).mean(), rel=1e-5)
    assert error.cosine == pytest.approx(cosines.mean(), rel=1e-5)
    assert error.least == pytest.approx(cosines.min(), rel=1e-5)
    assert 0.2 < error.mass < 0.9
    np.testing.assert_allclose(soft_retrieve_top(queries, bank, 5, 0.1), unit(near), atol=1e-5)
    assert measure_top(queries, bank, 60, 0.1).mass == pytest.approx(1)
