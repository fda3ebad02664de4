"""The test bed: minimulti into the real CLIP ViT-B/32 image space, measured on 160 test pictures in six languages.

Settings: *English only* (1,896 English texts with their CLIP text vectors, no other language), *unpaired* (the same texts, an
image bank and a text bank that share no picture) and *paired* (train captions with train vectors, with or without the texts).
Selection never sees the test split: a tenth of the English texts is held out, or the 80 validation pictures. Methods with
settings to choose get six trials each, by held-out rank, with seed 0; five seeds are then fitted with what was chosen.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from common import DATA, MODELS, REPOSITORY, RESULTS, RUNS, hashes, require, save_result, write_table
from test_bed_tables import comparisons, empty_cells, headline, languages_table, main_table
from tfidf import fit_tfidf_ridge

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.adapters.sources import Sources
from mella_retrieval.adapters.training import load_method, train
from mella_retrieval.benchmarks.evaluation import EvaluationSet, rank_system
from mella_retrieval.benchmarks.material import gallery_vectors, load_evaluation
from mella_retrieval.benchmarks.metrics import IMAGE_TO_TEXT, TEXT_TO_IMAGE
from mella_retrieval.benchmarks.protocols import get_protocol
from mella_retrieval.benchmarks.results import SystemInfo
from mella_retrieval.benchmarks.run import Setup, System, absent_english, adapter_system, run_task
from mella_retrieval.benchmarks.tasks import load_task
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import Records
from mella_retrieval.embeddings.embed import embed_texts
from mella_retrieval.embeddings.imports import import_file
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.encoders.loading import load_text_tower

BED = DATA / "flickr8k-clip"
WORK = RUNS / "test-bed"
CLIP = "open_clip:ViT-B-32/openai"
METHODS_USED = ("best", "best-pairs", "cca", "contrastive", "m2m", "procrustes", "ridge", "uclip")
RECIPES = (*(f"adapters/{name}.yaml" for name in METHODS_USED), "benchmarks/studies/test-bed.yaml")
SEEDS = 5
TFIDF = "TF-IDF + ridge per language"

Trials = tuple[tuple[str, ...], ...]


def grid(**values: tuple[float, ...]) -> Trials:
    """Overrides of every combination: six of them, the budget of each method that has something to choose."""
    chosen = product(*values.values())
    found = tuple(tuple(f"{name}={value}" for name, value in zip(values, one, strict=True)) for one in chosen)
    assert len(found) == 6
    return found


RIDGE = ("penalties=[0.1, 1, 3, 10, 30, 100]",)  # ridge and cca try theirs within one fit
CCA = ("penalties=[1, 3, 10]", "directions=[128, 384]")
UCLIP = grid(epochs=(20, 40, 60), learning_rate=(1e-3, 2e-3))
M2M = grid(epochs=(50, 200), learning_rate=(3e-4, 1e-3, 3e-3))
CONTRASTIVE = grid(temperature=(0.05, 0.07, 0.1), learning_rate=(2e-4, 5e-4))
SIGMOID = grid(temperature=(0.02, 0.05, 0.1), learning_rate=(2e-4, 5e-4))


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        setting, name: where it stands.
        recipe, overrides: what is trained.
        trials: overrides to choose from by held-out rank.
        pictures: a collection of pictures is known: its mean, and in `best` its vectors as a bank.
        shuffled: a control on destroyed pairs.
    """

    setting: str
    name: str
    recipe: str
    overrides: tuple[str, ...] = ()
    trials: Trials = ((),)
    pictures: bool = False
    shuffled: bool = False

    @property
    def label(self) -> str:
        """Name of its system."""
        return f"{self.setting}: {self.name}"


