"""`mella data card`."""

from __future__ import annotations

from pathlib import Path

import typer

from mella_retrieval.cli.options import OVERWRITE
from mella_retrieval.cli.output import progress_bar, say


def card(
    records: Path = typer.Argument(help="A records folder."),
    out: Path | None = typer.Option(
        None, "--out", "-o", metavar="FOLDER", help="Where to write; by default into the records folder, where the card belongs."
    ),
    name: str = typer.Option("", "--name", help="Name of the data; the folder's name by default."),
    description: str = typer.Option("", "--description", help="What it is for, in a sentence or two."),
    licence: str = typer.Option("", "--licence", metavar="ID", help="Licence of the whole: cc-by-4.0, or an address."),
    citation: str = typer.Option("", "--citation", metavar="TEXT", help="How to cite it; or a file that holds it (BibTeX)."),
    url: str = typer.Option("", "--url", help="Where it is published."),
    contact: str = typer.Option("", "--contact", help="Whom to write to."),
    published: str = typer.Option("", "--published", metavar="YYYY-MM-DD", help="Day of publication."),
    version: str = typer.Option("", "--version", metavar="1.0.0", help="Its version."),
    overwrite: bool = OVERWRITE,
) -> None:
    """Write a data card: README.md for people and the hub, croissant.json for programs.

    It states what the records and their manifest tell. What only a person knows is marked in it.
    """
    from mella_retrieval.data.card.options import CardOptions
    from mella_retrieval.data.card.writing import write_card
    from mella_retrieval.data.records import Records
    from mella_retrieval.recipes import build_config

    given = {
        "name": name,
        "description": description,
        "licence": licence,
        "citation": _text_or_file(citation),
        "url": url,
        "contact": contact,
        "published": published or None,
        "version": version,
    }
    options = build_config(CardOptions, given, "the options of the card")
    with progress_bar("reading records", "records") as progress:
        made = write_card(Records.load(records), options, out, overwrite=overwrite, progress=progress)
    say(f"{made.readme}, {made.croissant}: written")
    for what in made.unfilled:
        say(f"  to be filled in: {what}")


def _text_or_file(text: str) -> str:
    try:
        return Path(text).read_text(encoding="utf-8") if Path(text).is_file() else text
    except OSError:  # too long for the name of a file
        return text
