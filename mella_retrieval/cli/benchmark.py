"""`mella benchmark`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mella_retrieval.cli.options import ALLOW_MODULE, DEVICE, JSON, parse_values
from mella_retrieval.cli.output import print_json, print_table, progress_bar, say

if TYPE_CHECKING:
    from mella_retrieval.adapters.adapter import Adapter
    from mella_retrieval.benchmarks.results import Result
    from mella_retrieval.benchmarks.tasks import Task
    from mella_retrieval.data.records import Records
    from mella_retrieval.embeddings.sets import EmbeddingSet
    from mella_retrieval.encoders.towers import TextTower


def benchmark(
    task: str = typer.Argument("", help="A task of `mella benchmark --list`, or the path of a recipe."),
    records: Path | None = typer.Option(None, "--records", help="The test set as a records folder."),
    images: Path | None = typer.Option(None, "--images", help="Image vectors of the test set."),
    adapter: str | None = typer.Option(
        None, "--adapter", "-a", metavar="ADAPTER", help="The adapter to measure: a folder, or OWNER/NAME on a hub."
    ),
    texts: Path | None = typer.Option(None, "--texts", help="Text vectors; by default made with the adapter's text tower."),
    english_texts: Path | None = typer.Option(
        None,
        "--english-texts",
        help="English texts through the image tower's own text tower; by default made if it can be loaded.",
    ),
    translations: Path | None = typer.Option(
        None,
        "--translations",
        help="The captions in English through the image tower's own text tower, with their text_id and lang: translate-test.",
    ),
    baseline: list[str] = typer.Option([], "--baseline", metavar="NAME=ADAPTER", help="A further adapter to show beside it."),
    out: Path = typer.Option(Path("results"), "--out", "-o", help="Folder of the result and its report."),
    language: list[str] = typer.Option([], "--language", "-l", help="Measure only these of the task's languages."),
    text_tower: str | None = typer.Option(None, "--text-tower", help="Spec of the text tower, where it has moved."),
    device: str = DEVICE,
    allow_module: bool = ALLOW_MODULE,
    list_: bool = typer.Option(False, "--list", help="List the tasks."),
    as_json: bool = JSON,
) -> None:
    """Measure an adapter on a task and write results.json, results.csv, ranks and report.html.

    Beside it stand chance, shuffled pairs and, where its text tower is at hand, the English dual encoder.
    """
    if list_:
        _list_tasks()
        return
    if not task or records is None or images is None or adapter is None:
        raise typer.BadParameter("TASK, --records, --images and --adapter are needed (or --list)")
    from mella_retrieval import languages
    from mella_retrieval.adapters.adapter import Adapter
    from mella_retrieval.benchmarks.material import load_evaluation
    from mella_retrieval.benchmarks.reporting import save_results
    from mella_retrieval.benchmarks.run import (
        ENGLISH,
        Setup,
        adapter_system,
        dual_system,
        english_system,
        run_task,
        translated_system,
    )
    from mella_retrieval.benchmarks.tasks import load_task
    from mella_retrieval.data.records import Records
    from mella_retrieval.embeddings.sets import EmbeddingSet

    chosen = load_task(task)
    opened, vectors, joined = Records.load(records), EmbeddingSet.load(images, deep=True), Adapter.load(adapter)
    evaluation = load_evaluation(chosen, opened, [languages.normalise(code) for code in language] or None)
    work = out.with_name(out.name + ".work")
    embedded = (
        EmbeddingSet.load(texts, deep=True)
        if texts
        else _embed(opened, chosen, joined, text_tower, work / "texts", device, allow_module)
    )
    systems = [adapter_system(joined.config.method, joined, vectors, embedded, evaluation)]
    for name, folder in parse_values(baseline, "--baseline").items():
        systems.append(adapter_system(name, Adapter.load(folder), vectors, embedded, evaluation, role="baseline"))
    if english_texts:
        systems.append(dual_system(ENGLISH, vectors, EmbeddingSet.load(english_texts, deep=True), evaluation))
    else:
        systems.append(
            english_system(
                vectors,
                evaluation,
                lambda tower: _embed_texts(opened, chosen, tower, work / "english-texts", lang="en"),
                device=device,
            )
        )
    if translations:
        systems.append(translated_system(vectors, EmbeddingSet.load(translations, deep=True), evaluation))
    setup = Setup(chosen, evaluation, commands=(shlex.join(["mella", *sys.argv[1:]]),), checksum=opened.fingerprint)
    results = run_task(setup, systems)
    save_results(results, out, systems[0], evaluation, opened)
    if as_json:
        print_json(results[0].record.model_dump(mode="json"))
        return
    print_result(results[0])
    say(f"report: {out / 'report.html'}")


def _list_tasks() -> None:
    from mella_retrieval.benchmarks.tasks import list_tasks

    rows = [
        [task.name, task.title, str(len(task.languages)), str(task.images), ", ".join(task.protocols), task.licence, task.source]
        for task in list_tasks()
    ]
    print_table(["task", "title", "languages", "images", "protocols", "licence", "source"], rows, right=(2, 3))


def _embed(
    records: Records, task: Task, adapter: Adapter, spec: str | None, out: Path, device: str, allow_module: bool
) -> EmbeddingSet:
    from mella_retrieval.encoders.loading import load_text_tower

    tower = load_text_tower(spec or adapter.config.text_tower.spec, device=device, allow_module=allow_module and spec is not None)
    return _embed_texts(records, task, tower, out)


def _embed_texts(records: Records, task: Task, tower: TextTower, out: Path, **where: str) -> EmbeddingSet:
    from mella_retrieval.embeddings.embed import embed_texts

    with progress_bar("embedding captions", "texts") as progress:
        return embed_texts(records, tower, out, where={**task.where, **where}, progress=progress)


def print_result(result: Result, metric: str = "R@10") -> None:
    """The headline table of a result: one metric of all systems per language, both directions."""
    from mella_retrieval.benchmarks.metrics import IMAGE_TO_TEXT, TEXT_TO_IMAGE

    systems = [system.name for system in result.record.systems]
    values = {(score.system, score.language, score.direction): score for score in result.record.scores if score.metric == metric}
    rows = []
    for language in dict.fromkeys(score.language for score in result.record.scores):
        row = [language]
        for system in systems:
            cells = [values[system, language, direction] for direction in (TEXT_TO_IMAGE, IMAGE_TO_TEXT)]
            row.append(" / ".join("-" if cell.value is None else f"{100 * cell.value:.1f}" for cell in cells))
        rows.append(row)
    say(f"{result.record.task.title}, {metric} in %, text -> image / image -> text, protocol {result.record.protocol}")
    print_table(["", *systems], rows, right=range(1, len(systems) + 1))
