"""`mella data check`."""

from __future__ import annotations

from pathlib import Path

import typer

from mella_retrieval.cli.options import JSON, RECORDS
from mella_retrieval.cli.output import print_json, print_table, progress_bar, say


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
