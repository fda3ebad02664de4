"""`mella data download`."""

from __future__ import annotations

from pathlib import Path

import typer

from mella_retrieval.cli.options import JSON, OVERWRITE
from mella_retrieval.cli.output import print_json, progress_bar, say


def download(
    records: Path = typer.Argument(help="A records folder with pictures that are URLs."),
    out: Path = typer.Argument(help="The records folder to make, with the pictures as files."),
    options: list[str] = typer.Argument(
        None, metavar="[KEY=VALUE]...", help="How the web is asked, e.g. threads=32 per_host=1 max_bytes=5000000 robots=false"
    ),
    overwrite: bool = OVERWRITE,
    as_json: bool = JSON,
) -> None:
    """Download the pictures of records. What fails is counted by reason and listed in OUT/skipped.csv.

    Started again after it was stopped, it goes on where it was.
    """
    from mella_retrieval.data.records import Records
    from mella_retrieval.data.web.fetching import FetchOptions
    from mella_retrieval.data.web.pictures import download_pictures
    from mella_retrieval.recipes import apply_overrides, build_config

    chosen = build_config(FetchOptions, apply_overrides({}, options or ()), "the options of the download")
    opened = Records.load(records)
    with progress_bar("downloading", "URLs") as progress:
        report = download_pictures(opened, out, chosen, overwrite=overwrite, progress=progress)
    if as_json:
        print_json(report.as_dict())
        return
    say(f"{out}: {report.kept:,} of {report.read:,} records kept; {report.downloaded:,} of {report.urls:,} URLs gave a picture")
    for reason, count in sorted(report.failed.items(), key=lambda found: -found[1]):
        say(f"  failed {count:,}: {reason}")
    if report.hosts:
        most = sorted(report.hosts.items(), key=lambda found: -found[1])
        hosts = ", ".join(f"{host or '(none)'} {count:,}" for host, count in most)
        say(f"  hosts that failed most: {hosts}")
    if report.rejected:
        say(f"every record without its picture is listed in {out / 'skipped.csv'}")
