"""clip-benchmark's own retrieval metric on the shared vectors: `.venv-peers/bin/python benchmarks/parity/clip_benchmark_peer.py`.

Asked with the first caption of every picture (the protocol `first`) and with all of them (`all-hit`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from clip_benchmark.metrics import zeroshot_retrieval
from recorded import Scores, record
from torch.utils.data import DataLoader
from vectors import VectorSet

from mella_retrieval.benchmarks.protocols import get_protocol

PROTOCOLS = ("first", "all-hit")


class Vectors:
    """A CLIP-like model whose pictures are vectors already, and whose tokens are row numbers."""

    def __init__(self, texts: torch.Tensor) -> None:
        self._texts = texts

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """(n, d) as they are."""
        return images

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """(n, d) by row number."""
        return self._texts[tokens]


def ask(vectors: VectorSet) -> Scores:
    """Both protocols, all languages."""
    return {name: {language: _one(vectors, language, name) for language in vectors.texts} for name in PROTOCOLS}


def _one(vectors: VectorSet, language: str, protocol: str) -> dict[str, float]:
    captions = vectors.evaluation.captions[language]
    rows = {key: row for row, key in enumerate(captions.text_id)}
    own: list[list[str]] = [[] for _ in vectors.evaluation.image_ids]
    for row in get_protocol(protocol).select(captions).captions:
        own[captions.image[row]].append(captions.text_id[row])
    pictures = torch.from_numpy(vectors.images)
    loader = DataLoader(list(zip(pictures, own, strict=True)), batch_size=64, collate_fn=_batch)

    def tokenizer(texts: list[str]) -> torch.Tensor:
        return torch.tensor([rows[text] for text in texts], dtype=torch.int64)

    model = Vectors(torch.from_numpy(vectors.texts[language]))
    found = zeroshot_retrieval.evaluate(model, loader, tokenizer, "cpu", amp=False, recall_k_list=[1, 5, 10])
    return {name: float(value) for name, value in found.items()}


def _batch(items: Sequence[tuple[torch.Tensor, list[str]]]) -> tuple[torch.Tensor, list[list[str]]]:
    return torch.stack([picture for picture, _ in items]), [texts for _, texts in items]


if __name__ == "__main__":
    record(__file__, "clip-benchmark", ("clip-benchmark", "torch", "numpy"), ask)
