"""A text that serves as a description of a gallery is never also a query."""

from __future__ import annotations

from mella_retrieval.adapters.leccr.scenes import DESCRIBED, text_hash
from mella_retrieval.benchmarks.evaluation import EvaluationSet
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.errors import DataError


def refuse_descriptions(images: EmbeddingSet, evaluation: EvaluationSet) -> None:
    """Compare all captions that would be asked with the descriptions that enriched the gallery, whichever picture they are of.

    Raises:
        DataError: some are descriptions. They are not left out: a test set never shrinks, the descriptions have to go.
    """
    if DESCRIBED not in images.table.column_names:
        return
    described = {key for keys in images.column(DESCRIBED) for key in keys or ()}
    asked = [
        text
        for captions in evaluation.captions.values()
        for text, text_id in zip(captions.text, captions.text_id, strict=True)
        if text_hash(text) in described or text_hash(text_id) in described
    ]
    if asked:
        raise DataError(
            f"{len(asked)} captions of the test set are descriptions that enriched {images.folder} (the first is {asked[0]!r}): "
            "a description is never also a query. Leave these descriptions out and enrich again."
        )
