"""LECCR's head on real pictures: slots and each loss switched off in turn, beside the description alone and a paired ridge.

878 Flickr8k photos through SqueezeNet with its 13 x 13 tokens, six languages, minimulti. The descriptions are one more English
sentence per photo by another person: a stand-in for an MLLM's description, so an upper bound of what one can give. Chosen on the
80 validation photos (every row the same schedule, its best epoch kept); measured on the 150 test photos.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from common import DATA, MODELS, REPOSITORY, RESULTS, RUNS, hashes, markdown, percent, require, save_result, write_table

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.adapters.leccr.enrich import enrich
from mella_retrieval.adapters.leccr.scenes import text_key
from mella_retrieval.adapters.sources import Sources
from mella_retrieval.adapters.training import load_method, train
from mella_retrieval.benchmarks.comparison import compare
from mella_retrieval.benchmarks.evaluation import EvaluationSet
from mella_retrieval.benchmarks.material import caption_vectors, gallery_vectors, load_evaluation
from mella_retrieval.benchmarks.metrics import DIRECTIONS
from mella_retrieval.benchmarks.results import Result, SystemInfo
from mella_retrieval.benchmarks.run import Setup, System, adapter_system, run_task
from mella_retrieval.benchmarks.tasks import load_task
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import Records
from mella_retrieval.embeddings.embed import embed_images, embed_texts
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.embeddings.settings import EmbedSettings
from mella_retrieval.encoders.loading import load_image_tower, load_text_tower

PHOTOS = DATA / "flickr8k-photos"
WEIGHTS = MODELS / "squeezenet1_0" / "model.safetensors"
WORK = RUNS / "leccr"
METRICS = ("R@1", "R@10")
RECIPES = (
    "adapters/leccr.yaml",
    "adapters/ridge.yaml",
    "benchmarks/studies/photos.yaml",
    "benchmarks/studies/squeezenet.py",
    "benchmarks/studies/squeezenet_tokens.py",
)


@dataclass(frozen=True)
class Row:
    """One fitted line of the table: its name, overrides of the recipe, and whether the gallery sees the descriptions."""

    name: str
    overrides: tuple[str, ...] = ()
    described: bool = True
    shuffled: bool = False


FULL = "leccr"
NO_SLOTS = "slots off: P_v over the pooled vector, no description"
HIDDEN = "slots, but descriptions hidden in training and gallery"
ALONE = "description text alone, no picture"
RIDGE = "ridge (paired, gallery centred), no description"
BOTH = "description text and ridge, side by side"
ROWS = (
    Row(FULL),
    Row(NO_SLOTS, ("slots=false",)),
    Row(HIDDEN, ("hidden=1",), described=False),
    Row("leccr, gallery without descriptions", (), described=False),
    Row("without NCE(h_v, h_s)", ("english=0",)),
    Row("without NCE(h_v, h_t)", ("target=0",)),
    Row("without L_soft", ("soft=0",)),
    Row("without NCE(h_s, h_t)", ("languages=0",)),
    Row("without L_slot", ("slot=0",)),
    Row("without L_cv", ("across=0",)),
    Row("without L_reg", ("apart=0",)),
    Row("public_behaviour", ("public_behaviour=true",)),
    Row("leccr on shuffled pairs", shuffled=True),
)


def main() -> None:
    """Measure everything and renew the table in adapters/README.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--page", type=Path, default=REPOSITORY / "adapters" / "README.md", help="page with the table's place")
    parser.add_argument("--tables-only", action="store_true", help="renew the tables from the stored result, train nothing")
    options = parser.parse_args()
    if options.tables_only:
        write_tables(options.page, Result.load(RESULTS / "leccr"))
        return
    require(PHOTOS, MODELS / "minimulti", WEIGHTS)
    torch.set_num_threads(1)  # the printed seconds are those of one core
    records, sets = material()
    task = load_task(str(REPOSITORY / "benchmarks" / "studies" / "photos.yaml"))
    evaluation = load_evaluation(task, records)
    systems = [fitted_system(row, sets, evaluation) for row in ROWS]
    systems += plain_systems(sets, evaluation)
    made_of = hashes(Path(__file__), [PHOTOS / "captions.parquet", PHOTOS / "descriptions.parquet", WEIGHTS], RECIPES)
    (result,) = run_task(Setup(task, evaluation, checksum=records.fingerprint), systems, ["all-hit"])
    save_result(result, RESULTS / "leccr", made_of, ["python benchmarks/studies/leccr.py"])
    write_tables(options.page, result)


def write_tables(page: Path, result: Result) -> None:
    """Both tables of the page."""
    write_table(page, "leccr", table(result))
    write_table(page, "leccr comparisons", comparisons(result))


def material() -> tuple[Records, Mapping[str, EmbeddingSet]]:
    """Records and embedding sets of the photos, made once under runs/. Descriptions that are somebody's caption are left out."""
    WORK.mkdir(parents=True, exist_ok=True)
    if not (WORK / "records" / "manifest.json").is_file():
        import_records(PHOTOS, WORK / "records", overwrite=True, duplicates="keep")
    captions = {text_key(text) for text in pq.read_table(PHOTOS / "captions.parquet")["text"].to_pylist()}
    written = pq.read_table(PHOTOS / "descriptions.parquet")
    kept = written.filter(pa.array([text_key(text) not in captions for text in written["text"].to_pylist()]))
    pq.write_table(kept, WORK / "descriptions.parquet")
    print(f"{len(written) - len(kept)} of {len(written)} descriptions are captions too and are left out")
    import_records(WORK / "descriptions.parquet", WORK / "descriptions", overwrite=True, lang="en", text_only=True)
    records, descriptions = Records.load(WORK / "records"), Records.load(WORK / "descriptions")
    text = load_text_tower(f"sentence-transformers:{MODELS / 'minimulti'}", device="cpu")
    spec = f"module:squeezenet_tokens:SqueezeNetTokens?weights={WEIGHTS}"
    image = load_image_tower(spec, device="cpu", allow_module=True)
    with_tokens = EmbedSettings(tokens=True, dtype="float16", batch_size=32)
    return records, {
        "images": embed_images(records, image, WORK / "images", with_tokens),
        "texts": embed_texts(records, text, WORK / "texts"),
        "descriptions": embed_texts(descriptions, text, WORK / "described", EmbedSettings(tokens=True)),
    }


