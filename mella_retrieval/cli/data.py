"""`mella data import|check|sentences|keywords`; the other commands are in `data_*.py`."""

from __future__ import annotations

from pathlib import Path

import typer

from mella_retrieval.cli import (
    data_card,
    data_collect,
    data_compose,
    data_download,
    data_export,
    data_ling,
    data_stats,
)
from mella_retrieval.cli.options import JSON, OVERWRITE
from mella_retrieval.cli.output import print_json, print_table, progress_bar, say

app = typer.Typer(no_args_is_help=True, help="Records: import, collect and make them, mix and split them, look at them.")
RECORDS = typer.Argument(help="A records folder.")


@app.command("import")
def import_(
    source: str = typer.Argument(
        help="A table (Parquet, CSV, TSV, JSONL), a folder of pictures, MELLA, XM3600, webdataset ... or hf:OWNER/NAME."
    ),
    out: Path = typer.Argument(help="The records folder to make."),
    options: list[str] = typer.Argument(
        None, metavar="[KEY=VALUE]...", help="Options of the format, e.g. columns.text=caption lang=hu source=know"
    ),
    format: str = typer.Option("auto", "--format", "-f", help="auto, or a format's name."),
    overwrite: bool = OVERWRITE,
    as_json: bool = JSON,
) -> None:
    """Import records. What cannot be used is counted by reason and listed in OUT/skipped.csv."""
    from mella_retrieval.data.importing import import_records
    from mella_retrieval.errors import ConfigError
    from mella_retrieval.recipes import apply_overrides

    values = apply_overrides({}, options or ())
    for name in sorted({"format", "overwrite", "progress"} & values.keys()):
        raise ConfigError(f"{name} is no option of a format; the command has --format and --overwrite.")
    with progress_bar("importing", "rows") as progress:
        report = import_records(source, out, format, overwrite=overwrite, progress=progress, **values)
    if as_json:
        print_json(report.as_dict())
        return
    say(f"{out}: {report.kept:,} of {report.read:,} rows kept")
    for reason, count in report.rejected.items():
        say(f"  rejected {count:,}: {reason}")
    for warning, count in report.warnings.items():
        say(f"  note {count:,}: {warning}")
    for note in report.notes:
        say(f"  {note}")
    if report.rejected:
        say(f"every rejected row is listed in {out / 'skipped.csv'}")


@app.command()
def check(
    records: Path = RECORDS,
    images: bool = typer.Option(True, help="Decode every picture."),
    languages: bool = typer.Option(False, "--languages", help="Identify the language of every text (a few thousand a second)."),
    disjoint_from: list[Path] = typer.Option(
        [], "--disjoint-from", metavar="RECORDS", help="A test set of which neither a picture nor a text may be met."
    ),
    as_json: bool = JSON,
) -> None:
    """Check a records folder from end to end; the exit code is 1 if anything is wrong."""
    from mella_retrieval.data.checking import check_folder
    from mella_retrieval.data.compose.leakage import check_leakage
    from mella_retrieval.data.language_check import check_languages
    from mella_retrieval.data.records import Records
    from mella_retrieval.errors import ArtifactError

    if not records.is_dir():
        raise ArtifactError(f"there is no folder {records}.")
    others = [Records.load(folder) for folder in disjoint_from]
    with progress_bar("checking pictures", "pictures") as progress:
        report = check_folder(records, images=images, progress=progress)
    readable = not {"files", "schema"} & report.found.keys()
    if others and readable:
        with progress_bar("comparing", "records") as progress:
            report.add_leakage(check_leakage(Records.load(records), others, progress=progress))
    if languages and readable:
        with progress_bar("identifying languages", "texts") as progress:
            report.add_languages(check_languages(Records.load(records), progress=progress))
    if as_json:
        print_json(report.as_dict())
    else:
        for problem in report.problems:
            say(f"{problem.kind}: {problem.where}: {problem.what}")
        for note in report.leakage.notes if report.leakage else ():
            say(f"note: {note}")
        summary = ", ".join(f"{kind} {count:,}" for kind, count in report.found.items())
        urls = f" ({report.urls:,} more are addresses and were not looked at)" if report.urls else ""
        say(f"{records}: {report.records:,} records, {report.images:,} pictures{urls}; problems: {summary or 'none'}")
        if report.languages:
            print_table(*report.languages.table(), right=(1, 2, 3, 4, 5))
    if not report.ok:
        raise typer.Exit(1)


app.command()(data_stats.stats)
app.command()(data_collect.look)
app.command()(data_card.card)
app.command()(data_download.download)
app.command()(data_collect.collect)
app.command()(data_ling.ling)
app.command()(data_compose.compose)
app.command()(data_export.export)


@app.command()
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


@app.command()
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
