"""Emoji: 1,503 pictures and 147,294 names in 98 languages, through SqueezeNet and minimulti.

Adapters see the train split in the text tower's languages without hu th sw fi ro. Recall on the 600 test pictures is reported
for six groups: language known to the adapter, to the tower only, or to neither, times whether the text tower had read the name.

Two corrections need no training: language centring (means of the train split's names in each language, unlabelled text without a
picture, also in languages that the adapter never saw) and NNN with published settings (bank: the train split's names in the
adapter's languages, and its pictures).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from common import DATA, MODELS, REPOSITORY, RESULTS, RUNS, hashes, markdown, percent, require, save_result, write_table
from rescored import Side, rescored

from mella_retrieval import languages as language_table
from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.benchmarks.chance import chance
from mella_retrieval.benchmarks.evaluation import EvaluationSet, RankedQueries
from mella_retrieval.benchmarks.material import caption_vectors, gallery_vectors, load_evaluation
from mella_retrieval.benchmarks.metrics import DIRECTIONS
from mella_retrieval.benchmarks.results import Result, SystemInfo
from mella_retrieval.benchmarks.run import Setup, System, run_task
from mella_retrieval.benchmarks.statistics import Bootstrap, Queries, paired_difference, resampled_metrics
from mella_retrieval.benchmarks.tasks import load_task
from mella_retrieval.data.records import Records
from mella_retrieval.embeddings.centring import language_means
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.encoders.legibility import token_statistics
from mella_retrieval.encoders.loading import load_text_tower
from mella_retrieval.indexes.scoring.bank import Bank
from mella_retrieval.indexes.scoring.methods import fit_scoring

EMOJI = DATA / "emoji"
WORK = RUNS / "emoji"
TOWER = ["en", "ar", "cs", "hu", "ko", "ru", "sr", "th", "vi", "fi", "hr", "ro", "de", "fr", "zh", "ja", "es", "sw", "id", "tr"]
HELD_OUT = {"hu", "th", "sw", "fi", "ro"}
ADAPTER = [code for code in TOWER if code not in HELD_OUT]
RECIPES = (
    "adapters/ridge.yaml",
    "benchmarks/studies/emoji.yaml",
    "benchmarks/studies/squeezenet.py",
    "benchmarks/studies/rescored.py",
    "mella_retrieval/cli/data_import.py",
    "mella_retrieval/cli/embed.py",
    "mella_retrieval/cli/train.py",
    "mella_retrieval/benchmarks/run.py",
)
METRICS = ("R@1", "R@10")
TASK = REPOSITORY / "benchmarks" / "studies" / "emoji.yaml"
CENTRED, NNN, BOTH = "ridge, centred by language", "ridge, nnn", "ridge, centred by language, nnn"


def main() -> None:
    """Run the chain from the command line, then group the ranks."""
    require(EMOJI, MODELS / "minimulti", MODELS / "squeezenet1_0")
    WORK.mkdir(parents=True, exist_ok=True)
    weights = MODELS / "squeezenet1_0" / "model.safetensors"
    mella("data", "import", EMOJI / "names.parquet", "records", "images=images.parquet", "columns.text=name", "--overwrite")
    mella("data", "check", "records")
    mella("embed", "images", "records", "images", "--tower", f"module:squeezenet:SqueezeNet?weights={weights}", "--allow-module")
    mella("embed", "texts", "records", "texts", "--tower", f"sentence-transformers:{MODELS / 'minimulti'}")
    known = f"?lang={'|'.join(ADAPTER)}&split="
    pairs = (
        "--pairs",
        f"texts{known}train",
        "--validation",
        f"texts{known}validation",
        "--image-vectors",
        "images",
        "gallery=centred",
    )
    mella("train", "ridge", "adapter", *pairs, "--overwrite")
    mella("train", "ridge", "shuffled", *pairs, "--shuffle-pairs", "--overwrite")
    mella("index", "build", "images", "index", "--adapter", "adapter", "--overwrite")
    for lang, query in (("fr", "tortue"), ("th", "ช้าง"), ("hu", "lángos"), ("ko", "고양이")):
        mella("search", "index", query, "--lang", lang, "-k", "5")
    bench = ("--records", "records", "--images", "images", "--texts", "texts", "--adapter", "adapter")
    mella("benchmark", TASK, *bench, "--baseline", "ridge on shuffled pairs=shuffled", "--out", "result")
    result = Result.load(WORK / "result")
    inputs = (EMOJI / "names.parquet", EMOJI / "images.parquet", weights)
    made_of = hashes(Path(__file__), inputs, RECIPES)
    records = Records.load(WORK / "records")
    task = load_task(str(TASK))
    evaluation = load_evaluation(task, records)
    (scored,) = run_task(Setup(task, evaluation, checksum=records.fingerprint), list(corrected(evaluation)))
    save_result(result, RESULTS / "emoji", made_of, ["python benchmarks/studies/emoji.py"])
    save_result(scored, RESULTS / "emoji-scoring", made_of, ["python benchmarks/studies/emoji.py"])
    write_table(REPOSITORY / "benchmarks" / "README.md", "emoji", table(result, scored))
    write_table(REPOSITORY / "benchmarks" / "README.md", "emoji corrections", differences(result, scored))
    write_table(REPOSITORY / "benchmarks" / "README.md", "emoji languages", by_language(evaluation, result, scored))


def mella(*arguments: object) -> None:
    """Run the command line in the study's folder, with the SqueezeNet class importable."""
    environment = {"PYTHONPATH": str(Path(__file__).parent), "PATH": f"{REPOSITORY / '.venv' / 'bin'}:/usr/bin:/bin"}
    subprocess.run(["mella", *map(str, arguments)], cwd=WORK, check=True, env=environment)