def fitted_system(row: Row, sets: Mapping[str, EmbeddingSet], evaluation: EvaluationSet) -> System:
    """Train one row and enrich the photos with it."""
    adapter = fit(row.overrides, row.shuffled)
    out = WORK / "enriched" / (folder_name(row.name) + ("" if row.described else "-undescribed"))
    enriched = enrich(adapter, sets["images"], sets["descriptions"], out, hide=not row.described)
    return adapter_system(
        row.name, adapter, enriched, sets["texts"], evaluation, role="system" if row.name == FULL else "baseline"
    )


@cache
def fit(overrides: tuple[str, ...], shuffled: bool) -> Adapter:
    """The adapter of a row."""
    method, config = load_method("leccr", overrides)
    sources = Sources(pairs=str(WORK / "texts"), image_vectors=str(WORK / "images"), descriptions=str(WORK / "described"))
    began = time.monotonic()
    out = WORK / "adapters" / folder_name("-".join([*overrides, *(["shuffled"] if shuffled else [])]) or "full")
    adapter = train(method, config, sources, out, shuffle_pairs=shuffled, overwrite=True)
    taken = time.monotonic() - began
    kept = adapter.config.selection
    print(
        f"{' '.join(overrides) or 'full'}: {taken:.0f} s, validation {max(kept['per_epoch']):.4f} in epoch {kept['kept_epoch']}",
        flush=True,
    )
    return adapter


def plain_systems(sets: Mapping[str, EmbeddingSet], evaluation: EvaluationSet) -> list[System]:
    """The description's text vector in the picture's place, a paired ridge, and both side by side."""
    texts = caption_vectors(sets["texts"], evaluation)
    written = sets["descriptions"]
    places = {key: row for row, key in enumerate(written.column("image_id"))}
    alone = np.zeros((len(evaluation.image_ids), written.dim), np.float32)  # a photo without description scores 0 with everything
    for row, key in enumerate(evaluation.image_ids):
        if key in places:
            alone[row] = written.vectors(np.array([places[key]]))[0]
    method, config = load_method("ridge", ["gallery=centred"])
    sources = Sources(pairs=str(WORK / "texts"), image_vectors=str(WORK / "images"))
    ridge = train(method, config, sources, WORK / "adapters" / "ridge", overwrite=True)
    pictures = ridge.map_image(gallery_vectors(sets["images"], evaluation))
    mapped = {code: ridge.map_text(vectors) for code, vectors in texts.items()}
    joined = {code: np.concatenate([vectors, mapped[code]], axis=1) for code, vectors in texts.items()}
    return [
        described(ALONE, "query text against the description's text vector, multilingual tower", texts, alone),
        described(RIDGE, "the paired baseline on the same pooled image vectors", mapped, pictures),
        described(BOTH, "sum of the two cosines above", joined, np.concatenate([alone, pictures], axis=1)),
    ]


def described(name: str, description: str, texts: Mapping[str, np.ndarray], images: np.ndarray) -> System:
    """A baseline of given vectors."""
    return System(SystemInfo(name=name, role="baseline", description=description), texts, images)


def folder_name(text: str) -> str:
    """A row's name as a folder name."""
    return "".join(letter if letter.isalnum() else "-" for letter in text)


def table(result: Result) -> list[str]:
    """Every row: R@1 and R@10 with interval in both directions, then R@10 of each language."""
    languages = result.record.data.languages
    means = [f"{way} {metric} [95 %]" for metric in METRICS for way in ("T->I", "I->T")]
    rows = []
    for system in result.record.systems:
        values = [percent(result, system.name, "mean", way, metric, interval=True) for metric in METRICS for way in DIRECTIONS]
        each = [" / ".join(percent(result, system.name, code, way) for way in DIRECTIONS) for code in languages]
        label = {"shuffled pairs": "first row, asked with other pictures' captions", "chance": "chance (computed)"}
        rows.append([label.get(system.name, system.name), *values, *each])
    return markdown(["system", *means, *(f"{code} R@10 T->I / I->T" for code in languages)], rows)


def comparisons(result: Result) -> list[str]:
    """Paired bootstrap tests of the full head against every other row, at R@1, which is far from its ceiling, and R@10."""
    others = [row.name for row in ROWS[1:] if not row.shuffled] + [ALONE, RIDGE, BOTH]
    rows = []
    for other in others:
        found = compare(result, result, first_system=other, second_system=FULL, metrics=list(METRICS)).rows
        line = [other]
        for metric in METRICS:
            for way in DIRECTIONS:
                (cell,) = (row for row in found if (row.language, row.metric, row.direction) == ("mean", metric, way))
                line.append(f"{100 * cell.difference:+.1f} [{100 * cell.low:+.1f}, {100 * cell.high:+.1f}], p {cell.p:.4f}")
        rows.append(line)
    heads = [f"{way} {metric} difference [95 %]" for metric in METRICS for way in ("T->I", "I->T")]
    return markdown(["leccr against", *heads], rows)


if __name__ == "__main__":
    main()
