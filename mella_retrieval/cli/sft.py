"""`mella sft`: a multimodal language model fine-tuned on records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mella_retrieval.cli.data_ling import stages
from mella_retrieval.cli.options import JSON, OVERRIDES, OVERWRITE, WHERE, parse_where
from mella_retrieval.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from mella_retrieval.mllm.sft.report import SftReport


def sft(
    model: str = typer.Argument(
        help="An image-text-to-text model of transformers: a folder, or a hub name (`owner/name@revision`)."
    ),
    records: Path = typer.Argument(help="A records folder; its rows with a text are trained on (of the split train, if any)."),
    out: Path = typer.Argument(help="Folder of the fine-tuned model. Run the same command again to continue."),
    overrides: list[str] = OVERRIDES,
    recipe: str = typer.Option("small", "--recipe", "-r", help="A recipe's name or path (`mella recipes copy mllm small`)."),
    where: list[str] = WHERE,
    device: str = typer.Option("auto", "--device", help="auto, cpu, cuda or mps; CUDA_VISIBLE_DEVICES chooses among cards."),
    overwrite: bool = OVERWRITE,
    as_json: bool = JSON,
) -> None:
    """Fine-tune a multimodal language model on native texts: `mella sft OpenGVLab/InternVL3-1B-hf mella my-model`.

    LoRA on the language model by default, vision tower and connector frozen; method=qlora and method=full are the others.
    Killed and started again, a training continues from OUT.work, with the result of an undisturbed one.

    On several GPUs: `torchrun --nproc-per-node 8 --no-python mella sft ...`, with the same arguments.
    """
    from mella_retrieval.data.records import Records
    from mella_retrieval.mllm.sft import SftRecipe, fine_tune
    from mella_retrieval.mllm.sft.processes import Processes
    from mella_retrieval.recipes import load_recipe

    chosen = load_recipe(SftRecipe, "mllm", recipe, overrides or ())
    opened, main = Records.load(records), Processes.here().main
    with stages("conversations") as tell:
        progress = _in_conversations(tell, chosen.batch) if main else None
        report = fine_tune(
            model, opened, out, chosen, where=parse_where(where) or None, device=device, overwrite=overwrite, progress=progress
        )
    if not main:
        return
    if as_json:
        print_json(report.as_dict())
    else:
        _show(report)


def _in_conversations(tell: Callable[[str, int, int], None], batch: int) -> Callable[[str, int, int], None]:
    def progress(stage: str, done: int, total: int) -> None:
        size = batch if stage == "training" else 1
        tell(stage, done * size, total * size)

    return progress


def _show(report: SftReport) -> None:
    prepared = report.prepared
    say(f"{report.folder}: {report.model} after {report.steps:,} steps of {report.batch} conversations ({report.method})")
    say(f"{report.trained_parameters:,} of {report.parameters:,} parameters trained")
    say(f"records {prepared.read:,}: trained on {prepared.train:,}, held out {prepared.evaluation:,}")
    for reason, count in [*prepared.skipped.items(), *prepared.left_out.items()]:
        say(f"  not used {count:,}: {reason}")
    say()
    rows = [
        [source, lang, f"{count:,}"] for source, of in sorted(prepared.trained_on.items()) for lang, count in sorted(of.items())
    ]
    print_table(["source", "lang", "conversations"], rows, right=(2,))
    say()
    if losses := report.losses():
        say(f"loss: {losses[0]:.3f} at first, {losses[-1]:.3f} at last")
    if held_out := report.losses("eval_loss"):
        say(f"loss on held-out texts: {held_out[0]:.3f} before, {held_out[-1]:.3f} after")
    if report.tokens:
        say(f"{report.tokens / report.seconds:,.0f} tokens a second")
    if prepared.skipped:
        say(f"what was not used is listed in {report.folder / 'skipped.csv'}")