ENGLISH, UNPAIRED, PAIRED, BOTH = "English only", "unpaired", "paired", "paired, with anchors"
CENTRED = ("gallery=centred",)
ROWS = (
    Row(ENGLISH, "procrustes, index untouched", "procrustes"),
    Row(ENGLISH, "procrustes, gallery centred", "procrustes", CENTRED, pictures=True),
    Row(ENGLISH, "ridge, index untouched", "ridge", RIDGE),
    Row(ENGLISH, "ridge, gallery centred", "ridge", (*RIDGE, *CENTRED), pictures=True),
    Row(ENGLISH, "cca, no mean taken off", "cca", CCA),
    Row(ENGLISH, "cca, gallery centred", "cca", (*CCA, *CENTRED), pictures=True),
    Row(ENGLISH, "m2m, published schedule", "m2m"),
    Row(ENGLISH, "m2m, tuned", "m2m", (), M2M),
    Row(ENGLISH, "m2m, tuned, both sides re-centred", "m2m", ("recentre=true",), M2M, pictures=True),
    Row(ENGLISH, "best without hubness correction", "best", ("hubness=null",)),
    Row(ENGLISH, "best", "best"),
    Row(ENGLISH, "best, knows pictures", "best", (), ((),), pictures=True),
    Row(ENGLISH, "best on shuffled pairs", "best", (), ((),), shuffled=True),
    Row(UNPAIRED, "uclip, published", "uclip-published"),
    Row(UNPAIRED, "uclip, tuned", "uclip", ("shared_norm=true",), UCLIP),
    Row(UNPAIRED, "uclip, a norm for each side", "uclip"),
    Row(UNPAIRED, "uclip, image side untouched", "uclip", ("project_image=false",)),
    Row(UNPAIRED, "best", "best"),
    Row(UNPAIRED, "uclip on shuffled pairs", "uclip", ("epochs=20",), ((),), shuffled=True),
    Row(PAIRED, "ridge, index untouched", "ridge", RIDGE),
    Row(PAIRED, "ridge, gallery centred", "ridge", (*RIDGE, *CENTRED)),
    Row(PAIRED, "procrustes, index untouched", "procrustes"),
    Row(PAIRED, "procrustes, gallery centred", "procrustes", CENTRED),
    Row(PAIRED, "cca, gallery centred", "cca", (*CCA, *CENTRED)),
    Row(PAIRED, "contrastive infonce, gallery centred", "contrastive", ("loss=infonce", *CENTRED), CONTRASTIVE),
    Row(PAIRED, "contrastive sigmoid, gallery centred", "contrastive", ("loss=sigmoid", *CENTRED), SIGMOID),
    Row(PAIRED, "contrastive 1-to-K, gallery centred", "contrastive", CENTRED, CONTRASTIVE),
    Row(PAIRED, "contrastive 1-to-K, random start", "contrastive", ("start=random", *CENTRED), CONTRASTIVE),
    Row(PAIRED, "procrustes and ridge averaged, hubness", "best"),
    Row(PAIRED, "best-pairs", "best-pairs"),
    Row(PAIRED, "best-pairs on shuffled pairs", "best-pairs", (), ((),), shuffled=True),
    Row(BOTH, "ridge, gallery centred", "ridge", ("data=both", *RIDGE, *CENTRED)),
    Row(BOTH, "procrustes, gallery centred", "procrustes", ("data=both", *CENTRED)),
    Row(BOTH, "cca, gallery centred", "cca", ("data=both", *CCA, *CENTRED)),
    Row(BOTH, "contrastive 1-to-K, gallery centred", "contrastive", CENTRED, CONTRASTIVE),
    Row(BOTH, "procrustes and ridge averaged, hubness", "best"),
    Row(BOTH, "best-pairs without hubness correction", "best-pairs", ("hubness=null",)),
    Row(BOTH, "best-pairs", "best-pairs"),
)


@dataclass(frozen=True)
class Measured:
    """What the table says of a row beside its scores: R@10 of every seed by direction, seconds of one fit, numbers fitted."""

    seeds: Mapping[str, tuple[float, ...]]
    seconds: float
    parameters: int


def main() -> None:
    """Measure everything and renew the tables in adapters/README.md."""
    require(BED, MODELS / "minimulti")
    captions, sets = material()
    task = load_task(str(REPOSITORY / "benchmarks" / "studies" / "test-bed.yaml"))
    evaluation = load_evaluation(task, captions)
    systems, measured = [], {}
    for row in ROWS:
        overrides = choose(row)
        started = time.perf_counter()
        adapters = [_fit(row, overrides, seed) for seed in range(SEEDS)]
        seconds = (time.perf_counter() - started) / SEEDS
        asked = [_system(row, adapter, sets, evaluation, overrides) for adapter in adapters]
        systems.append(asked[0])
        numbers = adapters[0].text_head.parameters + adapters[0].image_head.parameters
        measured[row.label] = Measured(_recall_at_10(asked, evaluation), seconds, numbers)
        print(f"{row.label}: {' '.join(overrides)} {seconds:.1f} s", flush=True)
    systems.append(tfidf_system(captions, sets["images"], evaluation))
    systems.append(absent_english(evaluation, "the bed has CLIP text vectors of the anchors, not the text tower"))
    made_of = hashes(Path(__file__), sorted(path for path in BED.iterdir() if path.is_file()), RECIPES)
    results = run_task(Setup(task, evaluation, checksum=captions.fingerprint), systems)
    for result in results:
        save_result(result, RESULTS / "test-bed" / result.record.protocol, made_of, ["python benchmarks/studies/test_bed.py"])
    exact, page = results[0], REPOSITORY / "adapters" / "README.md"
    names = [system.info.name for system in systems[:-1]]
    write_table(page, "test bed", main_table(exact, names, measured))
    write_table(page, "test bed languages", languages_table(exact, names))
    write_table(page, "test bed empty cells", empty_cells())
    write_table(page, "test bed comparisons", comparisons(exact))
    write_table(REPOSITORY / "README.md", "readme", headline(exact))


