"""How `best` was designed: its parts, measured on training pictures that a fit has not seen. The test split plays no part.

Three galleries of 160 training pictures (none of them has a sentence among the English texts); each time everything is fitted on
the other training pictures and chosen on the 80 validation pictures, as always.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import MODELS, REPOSITORY, RESULTS, hashes, markdown, require, save_json, write_table
from test_bed import BED, WORK, material

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.adapters.sources import Sources
from mella_retrieval.adapters.training import load_method, train
from mella_retrieval.benchmarks.evaluation import EvaluationSet, rank_system
from mella_retrieval.benchmarks.material import caption_vectors, gallery_vectors
from mella_retrieval.benchmarks.metrics import IMAGE_TO_TEXT, TEXT_TO_IMAGE
from mella_retrieval.benchmarks.protocols import Captions, get_protocol
from mella_retrieval.data.records import Records
from mella_retrieval.embeddings.sets import EmbeddingSet

LANGUAGES = ("en", "ar", "zh", "de", "fr", "cs")
FOLDS, GALLERY = 3, 160


@dataclass(frozen=True)
class Row:
    """What is fitted: a recipe with overrides, on English texts and pictures alone or on pairs too."""

    name: str
    recipe: str
    overrides: tuple[str, ...] = ()
    paired: bool = True


def part(method: str, weight: float, **options: object) -> str:
    """One part of an average, as a recipe writes it."""
    settings = {"data": "all", "gallery": "auto", "english_weight": 10} if method != "contrastive" else {"gallery": "auto"}
    listed = ", ".join(f"{name}: {value}" for name, value in {**settings, **options}.items())
    return f"{{method: {method}, weight: {weight}, {listed}}}"


CLOSED = f"parts=[{part('procrustes', 0.6)}, {part('ridge', 0.4)}]"
TRAINED = f"{CLOSED[:-1]}, {part('contrastive', 1)}]"
HUBS = "hubness={weight: 0.5}"
ROWS = (
    Row("English only: procrustes", "procrustes", ("gallery=centred",), paired=False),
    Row("English only: procrustes and ridge averaged", "best", (CLOSED, "hubness=null"), paired=False),
    Row("English only: procrustes, hubness", "procrustes", ("gallery=centred", HUBS), paired=False),
    Row("English only: best", "best", (), paired=False),
    Row("pairs and English: procrustes", "procrustes", ("data=both", "gallery=centred", "english_weight=10")),
    Row("pairs and English: procrustes, hubness", "procrustes", ("data=both", "gallery=centred", "english_weight=10", HUBS)),
    Row("pairs and English: procrustes and ridge averaged, hubness", "best", (CLOSED,)),
    Row("pairs and English: the same, an English text counts 1", "best", (CLOSED.replace("weight: 10", "weight: 1"),)),
    Row("pairs and English: the same, an English text counts 40", "best", (CLOSED.replace("weight: 10", "weight: 40"),)),
    Row("pairs and English: plain cca, hubness", "cca", ("data=both", "gallery=centred", "english_weight=10", "power=0", HUBS)),
    Row("pairs and English: best-pairs without hubness", "best-pairs", ("hubness=null",)),
    Row("pairs and English: procrustes, ridge and contrastive averaged, hubness", "best", (TRAINED,)),
    Row("pairs and English: contrastive, hubness", "contrastive", ("gallery=centred", HUBS)),
    Row("pairs and English: best-pairs", "best-pairs"),
)


def main() -> None:
    """Measure and renew the table in adapters/README.md."""
    require(BED, MODELS / "minimulti")
    captions, sets = material()
    folds = galleries(sets)
    values = {row.name: np.mean([measure(row, fold, captions, sets) for fold in folds], axis=0) for row in ROWS}
    made_of = hashes(Path(__file__), sorted(path for path in BED.iterdir() if path.is_file()))
    columns = ["T->I R@1", "T->I R@10", "I->T R@1", "I->T R@10"]
    found = {name: dict(zip(columns, map(float, value), strict=True)) for name, value in values.items()}
    save_json(RESULTS / "design" / "result.json", {"hashes": made_of, "mean over folds and languages": found})
    rows = [[name, *(f"{100 * number:.1f}" for number in value)] for name, value in values.items()]
    write_table(REPOSITORY / "adapters" / "README.md", "design", markdown(["fitted on: what", *columns], rows))


def galleries(sets: dict[str, EmbeddingSet]) -> list[list[str]]:
    """Training pictures without a sentence among the English texts, in three parts."""
    named = {str(image) for image in sets["anchors"].column("image_id")}
    free = sorted(set(sets["images"].select({"split": "train"}).ids) - named)
    order = np.random.default_rng(0).permutation(len(free))
    return [[free[place] for place in order[fold * GALLERY : (fold + 1) * GALLERY]] for fold in range(FOLDS)]


def measure(row: Row, gallery: list[str], captions: Records, sets: dict[str, EmbeddingSet]) -> tuple[float, float, float, float]:
    """Mean recalls over the languages in one gallery."""
    evaluation = _evaluation(gallery, captions)
    adapter = _fit(row, gallery, sets)
    texts = {code: adapter.map_text(rows) for code, rows in caption_vectors(sets["captions"], evaluation).items()}
    images = adapter.map_image(gallery_vectors(sets["images"], evaluation))
    cells = rank_system(row.name, texts, images, evaluation, get_protocol("all-hit"))
    ranks = {way: [cell.rank for cell in cells if cell.direction == way] for way in (TEXT_TO_IMAGE, IMAGE_TO_TEXT)}
    one, ten = ({way: float(np.mean([(rank <= k).mean() for rank in found])) for way, found in ranks.items()} for k in (1, 10))
    return one[TEXT_TO_IMAGE], ten[TEXT_TO_IMAGE], one[IMAGE_TO_TEXT], ten[IMAGE_TO_TEXT]


def _fit(row: Row, gallery: list[str], sets: dict[str, EmbeddingSet]) -> Adapter:
    rest = "|".join(sorted(set(sets["images"].select({"split": "train"}).ids) - set(gallery)))
    validation = "|".join(sets["images"].select({"split": "validation"}).ids)
    sources = {
        "english_text": f"{WORK / 'anchors-text'}",
        "clip_text": f"{WORK / 'anchors-clip'}",
        "queries": f"{WORK / 'anchors-text'}?kind=sentence",
        "image_vectors": f"{WORK / 'images'}?image_id={rest}",
    }
    if row.paired:
        sources |= {
            "pairs": f"{WORK / 'captions-text'}?split=train&image_id={rest}",
            "validation": f"{WORK / 'captions-text'}?split=validation",
            "image_vectors": f"{WORK / 'images'}?image_id={rest}|{validation}",
        }
        del sources["queries"]
    method, config = load_method(row.recipe, row.overrides)
    return train(method, config, Sources(**sources), WORK / "adapters" / "design", overwrite=True)


def _evaluation(gallery: list[str], captions: Records) -> EvaluationSet:
    places = {image: row for row, image in enumerate(gallery)}
    found = {}
    for code in LANGUAGES:
        table = captions.table(["image_id", "text", "text_id"], where={"split": "train", "lang": code})
        rows = [row for row in table.to_pylist() if row["image_id"] in places]
        images = np.array([places[row["image_id"]] for row in rows])
        found[code] = Captions(images, [row["text"] for row in rows], [row["text_id"] for row in rows])
    return EvaluationSet(tuple(gallery), found)


if __name__ == "__main__":
    main()
