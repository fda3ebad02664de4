"""Token vectors of any rows: across shards, in any order, padded with a mask, from the memory map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.embeddings.tokens import TokenReader, pad
from mella_retrieval.embeddings.writing import EmbeddingWriter, Shard
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import ArtifactError

COUNTS = [3, 0, 1, 4, 2, 5, 1]
TOKENS = [np.random.default_rng(row).normal(size=(count, 2)).astype(np.float32) for row, count in enumerate(COUNTS)]


def write(folder: Path, tokens: bool = True) -> EmbeddingSet:
    """Seven rows in shards of three."""
    tower = TowerInfo(spec="module:a:B", modality="text", dim=2, weights="a" * 64)
    writer = EmbeddingWriter(folder, tower, {"dtype": "float32", "tokens": tokens})
    writer.open()
    for start in range(0, 7, 3):
        own = TOKENS[start : start + 3]
        ids = [str(row) for row in range(start, start + len(own))]
        writer.add(Shard(np.ones((len(own), 2), np.float32), {"id": ids}, own if tokens else None), inputs=len(own))
    return writer.finish()


@pytest.fixture
def reader(tmp_path: Path) -> TokenReader:
    return TokenReader(write(tmp_path / "set"))


@pytest.mark.parametrize("rows", [[0], [6, 0, 3], [2, 2, 1], [], list(range(7))])
def test_rows_in_any_order_across_shards(reader: TokenReader, rows: list[int]):
    found = reader.rows(rows)
    assert len(found) == len(rows)
    for row, tokens in zip(rows, found, strict=True):
        assert tokens.dtype == np.float32
        assert np.array_equal(tokens, TOKENS[row])


def test_a_padded_batch_holds_the_same_tokens_behind_its_mask(reader: TokenReader):
    vectors, mask = reader.padded([5, 1, 2])
    assert vectors.shape == (3, 5, 2)
    assert mask.sum(1).tolist() == [5, 0, 1]
    assert np.array_equal(vectors[2][mask[2]], TOKENS[2])
    assert not vectors[~mask].any()


def test_no_rows_are_an_empty_batch():
    vectors, mask = pad([], 4)
    assert vectors.shape == (0, 0, 4) and mask.shape == (0, 0)


@pytest.mark.parametrize("row", [-1, 7])
def test_rows_that_are_not_there(reader: TokenReader, row: int):
    with pytest.raises(IndexError, match="which has 7"):
        reader.rows([0, row])


def test_a_set_without_tokens_is_refused(tmp_path: Path):
    with pytest.raises(ArtifactError, match="make it again with --tokens"):
        TokenReader(write(tmp_path / "bare", tokens=False))
