"""A gallery that was enriched with descriptions is never asked with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mella_retrieval.adapters.leccr.scenes import DESCRIBED, text_hash
from mella_retrieval.benchmarks.descriptions import refuse_descriptions
from mella_retrieval.benchmarks.evaluation import EvaluationSet
from mella_retrieval.benchmarks.protocols import Captions
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.embeddings.writing import EmbeddingWriter, Shard
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import DataError

EVALUATION = EvaluationSet(
    ("a", "b"),
    {"en": Captions(np.array([0, 1]), ["A dog .", "two cats"], ["t1", "t2"]), "cs": Captions(np.array([0]), ["pes"], ["t3"])},
)


def gallery(folder: Path, *described: str, column: str = DESCRIBED) -> EmbeddingSet:
    writer = EmbeddingWriter(
        folder, TowerInfo(spec="leccr:x", modality="image", dim=2, weights="a"), {"dtype": "float32", "tokens": False}
    )
    writer.open()
    keys = pa.array([[text_hash(text) for text in described], []], pa.list_(pa.string()))
    writer.add(Shard(np.ones((2, 2), np.float32), {"id": ["a", "b"], column: keys}), inputs=2)
    return writer.finish()


@pytest.mark.parametrize("said", ["a dog", "PES!", "t2"])
def test_a_caption_that_is_a_description_is_refused_whichever_picture_it_is_of(said: str, tmp_path: Path):
    with pytest.raises(DataError, match="1 captions of the test set are descriptions"):
        refuse_descriptions(gallery(tmp_path / "e", "something else", said), EVALUATION)


def test_other_descriptions_and_raw_vectors_pass(tmp_path: Path):
    refuse_descriptions(gallery(tmp_path / "e", "a dog and a cat"), EVALUATION)
    refuse_descriptions(gallery(tmp_path / "r", "a dog", column="another"), EVALUATION)
