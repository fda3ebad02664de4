"""`mella describe`: pictures described by a model, on this machine or behind a server."""

from __future__ import annotations

from pathlib import Path

import typer

from mella_retrieval.cli.data_ling import show, stages
from mella_retrieval.cli.options import (
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
from mella_retrieval.cli.output import print_json


def describe(
    records: Path = typer.Argument(help="A records folder; each of its pictures is described."),
    out: Path = typer.Argument(help="The records folder to make. Run the same command again to continue."),
    overrides: list[str] = OVERRIDES,
    captioner: str = typer.Option(
        ...,
        "--captioner",
        "-c",
        help="transformers:FOLDER_OR_NAME, server:http://HOST:PORT/v1, or as for `mella data ling`. Options follow a question "
        "mark: transformers:tuned?temperature=1.",
    ),
    lang: str | None = typer.Option(
        None, "--lang", help="Language of prompts and descriptions; by default the recipe's (English)."
    ),
    recipe: str = typer.Option(
        "describe", "--recipe", "-r", help="A recipe's name or path (`mella recipes copy mllm describe`)."
    ),
    where: list[str] = WHERE,
    retry_failed: bool = RETRY_FAILED,
    device: str = DEVICE,
    precision: str = MODEL_PRECISION,
    allow_module: bool = ALLOW_MODULE,
    overwrite: bool = OVERWRITE,
    as_json: bool = JSON,
) -> None:
    """Describe pictures with an image-text-to-text model, and check the descriptions.

    What the model said is kept in OUT.work: a killed job continues, and with other thresholds nothing is asked again.
    """
    from mella_retrieval.data.ling.captioners import load_captioner
    from mella_retrieval.data.ling.job import Models
    from mella_retrieval.data.ling.making import make_ling, usual_tools
    from mella_retrieval.data.ling.recipe import LingRecipe
    from mella_retrieval.data.records import Records
    from mella_retrieval.mllm.captioners import captioners
    from mella_retrieval.recipes import load_recipe

    chosen = load_recipe(LingRecipe, "mllm", recipe, [*(overrides or ()), *([f"describe.lang={lang}"] if lang else [])])
    opened = Records.load(records)
    model = load_captioner(captioner, captioners(device, precision), allow_module=allow_module)
    with stages() as progress:
        report = make_ling(
            opened,
            out,
            chosen,
            Models(model, None, usual_tools(chosen)),
            where=parse_where(where) or None,
            retry_failed=retry_failed,
            overwrite=overwrite,
            progress=progress,
        )
    if as_json:
        print_json(report.as_dict())
    else:
        show(report, out)
