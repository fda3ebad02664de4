import contextlib
import io
from pathlib import Path

import pytest
from program import Mella

from mella_retrieval import Retriever
from mella_retrieval.artifacts import read_json
from mella_retrieval.benchmarks.evaluation import EvaluationSet
from mella_retrieval.benchmarks.material import gallery_vectors, load_evaluation
from mella_retrieval.benchmarks.results import Result
from mella_retrieval.benchmarks.tasks import load_task
from mella_retrieval.cli.quickstart import quickstart
from mella_retrieval.data.records import Records
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.errors import DataError

TASK = """
name: small
title: Small world
source: drawn
licence: Apache-2.0
protocols: [all-hit]
languages: [en, hu, th]
where: {split: test}
images: IMAGES
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("quickstart") / "out"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        quickstart(out=out, recipe="ridge", seed=0, scenes=720)
    assert printed.getvalue().splitlines()[-1] == f"Report: {out / 'report.html'}"
    return out


def mean_recall(result: Result, system: str) -> float:
    values = [result.score(system, code, "t2i", "R@10").value for code in result.record.data.languages if code != "en"]
    return sum(value or 0.0 for value in values) / len(values)


def test_quickstart__other_languages_come_close_to_english_and_shuffled_pairs_do_not(world: Path) -> None:
    result = Result.load(world)
    english = result.score("English dual encoder", "en", "t2i", "R@10").value or 0.0
    chance = mean_recall(result, "chance")
    assert mean_recall(result, "ridge") >= 0.8 * english
    assert mean_recall(result, "shuffled pairs") < 2 * chance
    assert mean_recall(result, "trained on shuffled pairs") < 3 * chance
    assert "English" in (result.score("English dual encoder", "hu", "t2i", "R@10").reason or "")


def test_quickstart__leaves_a_report_results_and_a_searchable_index(world: Path) -> None:
    page = (world / "report.html").read_text(encoding="utf-8")
    assert 'dir="rtl"' in page and "data:image/jpeg" in page
    assert (world / "results.csv").is_file() and (world / "first" / "results.json").is_file()
    hits = Retriever.load(world / "index", device="cpu").search("piros alma", k=5, lang="hu")
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
    assert (world / "world" / hits[0].record["image"]).is_file()


def run_benchmark(mella: Mella, world: Path, tmp_path: Path, out: str, *more: object) -> Path:
    images = len(set(Records.load(world / "records").table(["image_id"], where={"split": "test"})["image_id"].to_pylist()))
    (tmp_path / "small.yaml").write_text(TASK.replace("IMAGES", str(images)))
    options = ("--records", world / "records", "--images", world / "images", "--adapter", world / "adapter")
    done = mella("benchmark", tmp_path / "small.yaml", *options, *more, "--out", tmp_path / out, "--device", "cpu")
    assert done.code == 0, done.err
    return tmp_path / out


def test_benchmark__gives_the_quickstarts_numbers_with_texts_made_on_the_way(mella: Mella, world: Path, tmp_path: Path) -> None:
    made = Result.load(run_benchmark(mella, world, tmp_path, "made"))
    first = Result.load(world)
    for code in ("en", "hu", "th"):
        for way in ("t2i", "i2t"):
            assert made.score("ridge", code, way, "R@10").value == first.score("ridge", code, way, "R@10").value
    assert (
        made.score("English dual encoder", "en", "t2i", "R@10").value
        == first.score("English dual encoder", "en", "t2i", "R@10").value
    )


def test_compare__the_shuffled_adapter_is_worse_and_an_adapter_equals_itself(mella: Mella, world: Path, tmp_path: Path) -> None:
    result = run_benchmark(
        mella, world, tmp_path, "both", "--texts", world / "texts", "--baseline", f"control={world / 'shuffled'}"
    )
    done = mella("compare", result, result, "--second-system", "control", "--json")
    rows = {(row["direction"], row["language"]): row for row in done.json["rows"]}
    assert rows["t2i", "hu"]["difference"] < -0.5 and rows["t2i", "hu"]["p_holm"] < 0.01
    same = mella("compare", result, result, "--json").json["rows"]
    assert {row["p"] for row in same} == {1.0}


def test_benchmark__a_gallery_never_shrinks(world: Path) -> None:
    records = Records.load(world / "records")
    task = load_task("pocket", ["images=unverified"])
    evaluation = load_evaluation(task, records, ["hu"])
    with pytest.raises(DataError, match=f"{len(evaluation.image_ids)} images instead of 3600"):
        load_evaluation(load_task("pocket", ["images=3600"]), records, ["hu"])
    larger = EvaluationSet((*evaluation.image_ids, "a picture that was skipped"), evaluation.captions)
    with pytest.raises(DataError, match=r"1 of .* no vector.*a picture that was skipped"):
        gallery_vectors(EmbeddingSet.load(world / "images"), larger)


def test_results__carry_what_a_reviewer_asks_for(world: Path) -> None:
    record = read_json(world / "results.json")
    system = record["systems"][0]
    assert record["tie_rule"].startswith("pessimistic")
    assert system["text_preparation"] and system["normalisation"] and system["precision"]
    assert system["image_tower"]["weights"] and system["text_tower"]["weights"]
    assert record["data"]["checksum"] != "unverified"
    assert {"numpy", "torch", "python"} <= set(record["provenance"]["versions"])
    assert record["provenance"]["seeds"] == {"bootstrap": 0, "shuffled pairs": 0}
