"""`mella compare`."""

from __future__ import annotations

from pathlib import Path

import typer

from mella_retrieval.cli.options import JSON
from mella_retrieval.cli.output import print_json, print_table, say


def compare(
    first: Path = typer.Argument(help="Result to start from."),
    second: Path = typer.Argument(help="Result to judge."),
    first_system: str | None = typer.Option(
        None, "--first-system", help="Which system of the first; the measured one by default."
    ),
    second_system: str | None = typer.Option(None, "--second-system", help="The same of the second."),
    metric: str = typer.Option("R@10", "--metric", help="R@1, R@5, R@10, mean R, sumR, nDCG@10, mAP, MRR, recall@K, hit rate@K."),
    subset: str = typer.Option("", "--subset", help="Compare over a part of the test set, such as source=know."),
    as_json: bool = JSON,
) -> None:
    """Test one result against another: paired bootstrap over pictures, Holm's correction over languages."""
    from mella_retrieval.benchmarks.comparison import COMPARED
    from mella_retrieval.benchmarks.comparison import compare as test
    from mella_retrieval.benchmarks.results import Result

    if metric not in COMPARED:
        raise typer.BadParameter(f"must be one of {', '.join(COMPARED)}", param_hint="--metric")
    found = test(
        Result.load(first),
        Result.load(second),
        first_system=first_system,
        second_system=second_system,
        metrics=[metric],
        subset=subset,
    )
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    part = f", {found.subset}" if found.subset else ""
    say(f"{found.task}, {found.protocol}{part}, {metric}: {found.second!r} of {second} against {found.first!r} of {first}, "
        f"{found.images:,} pictures")  # fmt: skip
    rows = [
        [
            row.direction,
            row.language,
            f"{100 * row.first:.1f}",
            f"{100 * row.second:.1f}",
            f"{100 * row.difference:+.1f}",
            f"[{100 * row.low:+.1f}, {100 * row.high:+.1f}]",
            f"{row.p:.4f}",
            "-" if row.p_holm is None else f"{row.p_holm:.4f}",
        ]
        for row in found.rows
    ]
    print_table(["direction", "language", "first", "second", "difference", "interval", "p", "p (Holm)"], rows, right=range(2, 8))
