"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from mella_retrieval.errors import ConfigError

RECORDS = typer.Argument(help="A records folder (made by `mella data import`).")
DEVICE = typer.Option("auto", "--device", help="auto, cpu, cuda, cuda:N or mps.")
INDEX_DEVICE = typer.Option("cpu", "--index-device", help="Where FAISS works: cpu, auto, cuda:0 or cuda:0,1.")
MEMORY = typer.Option(None, "--memory", metavar="SIZE", help="Memory to build in, as 4GB; by default half of what is free.")
PRECISION = typer.Option("fp32", "--precision", help="fp32, bf16 or fp16.")
MODEL_PRECISION = typer.Option("auto", "--precision", help="fp32, bf16 or fp16; auto: bf16 on CUDA, else fp32.")
RETRY_FAILED = typer.Option(False, "--retry-failed", help="Ask again where a model failed or a picture could not be read.")
AGREEMENT_TOWER = typer.Option(
    None, "--tower", help="A multilingual text tower for the check of agreement, such as sentence-transformers:NAME."
)
OVERWRITE = typer.Option(False, "--overwrite", help="Replace what is there.")
JSON = typer.Option(False, "--json", help="Print JSON for a program to read.")
ALLOW_MODULE = typer.Option(False, "--allow-module", help="Import the class that a module: spec on this command line names.")
WHERE = typer.Option(
    [], "--where", metavar="COLUMN=VALUE", help="Keep only records with this value ('lang=hu|cs', quoted, for several)."
)
OVERRIDES = typer.Argument(None, metavar="[KEY=VALUE]...", help="Override keys of the recipe.")


def parse_where(filters: Sequence[str]) -> dict[str, str | list[str]]:
    """`column=a|b` filters as a mapping."""
    chosen: dict[str, str | list[str]] = {}
    for text in filters:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigError(f"--where {text!r} is not of the form COLUMN=VALUE.")
        chosen[name] = value.split("|")
    return chosen


def parse_values(items: Sequence[str], what: str) -> dict[str, str]:
    """`key=value` items as a mapping of plain texts."""
    values = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise ConfigError(f"{what} {item!r} is not of the form KEY=VALUE.")
        if key in values:
            raise ConfigError(f"{what} gives {key} twice.")
        values[key] = value
    return values


def size(text: str | None) -> int | None:
    """Bytes of a size such as `4GB`; None where none is given."""
    from mella_retrieval.sizes import parse_size

    return None if text is None else parse_size(text)
