"""`mella quickstart`: the whole chain on the pocket world."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mella_retrieval.cli.output import print_table, progress_bar, say

if TYPE_CHECKING:
    from mella_retrieval.adapters.adapter import Adapter
    from mella_retrieval.benchmarks.results import Result
    from mella_retrieval.data.records import Records
    from mella_retrieval.embeddings.sets import EmbeddingSet

SCENES = 3600
SHOWN = ("hu", "th", "ar", "ko", "sw")
"""Languages of the example queries."""


def quickstart(
    out: Path = typer.Option(Path("quickstart"), "--out", "-o", help="Folder for everything that is made."),
    recipe: str = typer.Option("ridge", "--recipe", help="Recipe of the adapter."),
    seed: int = typer.Option(0, "--seed", help="Of the world, the adapter and the intervals."),
    scenes: int = typer.Option(SCENES, "--scenes", min=360, help="How many pictures are drawn; about a fifth is the test split."),
) -> None:
    """Run the whole chain offline: world, embeddings, adapter, index, search, benchmark, report."""
    began = time.monotonic()
    made = _make(out, seed, scenes)
    adapter = _train(out, made, recipe, seed)
    _search(out, made, adapter)
    result = _measure(out, made, recipe, seed, scenes)
    _headline(result, out, time.monotonic() - began)


@dataclass(frozen=True)
class _Made:
    """What the later steps need."""

    records: Records
    images: EmbeddingSet
    texts: EmbeddingSet
    english: EmbeddingSet


def _make(out: Path, seed: int, scenes: int) -> _Made:
    from mella_retrieval.data.importing import import_records
    from mella_retrieval.data.records import Records
    from mella_retrieval.embeddings.embed import embed_images, embed_texts
    from mella_retrieval.encoders.loading import load_image_tower, load_text_tower
    from mella_retrieval.pocket.towers import IMAGE_TOWER, TEXT_TOWER
    from mella_retrieval.pocket.world import generate_world

    say("1. A small world of drawn pictures with captions in 13 languages")
    with progress_bar("drawing", "pictures") as progress:
        generate_world(out / "world", seed=seed, scenes=scenes, overwrite=True, progress=progress)
    import_records(out / "world", out / "records", "pocket", overwrite=True)
    records = Records.load(out / "records")
    say(f"   {records.counts['images']:,} pictures, {len(records):,} texts")
    say("2. Two frozen towers: one has seen pictures and English, the other only parallel text")
    image_tower, text_tower = load_image_tower(IMAGE_TOWER, device="cpu"), load_text_tower(TEXT_TOWER, device="cpu")
    english_tower = load_text_tower(IMAGE_TOWER, device="cpu")
    with progress_bar("embedding pictures", "pictures") as progress:
        images = embed_images(records, image_tower, out / "images", progress=progress)
    with progress_bar("embedding texts", "texts") as progress:
        texts = embed_texts(records, text_tower, out / "texts", progress=progress)
    with progress_bar("embedding English texts", "texts") as progress:
        english = embed_texts(records, english_tower, out / "english-texts", where={"lang": "en"}, progress=progress)
    return _Made(records, images, texts, english)


def _train(out: Path, made: _Made, recipe: str, seed: int) -> Adapter:
    from mella_retrieval.adapters.run import Run
    from mella_retrieval.adapters.sources import Sources
    from mella_retrieval.adapters.training import load_method, train

    say("3. An adapter between them, and one trained on shuffled pairs as a control")
    method, config = load_method(recipe)
    sources = Sources(
        english_text=str(out / "texts"),
        clip_text=str(out / "english-texts"),
        image_vectors=str(out / "images"),
        text_bank=str(out / "texts"),
        pairs=str(out / "texts"),
    )
    with progress_bar(f"fitting {method.name}", "epochs") as progress:
        adapter = train(method, config, sources, out / "adapter", seed=seed, overwrite=True, run=Run(progress))
        train(method, config, sources, out / "shuffled", seed=seed, shuffle_pairs=True, overwrite=True, run=Run(progress))
    return adapter


def _search(out: Path, made: _Made, adapter: Adapter) -> None:
    from mella_retrieval.languages import get
    from mella_retrieval.retriever import Retriever, build_index

    index = build_index(made.images, out / "index", adapter=out / "adapter", overwrite=True)
    say(f"4. A FAISS index of {len(index):,} pictures, asked in several languages")
    retriever = Retriever.load(out / "index", device="cpu")
    english = _by_image(made.records, "en")
    rows = []
    for number, lang in enumerate(SHOWN):
        image_id, query = list(_by_image(made.records, lang).items())[number]  # another test picture for each language
        hits = retriever.search(query, k=10, lang=lang)
        found = next((str(hit.rank) for hit in hits if hit.id == image_id), "> 10")
        rows.append([f"   {get(lang).name}", _cut(query), found, _cut(english[hits[0].id])])
    print_table(["   language", "query", "its picture is hit", "first hit, in English"], rows)


def _cut(text: str, length: int = 44) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _by_image(records: Records, lang: str) -> dict[str, str]:
    """One description of each picture; those of the test split first."""
    found: dict[str, str] = {}
    for split in ("test", "train", "validation"):
        table = records.table(["image_id", "text"], where={"split": split, "lang": lang, "source": "ling"})
        for image_id, text in zip(table["image_id"].to_pylist(), table["text"].to_pylist(), strict=True):
            found.setdefault(image_id, text)
    return found


def _measure(out: Path, made: _Made, recipe: str, seed: int, scenes: int) -> Result:
    from mella_retrieval.adapters.adapter import Adapter
    from mella_retrieval.benchmarks.material import load_evaluation
    from mella_retrieval.benchmarks.reporting import save_results
    from mella_retrieval.benchmarks.run import ENGLISH, Setup, adapter_system, dual_system, run_task
    from mella_retrieval.benchmarks.statistics import Bootstrap
    from mella_retrieval.benchmarks.tasks import load_task

    say("5. The benchmark: test pictures with held-out combinations of things and colours")
    task = load_task("pocket", [] if scenes == SCENES else ["images=unverified"])
    evaluation = load_evaluation(task, made.records)
    system = adapter_system(recipe, Adapter.load(out / "adapter"), made.images, made.texts, evaluation)
    shuffled = Adapter.load(out / "shuffled")
    control = adapter_system("trained on shuffled pairs", shuffled, made.images, made.texts, evaluation, role="baseline")
    english = dual_system(ENGLISH, made.images, made.english, evaluation)
    setup = Setup(
        task,
        evaluation,
        bootstrap=Bootstrap(seed=seed),
        shuffle_seed=seed,
        commands=(f"mella quickstart --seed {seed} --scenes {scenes}",),
        checksum=made.records.fingerprint,
    )
    results = run_task(setup, [system, english, control])
    save_results(results, out, system, evaluation, made.records)
    return results[0]


def _headline(result: Result, out: Path, seconds: float) -> None:
    from mella_retrieval.benchmarks.metrics import TEXT_TO_IMAGE
    from mella_retrieval.benchmarks.run import ENGLISH
    from mella_retrieval.benchmarks.scores import CHANCE

    measured, control = result.record.systems[0].name, result.record.systems[2].name
    others = [code for code in result.record.data.languages if code != "en"]

    def mean(system: str) -> str:
        values = [result.score(system, code, TEXT_TO_IMAGE, "R@10").value or 0.0 for code in others]
        return f"{100 * sum(values) / len(values):.1f}"

    english = result.score(ENGLISH, "en", TEXT_TO_IMAGE, "R@10").value or 0.0
    say()
    say(f"Text -> image, R@10 in %, {result.record.data.images} test pictures ({seconds:.0f} s in all):")
    rows = [
        [f"the adapter ({measured}), mean of {len(others)} languages", mean(measured)],
        ["the English dual encoder, in English", f"{100 * english:.1f}"],
        [f"{control}, mean of {len(others)} languages", mean(control)],
        ["chance", mean(CHANCE)],
    ]
    print_table(["system", "R@10"], rows, right=(1,))
    say("This shows that the machinery works; claims about methods are made on real data (adapters/README.md).")
    say(f'Search it yourself: mella search {out / "index"} "..."')
    say(f"Report: {out / 'report.html'}")
