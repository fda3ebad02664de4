"""`mella data collect|look`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mella_retrieval.cli.options import JSON, OVERWRITE
from mella_retrieval.cli.output import print_json, print_table, progress_bar, say

if TYPE_CHECKING:
    from mella_retrieval.cli.look_page import Section, Sheet
    from mella_retrieval.data.collect.report import CollectReport
    from mella_retrieval.data.collect.samples import Sample
    from mella_retrieval.data.records import Records

_EXAMPLE = 48
_OVERRIDE = re.compile(r"[A-Za-z_][\w.-]*=")


def collect(
    arguments: list[str] = typer.Argument(
        metavar="SOURCE... OUT [KEY=VALUE]...",
        help="WARC files or folders of them, folders of HTML files, .txt lists of addresses; the records folder to make; "
        "overrides of the recipe, e.g. languages=\\[hu,cs] filters.words.lists=\\[bad.txt]",
    ),
    recipe: str = typer.Option("know", "--recipe", "-r", help="A recipe's name or path (`mella recipes copy data know`)."),
    overwrite: bool = OVERWRITE,
    as_json: bool = JSON,
) -> None:
    """Collect native texts of pictures from web pages: MELLA's `know`. Run the same command again to continue.

    Every filter is a step of the recipe. What each removed is counted; `mella data look OUT` shows samples of it.
    """
    from mella_retrieval.data.collect.collect import collect as collect_records
    from mella_retrieval.data.collect.recipe import load_know

    sources, out, overrides = _parted(arguments)
    config = load_know(recipe, overrides)
    with progress_bar("collecting", "candidates") as progress:
        report = collect_records(sources, out, config, overwrite=overwrite, progress=progress)
    if as_json:
        print_json(report.as_dict())
        return
    _tell(out, report)


def look(
    records: Path = typer.Argument(help="A records folder, collected or not."),
    out: Path = typer.Option(Path("look.html"), "--out", "-o", help="The page to write."),
    size: int = typer.Option(
        24, "--size", min=1, max=1000, help="Samples of each language and source, where nothing was collected."
    ),
    seed: int = typer.Option(0, "--seed", help="Of these samples."),
) -> None:
    """Write a contact sheet: samples of what was kept and of what each filter removed, as one HTML page."""
    from mella_retrieval.artifacts import atomic_write
    from mella_retrieval.data.collect.report import number_of
    from mella_retrieval.data.records import Records

    sheet = _sheet(Records.load(records), size, seed)
    with atomic_write(out) as file:
        file.write(sheet.html().encode("utf-8", "backslashreplace"))
    shown = sum(len(section.samples) for section in sheet.sections)
    say(f"{out}: {number_of(shown, 'sample')} in {number_of(len(sheet.sections), 'section')}")


def _parted(arguments: Sequence[str]) -> tuple[list[Path], Path, list[str]]:
    """Sources, the folder to make, and overrides, which have a = and are no path that is there."""
    overrides = [item for item in arguments if _OVERRIDE.match(item) and not Path(item).exists()]
    paths = [Path(item) for item in arguments if item not in overrides]
    if len(paths) < 2:
        raise typer.BadParameter("give a source and, after it, the records folder to make", param_hint="SOURCE... OUT")
    return paths[:-1], paths[-1], overrides


def _tell(out: Path, report: CollectReport) -> None:
    from mella_retrieval.data.collect.collect import NOTED_PAGES, SKIPPED_PAGES
    from mella_retrieval.data.collect.pages import PAGE, PICTURE
    from mella_retrieval.data.collect.report import FOLDER, NOTED, number_of

    languages = ", ".join(f"{code} {count:,}" for code, count in report.languages.items())
    pages = number_of(report.pages, "page")
    say(f"{out}: {report.kept:,} of {number_of(report.candidates, 'candidate')} of {pages} kept ({languages})")
    rows = []
    for step in report.filters:
        share = f"{step.share:.1%}" if step.looked_at else "-"
        example = step.example if len(step.example) <= _EXAMPLE else step.example[: _EXAMPLE - 1] + "…"
        rows.append([step.name, f"{step.looked_at:,}", f"{step.removed:,}", share, example])
    print_table(["filter", "looked at", "removed", "share", "example"], rows, right=(1, 2, 3))
    for reason, count in report.rejected.items():
        say(f"  passed the filters, but cannot be records: {count:,}: {reason}")
    for name, count in report.counts.items():
        if name not in {PAGE, PICTURE}:
            say(f"  sources: {name} {count:,}")
    for note, count in report.notes.items():
        say(f"  note {count:,}: {note}")
    if any(name.startswith("rejected") for name in report.counts):
        say(f"every page that could not be read is listed in {out / FOLDER / SKIPPED_PAGES}")
    if report.notes:
        say(f"pages that have a note are listed in {out / FOLDER / NOTED_PAGES}, the first {NOTED} of each")


def _sheet(records: Records, size: int, seed: int) -> Sheet:
    from mella_retrieval.cli.look_page import Sheet, by_language_and_source
    from mella_retrieval.data.collect.record_samples import sample_records
    from mella_retrieval.data.collect.report import read_report
    from mella_retrieval.data.collect.samples import read_samples

    counts = records.counts
    found = [(counts["records"], "record"), (counts["images"], "picture"), (len(counts["languages"]), "language")]
    name = records.folder.resolve().name
    report, samples = read_report(records.folder), read_samples(records.folder)
    if report is None or not samples:
        sections = by_language_and_source(sample_records(records, size, seed))
        return Sheet(name, _facts(found), sections)
    found += [(report.candidates, "candidate"), (report.pages, "page")]
    return Sheet(name, _facts(found), _sections(report, samples), report.filters)


def _facts(found: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    from mella_retrieval.data.collect.report import plural

    return [(count, plural(count, noun)) for count, noun in found]


def _sections(report: CollectReport, samples: Sequence[Sample]) -> list[Section]:
    """What was kept, then what each filter removed, in the order of work."""
    from mella_retrieval.cli.look_page import Section
    from mella_retrieval.data.collect.sampling import KEPT

    passed = report.candidates - report.removed  # what the records refused is among the samples
    totals = {KEPT: passed, **{step.name: step.removed for step in report.filters}}
    found = {name: [sample for sample in samples if sample.reason == name] for name in totals}
    return [Section(name, name, found[name], total) for name, total in totals.items() if found[name]]
