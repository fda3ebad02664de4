"""`mella score`: what models say of pictures, against what people wrote of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mella_retrieval.cli.data_ling import stages
from mella_retrieval.cli.options import (
    ALLOW_MODULE,
    DEVICE,
    JSON,
    MODEL_PRECISION,
    OVERRIDES,
    OVERWRITE,
    RETRY_FAILED,
    WHERE,
    parse_values,
    parse_where,
)
from mella_retrieval.cli.output import print_json, print_table, say
from mella_retrieval.errors import ConfigError

if TYPE_CHECKING:
    from mella_retrieval.mllm.score.results import ScoreReport


def score(
    records: Path = typer.Argument(help="A records folder with pictures and texts, such as a test split."),
    out: Path = typer.Argument(help="The folder to make. Run the same command again to continue."),
    overrides: list[str] = OVERRIDES,
    model: list[str] = typer.Option(
        [],
        "--model",
        "-m",
        metavar="NAME=SPEC",
        help="A model to ask, before=transformers:FOLDER; a captioner as of `mella describe`. Once for each model.",
    ),
    answers: list[str] = typer.Option(
        [],
        "--answers",
        "-a",
        metavar="NAME=PATH",
        help="Answers that there are: an answers folder, or a JSONL file (image_id, lang, answer).",
    ),
    baseline: str | None = typer.Option(
        None,
        "--baseline",
        metavar="NAME",
        help="What the others differ from; by default the first of --answers, then of --model.",
    ),
    recipe: str = typer.Option("score", "--recipe", "-r", help="A recipe's name or path (`mella recipes copy mllm score`)."),
    where: list[str] = WHERE,
    retry_failed: bool = RETRY_FAILED,
    device: str = DEVICE,
    precision: str = MODEL_PRECISION,
    allow_module: bool = ALLOW_MODULE,
    overwrite: bool = OVERWRITE,
    as_json: bool = JSON,
) -> None:
    """Score generated texts: keyword accuracy, chrF++, character BLEU, ROUGE-L, language, repetition, forgetting.

    Models are asked the same about the same pictures, and shown side by side with intervals, chance and paired differences.
    """
    from mella_retrieval.data.ling.captioners import load_captioner
    from mella_retrieval.data.records import Records
    from mella_retrieval.mllm.captioners import captioners
    from mella_retrieval.mllm.score.recipe import ScoreRecipe
    from mella_retrieval.mllm.score.scoring import Arm
    from mella_retrieval.mllm.score.scoring import score as score_models
    from mella_retrieval.recipes import load_recipe, suggest

    chosen = load_recipe(ScoreRecipe, "mllm", recipe, overrides or ())
    models, given = parse_values(model, "--model"), parse_values(answers, "--answers")
    if both := sorted({*models} & {*given}):
        raise ConfigError(f"{both[0]} is named by --model and by --answers; give each its own name.")
    kinds = captioners(device, precision)
    arms: dict[str, Arm] = {name: Path(path) for name, path in given.items()}
    arms |= {name: load_captioner(spec, kinds, allow_module=allow_module) for name, spec in models.items()}
    if baseline is not None and baseline not in arms:
        raise ConfigError(f"there is no model {baseline!r} to compare with.{suggest(baseline, arms)}")
    first = {baseline: arms[baseline]} if baseline is not None else {}
    with stages() as progress:
        report = score_models(
            Records.load(records),
            out,
            chosen,
            {**first, **arms},
            where=parse_where(where) or None,
            retry_failed=retry_failed,
            overwrite=overwrite,
            progress=progress,
        )
    if as_json:
        print_json(report.as_dict())
    else:
        _show(report, out, asked=bool(models))


def _show(report: ScoreReport, out: Path, *, asked: bool) -> None:
    from mella_retrieval.mllm.score.table import narrow, remarks

    head, rows = narrow(report)
    print_table(head, rows, right=(3, *range(5, len(head))))
    say()
    for text in remarks(report):
        say(text)
    work = f"; what was asked is kept in {out}.work" if asked else ""
    say(f"all of it stands in {out}: scores.md, scores.csv, scores.json, answers/{work}")
