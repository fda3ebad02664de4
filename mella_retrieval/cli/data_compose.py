"""`mella data compose`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from mella_retrieval.cli.options import JSON, OVERRIDES, OVERWRITE
from mella_retrieval.cli.output import print_json, print_table, progress_bar, say


def compose(
    out: Path = typer.Argument(help="The records folder to make."),
    overrides: list[str] = OVERRIDES,
    recipe: str = typer.Option("compose", "--recipe", help="A recipe (`mella recipes list`) or the path of one."),
    overwrite: bool = OVERWRITE,
    as_json: bool = JSON,
) -> None:
    """Mix records folders, balance their languages and split them without leakage: sources.know=PATH sources.ling=PATH.

    What meets a set named in disjoint_from is removed; every record that is not taken is listed in OUT/skipped.csv.
    """
    from mella_retrieval.data.compose.compose import compose as compose_records
    from mella_retrieval.data.compose.recipe import ComposeRecipe
    from mella_retrieval.recipes import load_recipe

    config = load_recipe(ComposeRecipe, "data", recipe, overrides or ())
    with progress_bar("composing", "records") as progress:
        composed = compose_records(out, config, overwrite=overwrite, progress=progress)
    if as_json:
        print_json(composed.report)
        return
    _tell(out, composed.report)


def _tell(out: Path, report: dict[str, Any]) -> None:
    splits = ", ".join(f"{name} {entry['got']:,}" for name, entry in report["splits"].items())
    say(f"{out}: {report['records']:,} of {report['read']:,} records ({splits})")
    head = ["source", "lang", "available", "asked", "taken", *report["splits"]]
    rows = []
    for name, source in report["sources"].items():
        totals = [f"{source[key]:,}" for key in ("available", "asked", "got")]
        rows.append([name, "all", *totals, *(f"{sum(e[s] for e in source['languages'].values()):,}" for s in report["splits"])])
        for lang, entry in source["languages"].items():
            rows.append([name, lang, *(f"{entry[key]:,}" for key in ("available", "asked", "got", *report["splits"]))])
    print_table(head, rows, right=range(2, len(head)))
    say(f"available, asked and taken count {report['count']}; the splits count records")
    for reason, count in report["removed"].items():
        say(f"  removed {count:,}: {reason}")
    groups = report["groups"]
    say(f"  {groups['of_several_records']:,} groups of several records stay together, the largest of {groups['largest']:,}")
    for note in report["notes"]:
        say(f"  {note}")
    if report["removed"]:
        say(f"every removed record is listed in {out / 'skipped.csv'}")
