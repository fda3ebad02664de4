"""`mella benchmark` on a classification task: pictures and class names instead of captions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mella_retrieval.cli.output import print_json, print_table, progress_bar, say

if TYPE_CHECKING:
    from mella_retrieval.benchmarks.results import Result
    from mella_retrieval.cli.benchmark_material import Request


def classify(request: Request, baselines: dict[str, str], out: Path, *, as_json: bool) -> None:
    """Measure top-1, top-5 and macro-F1, and write the result, its report and `classes.csv`."""
    from mella_retrieval.adapters.adapter import Adapter
    from mella_retrieval.benchmarks.classification import run_classification
    from mella_retrieval.benchmarks.classification_material import classification_systems, embed_prompts, load_question
    from mella_retrieval.benchmarks.report import write_report
    from mella_retrieval.benchmarks.run import Setup, dual_system
    from mella_retrieval.cli.benchmark_material import command_line, cuda_or_cpu, image_vectors, load_texts_tower

    test_set, work = request.test_set, request.work
    question = load_question(test_set.task, test_set.records, request.codes)
    vectors, tower = image_vectors(request), load_texts_tower(request)
    with progress_bar("embedding class names", "prompts") as progress:
        if request.adapter is None:
            prompts = embed_prompts(question, tower, work / "prompts", progress=progress)
            name = request.model_name
            systems = [dual_system(name, vectors, prompts, question.evaluation, role="system", languages=question.languages)]
        else:
            adapters = {request.adapter.config.method: request.adapter, **{n: Adapter.load(f) for n, f in baselines.items()}}
            systems = classification_systems(
                question, vectors, adapters, work, tower=tower, device=request.device, progress=progress
            )
    found = test_set.provenance
    setup = Setup(
        test_set.task,
        question.evaluation,
        commands=(command_line(),),
        checksum=found.checksum if found.checksum != "unverified" else test_set.records.fingerprint,
        revision=found.revision,
        device=cuda_or_cpu(request.device),
    )
    made = run_classification(setup, question, systems)
    made.save(out)
    write_report(out, made.result)
    if as_json:
        print_json(made.result.record.model_dump(mode="json"))
        return
    print_classes(made.result)
    say(f"report: {out / 'report.html'}")


def print_classes(result: Result) -> None:
    """Top-1, top-5 and macro-F1 of all systems per language."""
    from mella_retrieval.benchmarks.classification import result_rows

    head, rows = result_rows(result)
    say(f"{result.record.task.title}, top-1 / top-5 / macro-F1 in %, picture -> class name")
    print_table(head, rows, right=range(1, len(head)))
