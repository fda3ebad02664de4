"""Emoji: 1,503 pictures and 147,294 names in 98 languages, through SqueezeNet and minimulti.

Adapters see the train split in the text tower's languages without hu th sw fi ro. Recall on the 600 test pictures is reported
for six groups: language known to the adapter, to the tower only, or to neither, times whether the text tower had read the name.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
from common import DATA, MODELS, REPOSITORY, RESULTS, RUNS, hashes, markdown, require, save_result, write_table

from mella_retrieval.benchmarks.evaluation import RankedQueries
from mella_retrieval.benchmarks.metrics import DIRECTIONS, chance
from mella_retrieval.benchmarks.results import Result
from mella_retrieval.benchmarks.statistics import Bootstrap, Queries, resampled_metrics
from mella_retrieval.data.records import Records

EMOJI = DATA / "emoji"
WORK = RUNS / "emoji"
TOWER = ["en", "ar", "cs", "hu", "ko", "ru", "sr", "th", "vi", "fi", "hr", "ro", "de", "fr", "zh", "ja", "es", "sw", "id", "tr"]
HELD_OUT = {"hu", "th", "sw", "fi", "ro"}
ADAPTER = [code for code in TOWER if code not in HELD_OUT]
RECIPES = ("adapters/ridge.yaml", "benchmarks/studies/emoji.yaml", "benchmarks/studies/squeezenet.py")
METRICS = ("R@1", "R@10")


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
    task = REPOSITORY / "benchmarks" / "studies" / "emoji.yaml"
    bench = ("--records", "records", "--images", "images", "--texts", "texts", "--adapter", "adapter")
    mella("benchmark", task, *bench, "--baseline", "ridge on shuffled pairs=shuffled", "--out", "result")
    result = Result.load(WORK / "result")
    inputs = (EMOJI / "names.parquet", EMOJI / "images.parquet", weights)
    save_result(result, RESULTS / "emoji", hashes(Path(__file__), inputs, RECIPES), ["python benchmarks/studies/emoji.py"])
    write_table(REPOSITORY / "benchmarks" / "README.md", "emoji", table(result))


def mella(*arguments: object) -> None:
    """Run the command line in the study's folder, with the SqueezeNet class importable."""
    environment = {"PYTHONPATH": str(Path(__file__).parent), "PATH": f"{REPOSITORY / '.venv' / 'bin'}:/usr/bin:/bin"}
    subprocess.run(["mella", *map(str, arguments)], cwd=WORK, check=True, env=environment)


def table(result: Result) -> list[str]:
    """One row per system and group."""
    seen = names_seen(Records.load(WORK / "records"))
    groups = {
        "known to the adapter": ADAPTER,
        "known to the tower only": sorted(HELD_OUT),
        "known to neither": sorted(set(result.record.data.languages) - set(TOWER)),
    }
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
            for system in ("ridge", "ridge on shuffled pairs"):
                cells = [grouped(result, system, languages, way, images) for way in DIRECTIONS]
                values = [cell[metric] for cell in cells for metric in METRICS]
                rows.append([group, "seen" if wanted else "unseen", str(len(languages)), str(len(images)), system, *values])
    level = chance([1], result.record.data.images)
    one = f"{100 * level['R@1']:.1f}", f"{100 * level['R@10']:.1f}"
    rows.append(["any", "any", str(len(result.record.data.languages)), str(result.record.data.images), "chance", *one, *one])
    return markdown(head, rows)


def names_seen(records: Records) -> dict[str, bool]:
    """Test picture -> whether its name was in the text tower's parallel text."""
    rows = records.table(["image_id", "tower_saw_name"], where={"split": "test"})
    return dict(zip(rows["image_id"].to_pylist(), rows["tower_saw_name"].to_pylist(), strict=True))


def grouped(result: Result, system: str, languages: list[str], direction: str, images: set[str]) -> dict[str, str]:
    """Mean over languages of each metric on the queries of some pictures (the gallery stays whole), with bootstrap intervals."""
    settings = Bootstrap()
    cells = [cell for cell in result.ranks if (cell.system, cell.direction) == (system, direction) and cell.language in languages]
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
