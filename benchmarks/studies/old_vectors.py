"""Old vectors, new language: a clip-retrieval folder without any picture answers Czech queries; numbers equal the direct path.

Everything goes through the command line. The adapter has seen 1,896 English texts, no picture and no Czech.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
from common import MODELS, REPOSITORY, RESULTS, RUNS, hashes, markdown, require, save_json, write_table
from test_bed import BED, CLIP, material

from mella_retrieval.benchmarks.metrics import DIRECTIONS
from mella_retrieval.benchmarks.results import Result
from mella_retrieval.data.formats.clip_retrieval_writing import write_clip_retrieval
from mella_retrieval.retriever import Retriever

WORK = RUNS / "old-vectors"
QUERY = "dva psi běží ve sněhu"
RECIPES = ("adapters/procrustes.yaml", "benchmarks/studies/test-bed.yaml")


def main() -> None:
    """Run the chain and renew the table in benchmarks/README.md."""
    require(BED, MODELS / "minimulti")
    captions, sets = material()
    shutil.rmtree(WORK, ignore_errors=True)
    images = sets["images"].select({"split": "test"})
    metadata = pa.table({"image_path": images.ids})
    folder = write_clip_retrieval(WORK / "clip-output", metadata, [images.vectors], dtype="float32")
    text, clip = str(sets["anchors"].folder), str(sets["clip"].folder)
    mella("train", "procrustes", "czech", "--english-text", text, "--clip-text", clip)
    mella("index", "build", str(folder), "photos", "--adapter", "czech")
    found = json.loads(mella("search", "photos", QUERY, "--lang", "cs", "-k", "5", "--json"))
    task = str(REPOSITORY / "benchmarks" / "studies" / "test-bed.yaml")
    texts = ("--texts", str(sets["captions"].folder))
    bench = ("benchmark", task, "--records", str(captions.folder), "--adapter", "czech", "-l", "cs", *texts)
    mella(*bench, "--images", "photos.vectors", "--out", "result-old")
    mella(*bench, "--images", str(sets["images"].folder), "--out", "result-direct")
    old, direct = Result.load(WORK / "result-old"), Result.load(WORK / "result-direct")
    differences = _differing(old, direct)
    searched = _recall_through_search(captions, sets["captions"])
    rows = [
        [metric, *(f"{100 * value(result, way, metric):.2f}" for result in (old, direct) for way in DIRECTIONS)]
        for metric in ("R@1", "R@5", "R@10")
    ]
    head = ["Czech", "old vectors T->I", "old vectors I->T", "direct T->I", "direct I->T"]
    lines = [
        *markdown(head, rows),
        "",
        f"Scores that differ between the two paths: {differences}. R@10 text -> image counted from what the index returns: "
        f"{100 * searched:.2f}. First five for “{QUERY}”: {', '.join(hit['id'] for hit in found)}.",
    ]
    save_json(
        RESULTS / "old-vectors" / "result.json",
        {
            "hashes": hashes(Path(__file__), sorted(path for path in BED.iterdir() if path.is_file()), RECIPES),
            "scores": [score.model_dump() for score in old.record.scores if score.system == "procrustes"],
            "differing_scores": differences,
            "recall_at_10_through_search": searched,
            "query": QUERY,
            "hits": found,
            "image_tower": CLIP,
        },
    )
    write_table(REPOSITORY / "benchmarks" / "README.md", "old vectors", lines)


def mella(*arguments: str) -> str:
    """Run the command line in the study's folder; its standard output."""
    done = subprocess.run(
        [Path(sys.executable).with_name("mella"), *arguments], cwd=WORK, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def value(result: Result, way: str, metric: str) -> float:
    """One score of the adapter in Czech."""
    found = result.score("procrustes", "cs", way, metric).value
    assert found is not None
    return found


def _differing(first: Result, second: Result) -> int:
    left, right = ([score.model_dump() for score in result.record.scores] for result in (first, second))
    return sum(a != b for a, b in zip(left, right, strict=True))


def _recall_through_search(captions, texts) -> float:  # type: ignore[no-untyped-def]
    """R@10 of the Czech test captions, counted from what the index returns."""
    table = captions.texts(["image_id", "text_id"], where={"split": "test", "lang": "cs"})
    places = {key: row for row, key in enumerate(texts.ids)}
    rows = np.array([places[key] for key in table["text_id"].to_pylist()])
    retriever = Retriever.load(WORK / "photos")
    matches = retriever.index.search(retriever.map_texts(texts.vectors(rows)), 10)
    wanted = table["image_id"].to_pylist()
    return float(np.mean([image in {match.id for match in found} for image, found in zip(wanted, matches, strict=True)]))


if __name__ == "__main__":
    main()
