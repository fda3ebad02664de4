"""The test bed: minimulti into the real CLIP ViT-B/32 image space, measured on 160 test pictures in six languages.

Settings: *English only* (1,896 English texts with their CLIP text vectors, no picture, no other language), *unpaired* (the same
texts, an image bank and a text bank that share no picture) and *paired* (train captions with train vectors). Selection never sees
the test split: a tenth of the English texts is held out, or the 80 validation pictures are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import DATA, MODELS, REPOSITORY, RESULTS, RUNS, hashes, markdown, percent, require, save_result, write_table
from tfidf import fit_tfidf_ridge

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.adapters.sources import Sources
from mella_retrieval.adapters.training import load_method, train
from mella_retrieval.benchmarks.comparison import compare
from mella_retrieval.benchmarks.material import gallery_vectors, load_evaluation
from mella_retrieval.benchmarks.metrics import IMAGE_TO_TEXT, TEXT_TO_IMAGE
from mella_retrieval.benchmarks.results import Result, SystemInfo
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
RECIPES = ("adapters/ridge.yaml", "adapters/procrustes.yaml", "adapters/uclip.yaml", "benchmarks/studies/test-bed.yaml")
TUNED_EPOCHS = (30, 60, 120, 200)
TFIDF = "TF-IDF + ridge per language"


@dataclass(frozen=True)
class Row:
    """One line of the table: the setting, a name, the recipe with its overrides, and whether its pairs are shuffled."""

    setting: str
    name: str
    recipe: str
    overrides: tuple[str, ...] = ()
    shuffled: bool = False


ENGLISH, UNPAIRED, PAIRED, BOTH = "English only", "unpaired", "paired", "paired, with anchors"
ROWS = (
    Row(ENGLISH, "procrustes, index untouched", "procrustes"),
    Row(ENGLISH, "procrustes, gallery centred", "procrustes", ("gallery=centred",)),
    Row(ENGLISH, "ridge, index untouched", "ridge"),
    Row(ENGLISH, "ridge, gallery centred", "ridge", ("gallery=centred",)),
    Row(ENGLISH, "procrustes on shuffled pairs", "procrustes", (), True),
    Row(UNPAIRED, "uclip, published schedule", "uclip", ("epochs=5", "batch_size=512")),
    Row(UNPAIRED, "uclip, tuned schedule", "uclip"),
    Row(UNPAIRED, "uclip on shuffled pairs", "uclip", (), True),
    Row(PAIRED, "ridge, index untouched", "ridge"),
    Row(PAIRED, "ridge, gallery centred", "ridge", ("gallery=centred",)),
    Row(PAIRED, "procrustes, index untouched", "procrustes"),
    Row(PAIRED, "procrustes, gallery centred", "procrustes", ("gallery=centred",)),
    Row(PAIRED, "ridge on shuffled pairs", "ridge", ("gallery=centred",), True),
    Row(BOTH, "ridge, gallery centred", "ridge", ("data=both", "gallery=centred")),
    Row(BOTH, "procrustes, gallery centred", "procrustes", ("data=both", "gallery=centred")),
)


def main() -> None:
    """Measure everything and renew the table in adapters/README.md."""
    require(BED, MODELS / "minimulti")
    captions, sets = material()
    task = load_task(str(REPOSITORY / "benchmarks" / "studies" / "test-bed.yaml"))
    evaluation = load_evaluation(task, captions)
    systems = [
        adapter_system(
            f"{row.setting}: {row.name}",
            fit(row),
            sets["images"],
            sets["captions"],
            evaluation,
            role="baseline",
            description=row.setting,
        )
        for row in ROWS
    ]
    systems[0] = System(systems[0].info.model_copy(update={"role": "system"}), systems[0].texts, systems[0].images)
    systems.append(tfidf_system(captions, sets["images"], evaluation))
    systems.append(absent_english(evaluation, "the bed has CLIP text vectors of the anchors, not the text tower"))
    made_of = hashes(Path(__file__), sorted(path for path in BED.iterdir() if path.is_file()), RECIPES)
    results = run_task(Setup(task, evaluation, checksum=captions.fingerprint), systems)
    for result in results:
        save_result(result, RESULTS / "test-bed" / result.record.protocol, made_of, ["python benchmarks/studies/test_bed.py"])
        name = f"test bed {result.record.protocol}"
        write_table(REPOSITORY / "adapters" / "README.md", name, table(result, [system.info.name for system in systems[:-1]]))
    write_table(REPOSITORY / "adapters" / "README.md", "test bed comparisons", comparisons(results[0]))
    write_table(REPOSITORY / "README.md", "readme", headline(results[0]))


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


def fit(row: Row) -> Adapter:
    """Train one row's adapter; the tuned schedule of uCLIP is the one with the best held-out text-to-text rank."""
    overrides = [row.overrides]
    if row.name == "uclip, tuned schedule":
        overrides = [(f"epochs={epochs}",) for epochs in TUNED_EPOCHS]
    fitted = [_fit(row, chosen) for chosen in overrides]
    return max(fitted, key=lambda adapter: max(adapter.config.selection.get("per_epoch", [0])))


