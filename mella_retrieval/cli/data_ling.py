"""`mella data ling`: pictures described, descriptions translated, both checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mella_retrieval.cli.options import (
    AGREEMENT_TOWER,
    ALLOW_MODULE,
    DEVICE,
    JSON,
    OVERRIDES,
    OVERWRITE,
    PRECISION,
    RETRY_FAILED,
    WHERE,
    parse_where,
)
from mella_retrieval.cli.output import print_json, print_table, progress_bar, say

if TYPE_CHECKING:
    from mella_retrieval.data.ling.report import CheckedTexts, LingReport


def ling(
    records: Path = typer.Argument(help="A records folder; each of its pictures is described."),
    out: Path = typer.Argument(help="The records folder to make. Run the same command again to continue."),
    overrides: list[str] = OVERRIDES,
    recipe: str = typer.Option("ling", "--recipe", "-r", help="A recipe's name or path (`mella recipes copy data ling`)."),
    captioner: str = typer.Option(
        ..., "--captioner", "-c", help="A model (see `mella describe`), records:FOLDER, table:FILE, or module:pkg.mod:Class."
    ),
    translator: str | None = typer.Option(
        None,
        "--translator",
        "-t",
        help="A model (see `mella translate`), records:FOLDER, table:FILE?en=COLUMN&hu=COLUMN, or module:pkg.mod:Class.",
    ),
    tower: str | None = AGREEMENT_TOWER,
    where: list[str] = WHERE,
    retry_failed: bool = RETRY_FAILED,
    device: str = DEVICE,
    precision: str = PRECISION,
    allow_module: bool = ALLOW_MODULE,
    overwrite: bool = OVERWRITE,
    as_json: bool = JSON,
) -> None:
    """Describe pictures, translate the descriptions and check both: MELLA's `ling`.

    What the models said is kept in OUT.work: with other thresholds, or further languages, only what is new is asked.
    """
    from mella_retrieval.data.ling.captioners import load_captioner
    from mella_retrieval.data.ling.job import Models
    from mella_retrieval.data.ling.making import make_ling, usual_tools
    from mella_retrieval.data.ling.recipe import LingRecipe
    from mella_retrieval.data.ling.translators import load_translator
    from mella_retrieval.data.records import Records
    from mella_retrieval.encoders.loading import load_text_tower
    from mella_retrieval.mllm.captioners import captioners
    from mella_retrieval.mllm.translators import translators
    from mella_retrieval.recipes import load_recipe

    chosen = load_recipe(LingRecipe, "data", recipe, overrides or ())
    opened = Records.load(records)
    models = Models(
        load_captioner(captioner, captioners(device), allow_module=allow_module),
        load_translator(translator, translators(device), allow_module=allow_module) if translator else None,
        usual_tools(
            chosen, load_text_tower(tower, device=device, precision=precision, allow_module=allow_module) if tower else None
        ),
    )
    with stages() as progress:
        report = make_ling(
            opened,
            out,
            chosen,
            models,
            where=parse_where(where) or None,
            retry_failed=retry_failed,
            overwrite=overwrite,
            progress=progress,
        )
    if as_json:
        print_json(report.as_dict())
    else:
        show(report, out)


@contextmanager
def stages(unit: str = "pictures") -> Iterator[Callable[[str, int, int], None]]:
    """One progress bar after the other, each named after its stage."""
    with ExitStack() as stack:
        bars: dict[str, Callable[[int, int], None]] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                stack.close()
                bars[stage] = stack.enter_context(progress_bar(stage, unit if total else "records"))
            bars[stage](done, total)

        yield progress


def show(report: LingReport, out: Path) -> None:
    """What was made of the pictures and texts, check by check."""
    written = report.written.kept if report.written else 0
    described = report.pictures - report.undescribed.total()
    say(f"{out}: {written:,} records; {described:,} of {report.pictures:,} pictures described")
    for reason, count in sorted(report.undescribed.items()):
        say(f"  not described {count:,}: {reason}")
    if report.repeated:
        say(f"  repeated {report.repeated:,}: views that say the same of their picture as an earlier one; kept once")
    if again := sum(one.kept for one in report.texts.values()) - written:
        say(f"  not written {again:,}: the same text of the same picture, or one that cannot be stored")
    show_texts(report, out)


def show_texts(report: CheckedTexts, out: Path) -> None:
    """What became of texts, language by language and check by check."""
    from mella_retrieval.data.ling.report import LEFT_OUT

    say()
    rows = [
        [lang, *(f"{count:,}" for count in (one.asked, one.kept, one.failed, one.rejected.total()))]
        for lang, one in report.texts.items()
    ]
    print_table(["lang", "texts", "kept", "without", "rejected"], rows, right=(1, 2, 3, 4))
    say()
    rows = []
    for check, looked_at in report.looked_at.items():
        rejected = sum(one.rejected[check] for one in report.texts.values())
        example = report.examples.get(check)
        shown = f"{example.lang}: {example.problem}: {example.text[:60]}" if example else ""
        rows.append([check, f"{looked_at:,}", f"{rejected:,}", shown])
    print_table(["check", "looked at", "rejected", "for instance"], rows, right=(1, 2))
    for check, why in report.unchecked.items():
        if why != LEFT_OUT:
            say(f"not checked: {check}: {why}")
    say(f"what was rejected is listed in {out / 'skipped.csv'}; what the models said stands in {out}.work")
