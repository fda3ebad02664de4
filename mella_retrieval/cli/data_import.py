"""`mella data import`."""

from __future__ import annotations

from pathlib import Path

import typer

from mella_retrieval.cli.options import JSON, OVERWRITE
from mella_retrieval.cli.output import print_json, progress_bar, say


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
