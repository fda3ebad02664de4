"""The program `mella`: commands are put together here, errors become one sentence and a non-zero exit code."""

from __future__ import annotations

import logging
import os
import sys
import warnings

import typer

from mella_retrieval.cli import (
    benchmark,
    compare,
    data,
    describe,
    embed,
    export,
    index,
    push,
    quickstart,
    recipes,
    score,
    search,
    sft,
    train,
    translate,
)
from mella_retrieval.cli.output import complain
from mella_retrieval.errors import MellaError

app = typer.Typer(
    name="mella",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Search any image collection in any language: small adapters between frozen towers, FAISS indexes, benchmarks.",
)
app.command(name="quickstart")(quickstart.quickstart)
app.add_typer(data.app, name="data")
app.add_typer(embed.app, name="embed")
app.command(name="train")(train.train)
app.add_typer(index.app, name="index")
app.command(name="search")(search.search)
app.command(name="benchmark")(benchmark.benchmark)
app.command(name="compare")(compare.compare)
app.command(name="describe")(describe.describe)
app.command(name="export")(export.export)
app.command(name="push")(push.push)
app.command(name="score")(score.score)
app.command(name="sft")(sft.sft)
app.command(name="translate")(translate.translate)
app.add_typer(recipes.app, name="recipes")


@app.callback()
def options(
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Also print what the program is doing."),
) -> None:
    """Options of every command."""
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s", stream=sys.stderr)
    if not verbose:
        for name in ("httpx", "httpx2", "transformers", "sentence_transformers", "huggingface_hub", "bitsandbytes"):
            logging.getLogger(name).setLevel(logging.ERROR)
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # its logger gets a level when it is imported
        warnings.simplefilter("ignore", FutureWarning)  # what libraries tell each other's authors


def main() -> None:
    """Run the program.

    Exit codes: 0 all is well, 1 an error, explained on standard error, 2 the command line itself is wrong, 130 interrupted.
    """
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")  # our own progress bars count the whole job, not one library's share of it
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    code = _run()
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # `mella ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def _run() -> int:
    try:
        app(prog_name="mella")
    except MellaError as error:
        complain(str(error))
        return 1
    except SystemExit as stop:  # how typer ends every command, an interrupted one (130) too
        if stop.code == 130:
            complain("interrupted. What was finished is kept; run the same command again to continue.")
        return int(stop.code or 0)
    return 0
