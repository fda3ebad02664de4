"""mteb's own retrieval evaluation on the shared vectors: `.venv-peers/bin/python benchmarks/parity/mteb_peer.py`.

Two local tasks (text to image, image to text) with one subset per language, run through the wrapper that ships with the
package. Its towers answer from a table: a caption by its id, a picture by the number painted into its one pixel.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import mteb
import numpy as np
import torch
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
from mteb.abstasks.task_metadata import TaskMetadata
from PIL import Image
from recorded import Scores, record
from vectors import Floats, VectorSet

from mella_retrieval import languages
from mella_retrieval.benchmarks.evaluation import EvaluationSet
from mella_retrieval.benchmarks.metrics import DIRECTIONS, TEXT_TO_IMAGE
from mella_retrieval.benchmarks.mteb import AdapterEncoder
from mella_retrieval.encoders.towers import NO_LIMIT, Encoded, TowerInfo, normalise_rows

KEPT = re.compile(r"(recall|hit_rate)_at_\d+|ndcg_at_10|(mrr|map)_at_1000")


class StoredImages:
    """An image tower that looks a picture's vector up."""

    def __init__(self, vectors: Floats) -> None:
        self.info = TowerInfo(spec="module:mteb_peer:Stored", modality="image", dim=vectors.shape[1], weights="stored vectors")
        self._vectors = vectors

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """The number in the picture."""
        red, green, blue = image.getpixel((0, 0))
        return torch.tensor(red << 16 | green << 8 | blue)

    def encode(self, batch: Sequence[torch.Tensor], tokens: bool = False) -> Encoded:
        """The vectors of those numbers."""
        return Encoded(normalise_rows(self._vectors[[int(row) for row in batch]]))


class StoredTexts:
    """A text tower that looks a caption's vector up in the language that it is told."""

    max_tokens = NO_LIMIT

    def __init__(self, vectors: VectorSet) -> None:
        dim = vectors.images.shape[1]
        self.info = TowerInfo(spec="module:mteb_peer:Stored", modality="text", dim=dim, weights="stored vectors")
        self._vectors = vectors
        captions = vectors.evaluation.captions
        self._rows = {code: {key: row for row, key in enumerate(captions[code].text_id)} for code in captions}

    def prepare(self, text: str, lang: str | None = None) -> str:
        """As it is."""
        return text

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Not known."""
        return [0] * len(texts)

    def encode(self, texts: Sequence[str], langs: Sequence[str] | None = None, tokens: bool = False) -> Encoded:
        """The vectors of those captions."""
        asked = zip(texts, langs or (), strict=True)
        return Encoded(normalise_rows(np.stack([self._vectors.texts[code][self._rows[code][text]] for text, code in asked])))


def local_task(evaluation: EvaluationSet, pictures: Sequence[Image.Image], direction: str) -> AbsTaskRetrieval:
    """A task with a subset for every language; pictures in the order of the gallery."""
    images = Dataset.from_dict({"id": list(evaluation.image_ids), "image": list(pictures)})

    class Local(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name=f"Local{direction.upper()}Retrieval",
            description="vectors that are shared with other evaluations",
            reference=None,
            dataset={"path": "local/none", "revision": "1"},
            type="Any2AnyMultilingualRetrieval",
            category=direction,
            eval_splits=["test"],
            eval_langs={code: [_as_mteb(code)] for code in evaluation.captions},
            main_score="ndcg_at_10",
            date=None,
            domains=None,
            task_subtypes=["Image Text Retrieval"],
            license=None,
            annotations_creators=None,
            dialect=None,
            modalities=["text", "image"],
            sample_creation=None,
            bibtex_citation=None,
        )

        def load_data(self, num_proc: int | None = None, **_: Any) -> None:
            self.dataset = {code: {"test": _split(evaluation, code, direction, images)} for code in self.hf_subsets}
            self.data_loaded = True

    return Local()


def _split(evaluation: EvaluationSet, language: str, direction: str, images: Dataset) -> RetrievalSplitData:
    captions = evaluation.captions[language]
    texts = Dataset.from_dict({"id": list(captions.text_id), "text": list(captions.text)})
    relevant: dict[str, dict[str, int]] = {}
    for key, row in zip(captions.text_id, captions.image, strict=True):
        image = evaluation.image_ids[row]
        query, document = (key, image) if direction == TEXT_TO_IMAGE else (image, key)
        relevant.setdefault(query, {})[document] = 1
    queries, corpus = (texts, images) if direction == TEXT_TO_IMAGE else (images, texts)
    return RetrievalSplitData(corpus=corpus, queries=queries, relevant_docs=relevant, top_ranked=None)


def _as_mteb(code: str) -> str:
    language = languages.get(code)
    return f"{language.iso639_3}-{'Hans' if code == 'zh' else language.script}"


def ask(vectors: VectorSet) -> Scores:
    """Both tasks, all languages; the names carry the direction."""
    encoder = AdapterEncoder(None, StoredTexts(vectors), StoredImages(vectors.images))
    pictures = [Image.new("RGB", (1, 1), (row >> 16, row >> 8 & 255, row & 255)) for row in range(len(vectors.images))]
    ids = {code: replace(captions, text=captions.text_id) for code, captions in vectors.evaluation.captions.items()}
    evaluation = EvaluationSet(vectors.evaluation.image_ids, ids)
    found: dict[str, dict[str, float]] = {language: {} for language in vectors.texts}
    for direction in DIRECTIONS:
        task = local_task(evaluation, pictures, direction)
        result = mteb.evaluate(encoder, task, cache=None, co2_tracker=False, show_progress_bar=False)
        for scores in result.task_results[0].scores["test"]:
            kept = {f"{direction}_{name}": value for name, value in scores.items() if KEPT.fullmatch(name)}
            found[scores["hf_subset"]].update(kept)
    return {"all": found}


if __name__ == "__main__":
    packages = ("mteb", "pytrec-eval-terrier", "torch", "numpy")
    record(__file__, "mteb", packages, ask, through=("mella_retrieval/benchmarks/mteb.py",))
