"""Keywords that native speakers gave to emoji: how often a keyword finds one of its pictures. Runs after `emoji.py`.

Every different keyword of a language is asked once; all test pictures that carry it are right. The adapter is that of `emoji.py`,
trained on names and on no keyword. Languages are those that the text tower reads.
"""

from __future__ import annotations

from pathlib import Path

from common import DATA, REPOSITORY, RESULTS, hashes, markdown, percent, require, save_result, write_table
from emoji import ADAPTER, EMOJI, MODELS, RECIPES, TASK, TOWER, WORK, mella

from mella_retrieval.benchmarks.metrics import DIRECTIONS, SEARCH_RECALL
from mella_retrieval.benchmarks.results import Result

METRICS = ("hit rate@1", "hit rate@10", "recall@10", "nDCG@10")


def main() -> None:
    """Take the keywords, embed and ask them."""
    require(DATA)
    if not (WORK / "adapter").is_dir():
        raise SystemExit("run benchmarks/studies/emoji.py first: its records, vectors and adapter are used here.")
    mella("data", "keywords", "records", "keywords", "--overwrite")
    where = ("--where", "split=test", "--where", f"lang={'|'.join(TOWER)}")
    mella("embed", "texts", "keywords", "keyword-texts", "--tower", f"sentence-transformers:{MODELS / 'minimulti'}", *where)
    languages = [option for code in TOWER for option in ("--language", code)]
    bench = ("--records", "keywords", "--images", "images", "--texts", "keyword-texts", "--adapter", "adapter", *languages)
    shuffled = ("--baseline", "ridge on shuffled pairs=shuffled")
    mella("benchmark", TASK, *bench, *shuffled, "--protocol", "keywords", "--index", "hnsw", "--out", "keyword-result")
    result = Result.load(WORK / "keyword-result")
    inputs = (EMOJI / "names.parquet", EMOJI / "images.parquet")
    recipes = (*RECIPES, "benchmarks/studies/emoji.py", "mella_retrieval/benchmarks/through_index.py")
    made_of = hashes(Path(__file__), inputs, recipes)
    save_result(result, RESULTS / "emoji-keywords", made_of, ["python benchmarks/studies/emoji_keywords.py"])
    write_table(REPOSITORY / "benchmarks" / "README.md", "emoji keywords", table(result))


def table(result: Result) -> list[str]:
    """One row per language."""
    per_language = {code: counts["t2i"] for code, counts in result.record.data.queries.items()}
    asked = ["hit rate@1", "hit rate@10", "chance @1", "chance @10", *METRICS[2:]]
    head = ["language", "keywords", *asked, "shuffled pairs @10", "through hnsw @10", SEARCH_RECALL]
    rows = []
    for code in TOWER:
        known = "adapter" if code in ADAPTER else "tower"
        cells = [percent(result, system, code, DIRECTIONS[0], metric, interval=system == "ridge" and metric == "hit rate@10")
                 for system in ("ridge", "chance") for metric in METRICS[:2]]  # fmt: skip
        cells += [percent(result, "ridge", code, DIRECTIONS[0], metric) for metric in METRICS[2:]]
        cells.append(percent(result, "ridge on shuffled pairs", code, DIRECTIONS[0], "hit rate@10"))
        cells.append(percent(result, "ridge through hnsw", code, DIRECTIONS[0], "hit rate@10"))
        cells.append(percent(result, "ridge through hnsw", code, DIRECTIONS[0], SEARCH_RECALL))
        rows.append([f"{code} (known to the {known})", f"{per_language[code]:,}", *cells])
    return markdown(head, rows)


if __name__ == "__main__":
    main()
