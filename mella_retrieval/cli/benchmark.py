"""`mella benchmark`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mella_retrieval.cli.benchmark_material import Request, command_line, cuda_or_cpu
from mella_retrieval.cli.options import ALLOW_MODULE, DEVICE, JSON, parse_values
from mella_retrieval.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from mella_retrieval.benchmarks.evaluation import EvaluationSet
    from mella_retrieval.benchmarks.results import Result
    from mella_retrieval.benchmarks.run import System
    from mella_retrieval.benchmarks.through_index import Through


def benchmark(
    task: str = typer.Argument(
        "",
        help="A task of `mella benchmark --list`, the path of a recipe, or a folder of pictures with captions.",
    ),
    adapter: str | None = typer.Option(
        None, "--adapter", "-a", metavar="ADAPTER", help="The adapter to measure: a folder, or OWNER/NAME on a hub."
    ),
    model: str | None = typer.Option(
        None, "--model", "-m", metavar="SPEC", help="Instead of an adapter: a multilingual dual encoder, e.g. open_clip:NAME/TAG."
    ),
    data: Path | None = typer.Option(
        None, "--data", help="The test set's original files; by default the cache, where what can be downloaded is."
    ),
    records: Path | None = typer.Option(None, "--records", help="The test set as a records folder (`mella data import`)."),
    images: Path | None = typer.Option(None, "--images", help="Image vectors; by default made with the adapter's image tower."),
    texts: Path | None = typer.Option(None, "--texts", help="Text vectors; by default made with the adapter's text tower."),
    descriptions: Path | None = typer.Option(
        None,
        "--descriptions",
        metavar="SET",
        help="For an adapter with slots, instead of --images: descriptions of the pictures (`mella embed texts --tokens`), "
        "with which they are enriched; those that are also asked are left out.",
    ),
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
    index: str | None = typer.Option(
        None,
        "--index",
        metavar="INDEX",
        help="Rank through FAISS as well: an index folder of the gallery, or a recipe of indexes/.",
    ),
    protocol: list[str] = typer.Option(
        [],
        "--protocol",
        "-p",
        help="all-hit, first, all, all-dedup or keywords instead of the task's own; the first is the headline.",
    ),
    breakdown: list[str] = typer.Option(
        [], "--breakdown", metavar="COLUMN", help="Score each value of a column apart: source, source+category ..."
    ),
    language: list[str] = typer.Option([], "--language", "-l", help="Measure only these of the task's languages."),
    out: Path = typer.Option(Path("results"), "--out", "-o", help="Folder of the result and its report."),
    image_tower: str | None = typer.Option(None, "--image-tower", help="Spec of the image tower, where it has moved."),
    text_tower: str | None = typer.Option(None, "--text-tower", help="Spec of the text tower, where it has moved."),
    download: bool = typer.Option(True, help="Whether files of the test set may be downloaded."),
    device: str = DEVICE,
    allow_module: bool = ALLOW_MODULE,
    list_: bool = typer.Option(False, "--list", help="List the tasks, or with TASK what it is and what must be downloaded."),
    as_json: bool = JSON,
) -> None:
    """Measure an adapter, or a model, on a task and write results.json, results.csv, ranks and report.html.

    Beside it stand chance, shuffled pairs and, where its text tower is at hand, the English dual encoder.
    """
    if list_:
        _list(task)
        return
    if not task or (adapter is None) == (model is None):
        raise typer.BadParameter("TASK and one of --adapter and --model are needed (or --list)")
    from mella_retrieval.adapters.adapter import Adapter
    from mella_retrieval.artifacts import beside
    from mella_retrieval.benchmarks.protocols import get_protocol
    from mella_retrieval.cli.benchmark_material import open_test_set

    for name in protocol:
        get_protocol(name)  # before hours of work
    if descriptions and (model or images):
        raise typer.BadParameter("only pictures of an adapter, embedded here, are enriched", param_hint="--descriptions")
    baselines = parse_values(baseline, "--baseline")
    work = beside(out, ".work")
    joined = None if adapter is None else Adapter.load(adapter)
    _check_names(str(joined.config.method if joined else model), baselines)
    test_set = open_test_set(task, records, data, work, download=download)
    if breakdown:
        test_set = replace(test_set, task=test_set.task.model_copy(update={"breakdown": tuple(breakdown)}))
    request = Request(
        test_set, joined, model, work, device, allow_module, tuple(language), image_tower, text_tower, images, texts, descriptions
    )
    if test_set.task.kind == "classification":
        from mella_retrieval.cli.benchmark_classes import classify

        given = {"--protocol": protocol, "--breakdown": breakdown, "--index": index, "--texts": texts,
                 "--descriptions": descriptions, "--english-texts": english_texts, "--translations": translations,
                 "--baseline": model and baselines}  # fmt: skip
        if strange := [name for name, value in given.items() if value]:
            raise typer.BadParameter(f"{', '.join(strange)} cannot be used for a classification{' of --model' if model else ''}")
        classify(request, baselines, out, as_json=as_json)
        return
    systems, evaluation = _systems(request, baselines, english_texts, translations)
    if index is not None:
        systems[0] = replace(systems[0], through=_through(index, systems[0], device))
    results = _run(request, systems, evaluation, list(dict.fromkeys(protocol)))
    from mella_retrieval.benchmarks.reporting import save_results

    save_results(results, out, systems[0], evaluation, test_set.records)
    if as_json:
        print_json(results[0].record.model_dump(mode="json"))
        return
    print_result(results[0])
    say(f"report: {out / 'report.html'}")


def _check_names(measured: str, baselines: dict[str, str]) -> None:
    """Refuse a baseline with the name of another row before any work is done."""
    from mella_retrieval.benchmarks.run import ENGLISH, SHUFFLED, TRANSLATED
    from mella_retrieval.benchmarks.scores import CHANCE
    from mella_retrieval.errors import ConfigError

    if taken := {measured, ENGLISH, SHUFFLED, TRANSLATED, CHANCE} & set(baselines):
        raise ConfigError(f"another row is called {taken.pop()!r} already: give the baseline another name.")


def _systems(
    request: Request, baselines: dict[str, str], english_texts: Path | None, translations: Path | None
) -> tuple[list[System], EvaluationSet]:
    from mella_retrieval.adapters.adapter import Adapter
    from mella_retrieval.benchmarks.material import load_evaluation
    from mella_retrieval.benchmarks.run import ENGLISH, adapter_system, dual_system, english_system, translated_system
    from mella_retrieval.cli.benchmark_material import embed_captions, image_vectors, text_vectors
    from mella_retrieval.embeddings.sets import EmbeddingSet

    test_set, work, device = request.test_set, request.work, request.device
    evaluation = load_evaluation(test_set.task, test_set.records, request.codes)
    vectors, embedded = image_vectors(request), text_vectors(request)
    if request.adapter is None:
        name = request.model_name
        systems = [dual_system(name, vectors, embedded, evaluation, role="system", languages=tuple(evaluation.captions))]
    else:
        systems = [adapter_system(request.adapter.config.method, request.adapter, vectors, embedded, evaluation)]
    for name, folder in baselines.items():
        systems.append(adapter_system(name, Adapter.load(folder), vectors, embedded, evaluation, role="baseline"))
    if english_texts:
        systems.append(dual_system(ENGLISH, vectors, EmbeddingSet.load(english_texts, deep=True), evaluation))
    elif request.adapter is not None:
        systems.append(
            english_system(
                vectors,
                evaluation,
                lambda tower: embed_captions(test_set, tower, work / "english-texts", lang="en"),
                device=device,
            )
        )
    if translations:
        systems.append(translated_system(vectors, EmbeddingSet.load(translations, deep=True), evaluation))
    return systems, evaluation


def _through(index: str, system: System, device: str) -> Through:
    from mella_retrieval.benchmarks.through_index import Through
    from mella_retrieval.indexes.index import Index
    from mella_retrieval.indexes.recipe import IndexRecipe
    from mella_retrieval.recipes import load_recipe

    where = cuda_or_cpu(device)
    if Path(index).is_dir():
        opened = Index.load(index)
        return Through(Path(index).name, opened.manifest.recipe, opened, where)
    return Through(Path(index).stem, load_recipe(IndexRecipe, "indexes", index), None, where)


def _run(request: Request, systems: Sequence[System], evaluation: EvaluationSet, protocols: Sequence[str]) -> list[Result]:
    from mella_retrieval.benchmarks.run import Setup, run_task

    found = request.test_set.provenance
    setup = Setup(
        request.test_set.task,
        evaluation,
        commands=(command_line(),),
        checksum=found.checksum if found.checksum != "unverified" else request.test_set.records.fingerprint,
        revision=found.revision,
        device=cuda_or_cpu(request.device),
    )
    return run_task(setup, systems, protocols or None)


def _list(task: str) -> None:
    from mella_retrieval.benchmarks.listing import describe_task, task_rows
    from mella_retrieval.benchmarks.tasks import list_tasks, load_task

    if task:
        for line in describe_task(load_task(task)):
            say(line)
        return
    head, rows = task_rows(list_tasks())
    print_table(head, rows)


def print_result(result: Result, metric: str | None = None) -> None:
    """The headline table of a result: one metric of all systems per language, both directions."""
    from mella_retrieval.benchmarks.metrics import IMAGE_TO_TEXT, TEXT_TO_IMAGE
    from mella_retrieval.benchmarks.protocols import get_protocol

    metric = metric or get_protocol(result.record.protocol).headline
    systems = [system.name for system in result.record.systems]
    values = {
        (score.system, score.language, score.direction, score.subset): score
        for score in result.record.scores
        if score.metric == metric
    }
    rows = []
    for language, subset in dict.fromkeys((score.language, score.subset) for score in result.record.scores):
        row = [f"{language} {subset}".rstrip()]
        for system in systems:
            cells = [values.get((system, language, direction, subset)) for direction in (TEXT_TO_IMAGE, IMAGE_TO_TEXT)]
            row.append(" / ".join("-" if cell is None or cell.value is None else f"{100 * cell.value:.1f}" for cell in cells))
        rows.append(row)
    say(f"{result.record.task.title}, {metric} in %, text -> image / image -> text, protocol {result.record.protocol}")
    print_table(["", *systems], rows, right=range(1, len(systems) + 1))
