"""sentence-transformers' InformationRetrievalEvaluator on the shared vectors, both directions, all captions:
`.venv-peers/bin/python benchmarks/parity/sentence_transformers_peer.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from recorded import Scores, record
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.util import cos_sim
from vectors import VectorSet

CUTOFFS = [1, 3, 5, 10, 20, 100, 1000]


class Vectors:
    """What the evaluator asks of a model, answered from a table."""

    similarity_fn_name = "cosine"
    similarity = staticmethod(cos_sim)

    def __init__(self, table: Mapping[str, torch.Tensor]) -> None:
        self._table = table

    def encode_query(self, inputs: Sequence[str], **_: Any) -> torch.Tensor:
        """(n, d) by id."""
        return torch.stack([self._table[key] for key in inputs])

    encode_document = encode_query


class Evaluator(InformationRetrievalEvaluator):
    """The evaluator as it is, without a model card to write to."""

    def store_metrics_in_model_card_data(self, *_: Any, **__: Any) -> None:
        """There is none."""


def ask(vectors: VectorSet) -> Scores:
    """All languages; the names carry the direction."""
    pictures = dict(zip(vectors.evaluation.image_ids, torch.from_numpy(vectors.images), strict=True))
    return {"all": {language: _one(vectors, language, pictures) for language in vectors.texts}}


def _one(vectors: VectorSet, language: str, pictures: Mapping[str, torch.Tensor]) -> dict[str, float]:
    captions = vectors.evaluation.captions[language]
    texts = dict(zip(captions.text_id, torch.from_numpy(vectors.texts[language]), strict=True))
    owner = {key: vectors.evaluation.image_ids[row] for key, row in zip(captions.text_id, captions.image, strict=True)}
    own: dict[str, set[str]] = {}
    for key, image in owner.items():
        own.setdefault(image, set()).add(key)
    model = Vectors({**pictures, **texts})
    return {
        **_evaluate("t2i", model, list(texts), list(pictures), {key: {image} for key, image in owner.items()}),
        **_evaluate("i2t", model, list(pictures), list(texts), own),
    }


def _evaluate(
    name: str, model: Vectors, queries: Sequence[str], gallery: Sequence[str], relevant: dict[str, set[str]]
) -> dict[str, float]:
    whole = [len(gallery)]  # its MRR and MAP stop at a rank; ours do not
    evaluator = Evaluator(
        queries={key: key for key in queries},
        corpus={key: key for key in gallery},
        relevant_docs=relevant,
        accuracy_at_k=CUTOFFS,
        precision_recall_at_k=CUTOFFS,
        ndcg_at_k=[10],
        mrr_at_k=whole,
        map_at_k=whole,
        name=name,
        write_csv=False,
    )
    wanted = ("accuracy@", "recall@", "ndcg@10", "mrr@", "map@")
    found = evaluator(model)
    return {key: float(value) for key, value in found.items() if key.removeprefix(f"{name}_cosine_").startswith(wanted)}


if __name__ == "__main__":
    record(__file__, "sentence-transformers", ("sentence-transformers", "torch", "numpy"), ask)
