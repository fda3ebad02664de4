"""Write the results of a run with their reports."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from mella_retrieval.artifacts import MANIFEST, read_json, writer_lock
from mella_retrieval.benchmarks.evaluation import EvaluationSet
from mella_retrieval.benchmarks.examples import collect_examples
from mella_retrieval.benchmarks.protocols import PROTOCOLS
from mella_retrieval.benchmarks.published import read_published
from mella_retrieval.benchmarks.report import write_report
from mella_retrieval.benchmarks.results import KIND, Result
from mella_retrieval.benchmarks.run import System
from mella_retrieval.data.records import Records


def save_results(results: Sequence[Result], out: Path | str, system: System, evaluation: EvaluationSet, records: Records) -> None:
    """Save the headline result in `out` and each further protocol in a folder of its name, every one with its report.

    Results of other protocols that an earlier run left there are removed: a folder holds the results of one run.

    Args:
        results: of one run, the headline first.
        out: the folder.
        system: the one whose example results are shown.
        evaluation: gallery and captions.
        records: where the pictures for the examples are.

    Raises:
        LockedError: another process writes there.
    """
    out = Path(out)
    with writer_lock(out):
        _remove_others(out, [result.record.protocol for result in results[1:]])
        for number, result in enumerate(results):
            folder = out if number == 0 else out / result.record.protocol
            result.save(folder)
            examples = collect_examples(result, system, evaluation, records)
            published = read_published(result.record.task, result.record.protocol)
            write_report(folder, result, examples=examples, published=published)


def _remove_others(out: Path, kept: Collection[str]) -> None:
    for name in PROTOCOLS:
        manifest = out / name / MANIFEST
        if name not in kept and manifest.is_file() and read_json(manifest).get("kind") == KIND:
            shutil.rmtree(out / name)