def material() -> tuple[Records, Mapping[str, EmbeddingSet]]:
    """Records and embedding sets of the bed, made once under runs/."""
    if not (WORK / "captions" / "manifest.json").is_file():
        import_records(BED / "captions.parquet", WORK / "captions", overwrite=True)
        import_records(
            BED / "english_anchors.csv", WORK / "anchors", overwrite=True, lang="en", text_only=True, columns={"text_id": "row"}
        )
    captions, anchors = Records.load(WORK / "captions"), Records.load(WORK / "anchors")
    tower = load_text_tower(f"sentence-transformers:{MODELS / 'minimulti'}", device="cpu")
    clip_text = BED / "clip_vit_b32_openai_english_anchors.safetensors"
    image = BED / "clip_vit_b32_openai_image.safetensors"
    return captions, {
        "captions": embed_texts(captions, tower, WORK / "captions-text"),
        "anchors": embed_texts(anchors, tower, WORK / "anchors-text"),
        "clip": import_file(clip_text, BED / "english_anchors.csv", WORK / "anchors-clip", CLIP, "text", id_column="row"),
        "images": import_file(image, BED / "images.csv", WORK / "images", CLIP, "image", id_column="image_id"),
    }


def choose(row: Row) -> tuple[str, ...]:
    """The row's overrides with the trial that ranks held-out data best; the test split plays no part."""
    if len(row.trials) == 1:
        return row.overrides
    values = {}
    for trial in row.trials:
        overrides = (*row.overrides, *trial)
        values[overrides] = max(_fit(row, overrides, 0).config.selection["per_epoch"])
    return max(values, key=lambda overrides: values[overrides])


def _fit(row: Row, overrides: tuple[str, ...], seed: int) -> Adapter:
    english = {"english_text": f"{WORK / 'anchors-text'}", "clip_text": f"{WORK / 'anchors-clip'}"}
    paired = {"pairs": f"{WORK / 'captions-text'}", "image_vectors": f"{WORK / 'images'}"}
    banks = {
        "image_vectors": f"{WORK / 'images'}?split=train&half=A",
        "text_bank": f"{WORK / 'captions-text'}?split=train&half=B&lang=ar|zh|de|fr|cs",
    }
    known = {"image_vectors": f"{WORK / 'images'}"} if row.pictures else {}
    asked = {"queries": f"{WORK / 'anchors-text'}?kind=sentence"}
    sources = {
        ENGLISH: {**english, **known, **asked},
        UNPAIRED: {**english, **banks, **asked},
        PAIRED: paired,
        BOTH: {**english, **paired},
    }
    method, config = load_method(row.recipe, overrides)
    out = WORK / "adapters" / "".join(letter if letter.isalnum() else "-" for letter in row.label)
    return train(method, config, Sources(**sources[row.setting]), out, seed=seed, shuffle_pairs=row.shuffled, overwrite=True)


def _system(
    row: Row, adapter: Adapter, sets: Mapping[str, EmbeddingSet], evaluation: EvaluationSet, overrides: tuple[str, ...]
) -> System:
    role = "system" if row.label == f"{ENGLISH}: best" else "baseline"
    description = " ".join([row.setting, row.recipe, *overrides])
    return adapter_system(row.label, adapter, sets["images"], sets["captions"], evaluation, role=role, description=description)


def _recall_at_10(systems: list[System], evaluation: EvaluationSet) -> dict[str, tuple[float, ...]]:
    """Mean R@10 over the languages, of every system, by direction."""
    found: dict[str, list[float]] = {TEXT_TO_IMAGE: [], IMAGE_TO_TEXT: []}
    for system in systems:
        cells = rank_system(system.info.name, system.texts, system.images, evaluation, get_protocol("all-hit"))
        for way, values in found.items():
            values.append(float(np.mean([(cell.rank <= 10).mean() for cell in cells if cell.direction == way])))
    return {way: tuple(values) for way, values in found.items()}


def tfidf_system(captions: Records, images: EmbeddingSet, evaluation) -> System:  # type: ignore[no-untyped-def]
    """A text tower per language that knows nothing but the paired captions."""
    texts = {}
    image_rows = {key: row for row, key in enumerate(images.ids)}
    vectors = images.vectors()
    for language, asked in evaluation.captions.items():
        parts = {}
        for split in ("train", "validation"):
            table = captions.table(["image_id", "text"], where={"split": split, "lang": language})
            rows = np.array([image_rows[key] for key in table["image_id"].to_pylist()], dtype=np.int64)
            parts[split] = (table["text"].to_pylist(), rows)
        texts[language] = fit_tfidf_ridge(parts["train"], parts["validation"], vectors)(asked.text)
    train_images = images.select({"split": "train"}).vectors
    gallery = gallery_vectors(images, evaluation) - train_images.mean(0)
    info = SystemInfo(
        name=f"{PAIRED}: {TFIDF}",
        role="baseline",
        description="character n-gram TF-IDF and ridge into the centred image space, one per language (scikit-learn)",
        image_tower=images.tower.to_json(),
    )
    return System(info, texts, gallery)


if __name__ == "__main__":
    main()
