"""`mella data sentences` and `mella data keywords`: long texts and lists of keywords become texts of their own."""

from __future__ import annotations

from pathlib import Path

import typer

from mella_retrieval.cli.options import OVERWRITE, RECORDS
from mella_retrieval.cli.output import progress_bar, say


def sentences(
    records: Path = RECORDS,
    out: Path = typer.Argument(help="The records folder to make: one record per sentence."),
    overwrite: bool = OVERWRITE,
) -> None:
    """Split long texts into sentences, so that a tower with 64 or 77 tokens sees all of a description.

    Each sentence keeps its picture; the column part_of names its text, and training draws one sentence of a text at a time.
    """
    from mella_retrieval.data.records import Records
    from mella_retrieval.data.sentences import write_sentences

    opened = Records.load(records)
    with progress_bar("splitting", "sentences") as progress:
        report = write_sentences(opened, out, overwrite=overwrite, progress=progress)
    say(f"{out}: {report.kept:,} sentences of {len(opened):,} records")


def keywords(
    records: Path = RECORDS,
    out: Path = typer.Argument(help="The records folder to make: one record per keyword and picture."),
    column: str = typer.Option("keywords", "--column", help="Column with a list of keywords, or one text of several."),
    separator: str = typer.Option("|", "--separator", help="What stands between the keywords of one text."),
    overwrite: bool = OVERWRITE,
) -> None:
    """Make the keywords of pictures texts of their own, to measure how often a keyword finds one of its pictures.

    Embed them and ask with `mella benchmark --protocol keywords`: R@k is then the hit rate of the keywords.
    """
    from mella_retrieval.data.keywords import write_keywords
    from mella_retrieval.data.records import Records

    opened = Records.load(records)
    with progress_bar("taking keywords", "keywords") as progress:
        report = write_keywords(opened, out, column, separator=separator, overwrite=overwrite, progress=progress)
    say(f"{out}: {report.kept:,} keywords of {len(opened):,} records")
