"""Corrections served by an index beside correcting the whole score matrix: `python benchmarks/studies/served_scoring.py`.

Renews the table in docs/searching.md. The gallery is all 891 pictures of the test bed, training pictures too, so the table tells
what serving costs and not how good a system is. Needs the folders that `test_bed.py` leaves in runs/.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from common import REPOSITORY, RESULTS, RUNS, hashes, markdown, require, save_json, write_table

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.artifacts import fingerprint
from mella_retrieval.embeddings.imports import import_vectors, normalised
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.indexes.scoring.bank import Bank
from mella_retrieval.indexes.scoring.methods import fit_scoring
from mella_retrieval.indexes.scoring.recipe import ScoringRecipe
from mella_retrieval.retriever import build_index

WORK = RUNS / "test-bed"
ADAPTER = WORK / "adapters" / "scoring-paired-gallery-centred"
METHODS = ("nnn", "csls", "inverted-softmax")
ALL_LISTS, WIDE = {"nprobe": 16}, {"efSearch": 512}
KINDS: dict[str, tuple[IndexRecipe, str]] = {
    "Flat": (IndexRecipe(), "auto"),
    "IVF16,Flat, all lists": (IndexRecipe(factory="IVF16,Flat", search=ALL_LISTS), "auto"),
    "HNSW32, efSearch 512": (IndexRecipe(factory="HNSW32", search=WIDE), "auto"),
    "SQ8": (IndexRecipe(factory="SQ8"), "auto"),
    "SQ8, rerank 4": (IndexRecipe(factory="SQ8", rerank=4), "auto"),
    "PQ64x4, rerank 10": (IndexRecipe(factory="PQ64x4", rerank=10), "auto"),
    "PQ64x4, rerank 10, place: rerank": (IndexRecipe(factory="PQ64x4", rerank=10), "rerank"),
    "RR512,RaBitQ, rerank 4": (IndexRecipe(factory="RR512,RaBitQ", rerank=4), "auto"),
    "RR512,RaBitQ, rerank 4, place: rerank": (IndexRecipe(factory="RR512,RaBitQ", rerank=4), "rerank"),
}


def main() -> None:
    """Build every kind with every correction and compare."""
    require(REPOSITORY.parent / "shared")
    if not ADAPTER.is_dir():
        raise SystemExit("run benchmarks/studies/test_bed.py and scoring.py first: their vectors and adapter are used here.")
    images, captions = EmbeddingSet.load(WORK / "images"), EmbeddingSet.load(WORK / "captions-text")
    adapter, train, test = Adapter.load(ADAPTER), captions.select({"split": "train"}), captions.select({"split": "test"})
    queries = adapter.map_text(test.vectors)
    queries = normalised(queries, queries.shape[1], "the captions")
    gallery, target = adapter.map_image(images.vectors()), test.column("image_id")

    def recall(found: list[list[str]]) -> float:
        return 100 * float(np.mean([wanted in hits[:10] for wanted, hits in zip(target, found, strict=True)]))

    def ranked(scores: np.ndarray) -> list[list[str]]:
        return [[images.ids[row] for row in np.argsort(-line, kind="stable")[:10]] for line in scores]

    table: dict[str, dict[str, float]] = {"plain cosines": {}, "whole score matrix": {}}
    with tempfile.TemporaryDirectory() as folder:
        rows = pa.table({"id": [str(row) for row in range(len(train))], "lang": train.column("lang")})
        bank = import_vectors(Path(folder) / "bank", captions.tower, [(train.vectors, rows)], fingerprint(train.fingerprint))
        for method in METHODS:
            table["plain cosines"][method] = recall(ranked(queries @ gallery.T))
            fitted = fit_scoring(method, gallery, Bank(adapter.map_text(train.vectors)))
            table["whole score matrix"][method] = recall(ranked(fitted.rescore(queries @ gallery.T)))
            for name, (recipe, place) in KINDS.items():
                served = recipe.model_copy(update={"scoring": ScoringRecipe(method=method, place=place)})
                index = build_index(images, Path(folder) / "index", served, adapter=ADAPTER, bank=bank, overwrite=True)
                table.setdefault(name, {})[method] = recall(index.search(queries, 10).ids)
                print(name, method, table[name][method], flush=True)
    made_of = hashes(Path(__file__), [], ())
    save_json(RESULTS / "served-scoring" / "result.json", {"hashes": made_of, "captions": len(test), "recall": table})
    lines = [[name, *(f"{values[method]:.1f}" for method in METHODS)] for name, values in table.items()]
    write_table(REPOSITORY / "docs" / "searching.md", "served", markdown(["R@10, text to image", *METHODS], lines))


if __name__ == "__main__":
    main()