def _fit(row: Row, overrides: tuple[str, ...]) -> Adapter:
    english = {"english_text": f"{WORK / 'anchors-text'}", "clip_text": f"{WORK / 'anchors-clip'}"}
    paired = {"pairs": f"{WORK / 'captions-text'}", "image_vectors": f"{WORK / 'images'}"}
    banks = {
        "image_vectors": f"{WORK / 'images'}?split=train&half=A",
        "text_bank": f"{WORK / 'captions-text'}?split=train&half=B&lang=ar|zh|de|fr|cs",
    }
    mean = {"image_vectors": f"{WORK / 'images'}"} if "gallery=centred" in overrides else {}
    sources = {ENGLISH: {**english, **mean}, UNPAIRED: {**english, **banks}, PAIRED: paired, BOTH: {**english, **paired}}
    method, config = load_method(row.recipe, overrides)
    name = "-".join([row.setting, row.name, *overrides]).replace(" ", "-").replace(",", "").replace("=", "-")
    return train(
        method, config, Sources(**sources[row.setting]), WORK / "adapters" / name, shuffle_pairs=row.shuffled, overwrite=True
    )


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


def table(result: Result, systems: list[str]) -> list[str]:
    """R@10 of every row: mean with interval in both directions, then each language."""
    languages = result.record.data.languages
    head = ["setting", "method", "T->I mean [95 %]", "I->T mean [95 %]", *(f"{code} T->I / I->T" for code in languages)]
    rows = []
    for system in [*systems, "shuffled pairs", "chance"]:
        setting, _, name = system.rpartition(": ")
        means = [percent(result, system, "mean", way, interval=True) for way in (TEXT_TO_IMAGE, IMAGE_TO_TEXT)]
        each = [" / ".join(percent(result, system, code, way) for way in (TEXT_TO_IMAGE, IMAGE_TO_TEXT)) for code in languages]
        label = {"shuffled pairs": "first row, asked with other pictures' captions", "chance": "chance (computed)"}.get(
            name, name
        )
        rows.append([setting, label, *means, *each])
    return markdown(head, rows)


def headline(result: Result) -> list[str]:
    """The few rows of the README."""
    wanted = (
        f"{ENGLISH}: procrustes, index untouched",
        f"{UNPAIRED}: uclip, tuned schedule",
        f"{PAIRED}: ridge, gallery centred",
        f"{PAIRED}: procrustes, gallery centred",
        f"{PAIRED}: {TFIDF}",
        f"{ENGLISH}: procrustes on shuffled pairs",
        "chance",
    )
    rows = []
    for system in wanted:
        setting, _, name = system.rpartition(": ")
        rows.append(
            [setting, name, *(percent(result, system, "mean", way, interval=True) for way in (TEXT_TO_IMAGE, IMAGE_TO_TEXT))]
        )
    return markdown(["trained on", "method", "text -> image", "image -> text"], rows)


def comparisons(result: Result) -> list[str]:
    """Paired bootstrap tests of the claims that the page makes."""
    pairs = [
        (f"{PAIRED}: {TFIDF}", f"{PAIRED}: ridge, gallery centred"),
        (f"{PAIRED}: {TFIDF}", f"{PAIRED}: ridge, index untouched"),
        (f"{ENGLISH}: ridge, index untouched", f"{ENGLISH}: procrustes, index untouched"),
        (f"{UNPAIRED}: uclip, published schedule", f"{UNPAIRED}: uclip, tuned schedule"),
        (f"{UNPAIRED}: uclip, tuned schedule", f"{ENGLISH}: procrustes, index untouched"),
        (f"{PAIRED}: ridge, gallery centred", f"{PAIRED}: procrustes, gallery centred"),
    ]
    rows = []
    for first, second in pairs:
        found = compare(result, result, first_system=first, second_system=second, metrics=["R@10"])
        for row in found.rows:
            if row.language == "mean":
                difference = f"{100 * row.difference:+.1f} [{100 * row.low:+.1f}, {100 * row.high:+.1f}]"
                way = "T->I" if row.direction == TEXT_TO_IMAGE else "I->T"
                rows.append([second, first, way, difference, f"{row.p:.4f}"])
    return markdown(["system", "against", "direction", "difference in mean R@10 [95 %]", "p"], rows)


if __name__ == "__main__":
    main()
