"""`mella data stats`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from mella_retrieval.cli.options import ALLOW_MODULE, JSON, WHERE, parse_where
from mella_retrieval.cli.output import print_json, print_table, progress_bar, say

_SHOWN, _LONG = 12, 40


def stats(
    records: Path = typer.Argument(help="A records folder."),
    where: list[str] = WHERE,
    by: list[str] = typer.Option([], "--by", metavar="COLUMN", help="Also group by this column, category for instance."),
    tower: list[str] = typer.Option(
        [], "--tower", "-t", metavar="SPEC", help="Count what this text tower cuts, its tokens per word and unknown tokens."
    ),
    tower_texts: int = typer.Option(
        10_000, "--tower-texts", min=0, metavar="N", help="Texts of each language that a tower reads, about; 0: all."
    ),
    overlap_with: list[Path] = typer.Option(
        [], "--overlap-with", metavar="RECORDS", help="Count the pictures and texts shared with another records folder."
    ),
    plots: Path | None = typer.Option(None, "--plots", metavar="FOLDER", help="Draw into this folder, as SVG and PNG."),
    allow_module: bool = ALLOW_MODULE,
    as_json: bool = JSON,
) -> None:
    """Describe a records folder: languages, sources, splits, categories, lengths, scripts, what a tower cuts, overlaps."""
    from mella_retrieval.data.records import Records
    from mella_retrieval.data.statistics.overlap import shared_with
    from mella_retrieval.data.stats import describe_records

    opened = Records.load(records)
    others = [(folder, Records.load(folder)) for folder in overlap_with]
    chosen = parse_where(where) or None
    with progress_bar("reading records", "records") as progress:
        found = describe_records(opened, chosen, by=by, progress=progress)
    found["overlap"]["with"] = {str(folder): shared_with(opened, other, chosen) for folder, other in others}
    found["towers"] = [_read_by(spec, opened, chosen, tower_texts or None, allow_module) for spec in tower]
    drawn = _draw(found, plots) if plots is not None else []
    if as_json:
        print_json(found)
        return
    say(f"{records}: {found['records']:,} records, {found['images']:,} pictures, {len(found['by_language'])} languages")
    _languages(found)
    for title, groups in [("source", found["by_source"]), ("split", found.get("by_split", {})), *found["by"].items()]:
        _groups(title, groups)
    _overlaps(found["overlap"])
    for entry in found["towers"]:
        _tower(entry)
    for path in drawn:
        say(f"drawn: {path}")


def _read_by(spec: str, records: Any, where: Any, sample: int | None, allow_module: bool) -> Any:
    from mella_retrieval.data.statistics.towers import describe_tower
    from mella_retrieval.encoders.loading import load_text_tower

    loaded = load_text_tower(spec, device="cpu", allow_module=allow_module)
    with progress_bar("counting tokens", "texts") as progress:
        return describe_tower(records, loaded, where, sample=sample, progress=progress)


def _draw(found: Any, folder: Path) -> list[Path]:
    from mella_retrieval.cli.stats_plots import draw_stats

    return draw_stats(found, folder)


def _languages(found: Any) -> None:
    from mella_retrieval.data.statistics.cells import HEAD, cells

    rows = []
    for code, entry in found["by_language"].items():
        scripts = " ".join(f"{script} {share:.0%}" for script, share in list(entry["scripts"].items())[:2])
        rows.append([code, entry["name"], *cells(entry, "-"), scripts])
    head = ["lang", "name", *HEAD, "scripts"]
    print_table(head, rows, right=(2, 3, 4, 5, 6, 7))
    if rows:
        say("characters and words: medians; words are counted where they are written with spaces between them")


def _groups(title: str, groups: Any) -> None:
    from mella_retrieval.data.statistics.cells import HEAD, cells

    if not groups or list(groups) == [""]:
        return
    say()
    shown = sorted(groups.items(), key=lambda item: -item[1]["records"])[:_SHOWN]
    rows = [[_named(value), *cells(entry, "-")] for value, entry in shown]
    print_table([title, *HEAD], rows, right=(1, 2, 3, 4, 5, 6))
    _left_out(groups, "values")


def _overlaps(overlap: Any) -> None:
    titles = {"lang": "languages", "source": "sources", "split": "splits"}
    for column, title in titles.items():
        # Languages share pictures by design; a text in two languages is the news.
        pairs = [pair for pair in overlap.get(column, []) if pair["texts"] or column != "lang"]
        pairs.sort(key=lambda pair: (-pair["texts"], -pair["images"]))
        if not pairs:
            continue
        say()
        rows = [
            [" / ".join(map(_named, pair["between"])), f"{pair['images']:,}", f"{pair['texts']:,}"] for pair in pairs[:_SHOWN]
        ]
        print_table([f"shared by {title}", "pictures", "texts"], rows, right=(1, 2))
        _left_out(pairs, "pairs")
    for folder, shared in overlap["with"].items():
        say()
        say(
            f"shared with {folder}: {shared['records']:,} records; image_ids {shared['image_ids']:,}, "
            f"picture files or URLs {shared['pictures']:,}, texts {shared['texts']:,}"
        )


def _named(value: str) -> str:
    return value if 0 < len(value) <= _LONG else f"{value[:_LONG]}..." if value else "(unknown)"


def _left_out(listed: Sequence[Any] | Any, what: str) -> None:
    if len(listed) > _SHOWN:
        say(f"and {len(listed) - _SHOWN:,} {what} more: --json has all")


def _tower(entry: Any) -> None:
    say()
    limit = f"reads {entry['max_tokens']:,} tokens" if entry["max_tokens"] else "reads texts of any length"
    sample = "" if entry["texts"] == entry["of"] else f", a sample of {entry['of']:,}"
    say(f"{entry['spec']} {limit}; cut: {_share(entry['share'])} of {entry['texts']:,} texts{sample}")
    rows = [
        [
            code,
            f"{found['texts']:,}",
            _share(found["share"]),
            f"{found['tokens']['median']:.0f}" if found["tokens"] else "-",
            f"{found['tokens']['max']:,}" if found["tokens"] else "-",
            _number(found["tokens_per_word"]) + ("*" if 2 * (found["letters"] or 0) > (found["words"] or 0) else ""),
            _share(found["unknown_share"]),
            f"{found['empty']:,}",
        ]
        for code, found in entry["by_language"].items()
    ]
    head = ["lang", "texts", "cut", "tokens", "most tokens", "tokens/word", "unknown", "empty"]
    print_table(head, rows, right=(1, 2, 3, 4, 5, 6, 7))
    if any(row[5].endswith("*") for row in rows):
        say("* tokens per letter, of a script written without spaces")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