def corrected(evaluation: EvaluationSet) -> Iterator[System]:
    """The adapter with language centring, with NNN, and with both; the first row must have the role of the system."""
    adapter, texts, images = Adapter.load(WORK / "adapter"), EmbeddingSet.load(WORK / "texts"), EmbeddingSet.load(WORK / "images")
    means = language_means(texts.select({"split": "train"}))
    names = texts.select({"split": "train", "lang": ADAPTER})
    pictures = Bank(adapter.map_image(images.select({"split": "train"}).vectors))
    gallery = adapter.map_image(np.asarray(gallery_vectors(images, evaluation)))
    for label, centring, nnn in ((CENTRED, True, False), (NNN, False, True), (BOTH, True, True)):

        def mapped(vectors, langs, centring=centring):  # type: ignore[no-untyped-def]
            return adapter.map_text(means.apply(vectors, langs, texts.tower, ADAPTER).vectors if centring else vectors)

        asked = {code: mapped(rows, [code] * len(rows)) for code, rows in caption_vectors(texts, evaluation).items()}
        about = {"method": adapter.config.method, "fingerprint": adapter.fingerprint}
        info = SystemInfo(name=label, role="system" if label == CENTRED else "baseline", adapter=about)
        system = System(info, asked, gallery)
        if nnn:
            to_images = fit_scoring("nnn", gallery, Bank(mapped(names.vectors, names.column("lang"))))
            to_texts = {code: fit_scoring("nnn", rows, pictures) for code, rows in asked.items()}
            system = rescored(system, Side(asked, gallery), dict.fromkeys(asked, to_images), to_texts)
        yield system


def by_language(evaluation: EvaluationSet, result: Result, scored: Result) -> list[str]:
    """How the tower reads each language, beside its recall."""
    tower = load_text_tower(f"sentence-transformers:{MODELS / 'minimulti'}", device="cpu")
    rows = []
    for code, captions in evaluation.captions.items():
        found = token_statistics(tower, list(captions.text))
        known = "adapter" if code in ADAPTER else "tower" if code in HELD_OUT else "-"
        unit = " (per letter)" if found.letters > found.words / 2 else ""
        recalls = [
            " / ".join(percent(where, system, code, way) for way in DIRECTIONS)
            for where, system in ((result, "ridge"), (scored, CENTRED), (scored, NNN), (scored, BOTH))
        ]
        read = [f"{found.tokens_per_word:.2f}{unit}", f"{100 * found.unknown_share:.1f}"]
        rows.append((-found.unknown_share, code, [code, language_table.get(code).name, known, *read, *recalls]))
    head = ["lang", "language", "known to", "tokens per word", "unknown tokens", *(f"{s} T->I / I->T R@10" for s in SYSTEMS)]
    return markdown(head, [row for _, _, row in sorted(rows)])


SYSTEMS = ("ridge", "centred", "nnn", "both")


