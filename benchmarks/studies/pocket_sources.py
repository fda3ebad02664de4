"""MELLA's two sources on the pocket world: adapters trained on descriptions (`ling`), on native alt-text (`know`), and on both.

A test of the mechanism, on drawn scenes: descriptions never name the cultural item of a scene, alt-texts always do. Asked are the
descriptions and, apart, the alt-texts of the 700 test scenes, against all 700 pictures.
"""

from __future__ import annotations

from pathlib import Path

from common import REPOSITORY, RESULTS, RUNS, hashes, markdown, percent, save_result, write_table

from mella_retrieval.adapters.sources import Sources
from mella_retrieval.adapters.training import load_method, train
from mella_retrieval.benchmarks.material import load_evaluation
from mella_retrieval.benchmarks.metrics import TEXT_TO_IMAGE
from mella_retrieval.benchmarks.results import Result
from mella_retrieval.benchmarks.run import Setup, absent_english, adapter_system, run_task
from mella_retrieval.benchmarks.tasks import load_task
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import Records
from mella_retrieval.embeddings.embed import embed_images, embed_texts
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.encoders.loading import load_image_tower, load_text_tower
from mella_retrieval.pocket.towers import IMAGE_TOWER, TEXT_TOWER
from mella_retrieval.pocket.world import generate_world

WORK = RUNS / "pocket-sources"
MAIN = "both, half and half"
RECIPES = ("adapters/contrastive.yaml", "benchmarks/pocket.yaml")
KINDS = ("ling", "know")
ROWS = {
    "`ling` only": ("ling", ()),
    "`know` only": ("know", ()),
    "both, as they are": ("ling|know", ()),
    "both, half and half": ("ling|know", ("source_weights={ling: 1, know: 1}",)),
}


def main() -> None:
    """Train and measure; renew the table in adapters/README.md."""
    records, images, texts = material()
    task = load_task("pocket", ["breakdown=[source, source+item]", "groups={}"])
    evaluation = load_evaluation(task, records)
    adapters = {name: _train(name, kind, overrides) for name, (kind, overrides) in ROWS.items()}
    adapters["both, on shuffled pairs"] = _train("shuffled", "ling|know", (), shuffle=True)
    systems = [
        adapter_system(name, adapter, images, texts, evaluation, role="system" if name == MAIN else "baseline")
        for name, adapter in sorted(adapters.items(), key=lambda named: named[0] != MAIN)
    ]
    systems.append(absent_english(evaluation, "the question is which texts were trained on"))
    (measured,) = run_task(Setup(task, evaluation, checksum=records.fingerprint), systems, ["all-hit"])
    result = shown_parts(measured)
    made_of = hashes(Path(__file__), [], RECIPES)
    save_result(result, RESULTS / "pocket-sources", made_of, ["python benchmarks/studies/pocket_sources.py"])
    write_table(REPOSITORY / "adapters" / "README.md", "pocket sources", table(result, list(adapters)))
    write_table(REPOSITORY / "benchmarks" / "README.md", "pocket culture", by_item(result))


def material() -> tuple[Records, EmbeddingSet, EmbeddingSet]:
    """World, records and vectors, made once under runs/."""
    if not (WORK / "records" / "manifest.json").is_file():
        generate_world(WORK / "world", overwrite=True)
        import_records(WORK / "world", WORK / "records", "pocket", overwrite=True)
    records = Records.load(WORK / "records")
    images = embed_images(records, load_image_tower(IMAGE_TOWER, device="cpu"), WORK / "images")
    return records, images, embed_texts(records, load_text_tower(TEXT_TOWER, device="cpu"), WORK / "texts")


def _train(name: str, kind: str, overrides: tuple[str, ...], shuffle: bool = False):  # type: ignore[no-untyped-def]
    method, config = load_method("contrastive", ("loss=infonce", "gallery=centred", "epochs=10", "batch_size=512", *overrides))
    pairs = f"{WORK / 'texts'}?split=train&source={kind}"
    held_out = f"{WORK / 'texts'}?split=validation&source={kind}"
    sources = Sources(pairs=pairs, image_vectors=str(WORK / "images"), validation=held_out)
    out = WORK / "adapters" / "".join(letter if letter.isalnum() else "-" for letter in name)
    return train(method, config, sources, out, shuffle_pairs=shuffle, overwrite=True)


def shown_parts(result: Result) -> Result:
    """Of the cultural items only what a page shows of them: recalls of their alt-texts, text -> image."""
    items = "source+item="
    kept = f"{items}know"
    scores = tuple(
        score
        for score in result.record.scores
        if not score.subset.startswith(items)
        or (score.subset.startswith(kept) and score.direction == TEXT_TO_IMAGE and score.metric in ("R@1", "R@10"))
    )
    ranks = tuple(cell for cell in result.ranks if not cell.subset.startswith(items) or cell.subset.startswith(kept))
    return Result(result.record.model_copy(update={"scores": scores}), ranks)


def table(result: Result, systems: list[str]) -> list[str]:
    """Mean R@1 and R@10, text to image, of each kind of query."""
    asked = {"ling": "descriptions (`ling`)", "know": "cultural alt-texts (`know`)"}
    head = ["trained on", *(f"{asked[kind]}: R@{k}" for kind in KINDS for k in (1, 10))]
    rows = []
    for system in [*systems, "chance"]:
        cells = [
            percent(result, system, "mean", TEXT_TO_IMAGE, f"R@{k}", subset=f"source={kind}", interval=True)
            for kind in KINDS
            for k in (1, 10)
        ]
        rows.append([system, *cells])
    return markdown(head, rows)


def by_item(result: Result) -> list[str]:
    """R@10 of the alt-texts that name each cultural item, in its own language, beside chance."""
    alt_texts = [score for score in result.record.scores if score.subset.startswith("source+item=know+")]
    queries = {(cell.subset, cell.language): len(cell.positions) for cell in result.ranks if cell.direction == TEXT_TO_IMAGE}
    shown = [MAIN, "`ling` only", "both, on shuffled pairs", "chance"]
    rows = []
    for subset, language in dict.fromkeys((score.subset, score.language) for score in alt_texts):
        if language in result.record.data.languages:
            cells = [percent(result, system, language, TEXT_TO_IMAGE, subset=subset, interval=True) for system in shown]
            rows.append([language, subset.rpartition("+")[2], str(queries[subset, language]), *cells])
    return markdown(["lang", "item", "alt-texts", *shown], sorted(rows))


if __name__ == "__main__":
    main()
