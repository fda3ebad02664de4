"""`mella translate`: the texts of records in other languages, by a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mella_retrieval.cli.data_ling import show_texts, stages
from mella_retrieval.cli.options import (
    AGREEMENT_TOWER,
    ALLOW_MODULE,
    DEVICE,
    JSON,
    MODEL_PRECISION,
    OVERRIDES,
    OVERWRITE,
    RETRY_FAILED,
    WHERE,
    parse_where,
)
from mella_retrieval.cli.output import print_json, say

if TYPE_CHECKING:
    from mella_retrieval.mllm.translating import TranslateReport


def translate(
    records: Path = typer.Argument(help="A records folder; its texts in one language are translated."),
    out: Path = typer.Argument(help="The records folder to make. Run the same command again to continue."),
    overrides: list[str] = OVERRIDES,
    translator: str = typer.Option(
        ...,
        "--translator",
        "-t",
        help="transformers:FOLDER_OR_NAME (NLLB, M2M100, MADLAD, Marian), chat:FOLDER_OR_NAME, "
        "server:http://HOST:PORT/v1, or as for `mella data ling`. Options follow a question mark: 'transformers:nllb?beams=1'.",
    ),
    to: str | None = typer.Option(None, "--to", metavar="LANGS", help="Languages to translate into, as hu,th or hun_Latn."),
    source: str | None = typer.Option(
        None, "--from", metavar="LANG", help="Language of the texts; needed where there are several."
    ),
    recipe: str = typer.Option(
        "translate", "--recipe", "-r", help="A recipe's name or path (`mella recipes copy mllm translate`)."
    ),
    tower: str | None = AGREEMENT_TOWER,
    where: list[str] = WHERE,
    retry_failed: bool = RETRY_FAILED,
    device: str = DEVICE,
    precision: str = MODEL_PRECISION,
    allow_module: bool = ALLOW_MODULE,
    overwrite: bool = OVERWRITE,
    as_json: bool = JSON,
) -> None:
    """Translate texts and check the translations; pictures and further columns stay with them.

    What the translator said is kept in OUT.work: a killed job continues, and with other thresholds, or further languages, only
    what is new is asked.
    """
    from mella_retrieval.data.ling.making import usual_tools
    from mella_retrieval.data.ling.translators import load_translator
    from mella_retrieval.data.records import Records
    from mella_retrieval.encoders.loading import load_text_tower
    from mella_retrieval.mllm.translate_recipe import TranslateRecipe
    from mella_retrieval.mllm.translating import Models, translate_records
    from mella_retrieval.mllm.translators import translators
    from mella_retrieval.recipes import load_recipe

    given = [*(overrides or ()), *([f"languages=[{to}]"] if to else []), *([f"source={source}"] if source else [])]
    chosen = load_recipe(TranslateRecipe, "mllm", recipe, given)
    opened = Records.load(records)
    loaded = load_text_tower(tower, device=device, allow_module=allow_module) if tower else None
    models = Models(
        load_translator(translator, translators(device, precision), allow_module=allow_module), usual_tools(chosen, loaded)
    )
    with stages("texts") as progress:
        report = translate_records(
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
        _show(report, out)


def _show(report: TranslateReport, out: Path) -> None:
    written = report.written.kept if report.written else 0
    say(f"{out}: {written:,} records; {report.sources:,} texts in {report.source}")
    for why, count in report.passed_over.items():
        say(f"  passed over {count:,}: {why}")
    if lost := sum(one.kept for one in report.texts.values()) - written:
        say(f"  not written {lost:,}: they cannot be stored")
    show_texts(report, out)