def table(result: Result, scored: Result) -> list[str]:
    """One row per system and group."""
    seen = names_seen(Records.load(WORK / "records"))
    groups = language_groups(result)
    head = [
        "language",
        "name",
        "languages",
        "pictures",
        "system",
        *(f"{way} {metric} [95 %]" for way in ("T->I", "I->T") for metric in METRICS),
    ]
    rows = []
    for group, languages in groups.items():
        for wanted in (True, False):
            images = {image for image, flag in seen.items() if flag is wanted}
            systems = ((result, "ridge"), *((scored, name) for name in (CENTRED, NNN, BOTH)), (result, "ridge on shuffled pairs"))
            for where, system in systems:
                cells = [grouped(where, system, languages, way, images) for way in DIRECTIONS]
                values = [cell[metric] for cell in cells for metric in METRICS]
                rows.append([group, "seen" if wanted else "unseen", str(len(languages)), str(len(images)), system, *values])
    level = chance([1], result.record.data.images)
    one = f"{100 * level['R@1']:.1f}", f"{100 * level['R@10']:.1f}"
    rows.append(["any", "any", str(len(result.record.data.languages)), str(result.record.data.images), "chance", *one, *one])
    return markdown(head, rows)


def language_groups(result: Result) -> dict[str, list[str]]:
    """What the adapter and the tower know."""
    return {
        "known to the adapter": ADAPTER,
        "known to the tower only": sorted(HELD_OUT),
        "known to neither": sorted(set(result.record.data.languages) - set(TOWER)),
    }


def differences(result: Result, scored: Result) -> list[str]:
    """What each correction changes in mean R@10, by group of languages, over all test pictures: a paired bootstrap."""
    settings = Bootstrap(resamples=10_000)
    rows = []
    for group, codes in language_groups(result).items():
        for system in (CENTRED, NNN, BOTH):
            found = []
            for way in DIRECTIONS:
                sides = [cells_of(result, "ridge", codes, way), cells_of(scored, system, codes, way)]
                pictures = {
                    image: row for row, image in enumerate(sorted({image for cell in sides[0] for image in cell.image_id}))
                }
                first, second = ([_of_pictures(cell, pictures) for cell in cells] for cells in sides)
                draws = resampled_metrics([*first, *second], len(pictures), settings, ["R@10"])["R@10"]
                gaps = draws[:, len(first) :].mean(axis=1) - draws[:, : len(first)].mean(axis=1)
                before, after = (np.mean([(query.ranks <= 10).mean() for query in queries]) for queries in (first, second))
                one = paired_difference(float(after - before), gaps, settings)
                found.append(f"{100 * one.value:+.1f} [{100 * one.low:+.1f}, {100 * one.high:+.1f}], p {one.p:.4f}")
            rows.append([group, str(len(codes)), system, *found])
    return markdown(["language", "languages", "system", "T->I R@10 against ridge [95 %]", "I->T R@10 against ridge [95 %]"], rows)


def cells_of(result: Result, system: str, codes: Sequence[str], direction: str) -> list[RankedQueries]:
    """The ranks of one system in some languages, in the order of the languages."""
    cells = {cell.language: cell for cell in result.ranks if (cell.system, cell.direction) == (system, direction)}
    return [cells[code] for code in codes]


def names_seen(records: Records) -> dict[str, bool]:
    """Test picture -> whether its name was in the text tower's parallel text."""
    rows = records.table(["image_id", "tower_saw_name"], where={"split": "test"})
    return dict(zip(rows["image_id"].to_pylist(), rows["tower_saw_name"].to_pylist(), strict=True))


def grouped(result: Result, system: str, languages: Sequence[str], direction: str, images: set[str]) -> dict[str, str]:
    """Mean over languages of each metric on the queries of some pictures (the gallery stays whole), with bootstrap intervals."""
    settings = Bootstrap()
    cells = cells_of(result, system, languages, direction)
    rows = {image: row for row, image in enumerate(sorted(images))}
    queries = [_of_pictures(cell, rows) for cell in cells]
    draws = resampled_metrics(queries, len(rows), settings, METRICS)
    found = {}
    for k, metric in ((1, "R@1"), (10, "R@10")):
        value = np.mean([(query.ranks <= k).mean() for query in queries])
        low, high = np.quantile(draws[metric].mean(axis=1), [0.025, 0.975])
        found[metric] = f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
    return found


def _of_pictures(cell: RankedQueries, rows: dict[str, int]) -> Queries:
    kept = [place for place, image in enumerate(cell.image_id) if image in rows]
    return Queries(cell.rank[kept], np.array([rows[cell.image_id[place]] for place in kept], np.int64))


if __name__ == "__main__":
    main()
