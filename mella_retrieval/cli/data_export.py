"""`mella data export`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import typer

from mella_retrieval.cli.options import JSON, OVERWRITE, WHERE, parse_where
from mella_retrieval.cli.output import print_json, progress_bar, say


def export(
    records: Path = typer.Argument(help="A records folder."),
    out: Path = typer.Argument(help="mella: the folder to make; sft: the file (.jsonl)."),
    to: Literal["mella", "sft"] = typer.Option(..., "--to", help="mella: MELLA's release; sft: InternVL's JSON lines."),
    source: str = typer.Option("", "--source", help="mella: know or ling for all records, instead of what they say."),
    pictures: bool = typer.Option(True, help="mella: copy the pictures beside the lines."),
    prompt: str = typer.Option("", "--prompt", help="sft: what the model is asked about every picture."),
    where: list[str] = WHERE,
    overwrite: bool = OVERWRITE,
    as_json: bool = JSON,
) -> None:
    """Write records as MELLA JSON lines with their pictures, or as conversations to fine-tune an MLLM on."""
    from mella_retrieval.data.formats.mella_writing import write_mella
    from mella_retrieval.data.formats.sft_writing import write_sft
    from mella_retrieval.data.records import Records
    from mella_retrieval.errors import ConfigError

    if to == "mella" and prompt:
        raise ConfigError("--prompt belongs to --to sft.")
    if to == "sft" and (source or not pictures):
        raise ConfigError("--source and --no-pictures belong to --to mella.")
    opened = Records.load(records)
    chosen = parse_where(where) or None
    with progress_bar("writing", "records") as progress:
        if to == "mella":
            report = write_mella(
                opened, out, source=source, where=chosen, pictures=pictures, overwrite=overwrite, progress=progress
            )
        else:
            report = write_sft(opened, out, prompt, where=chosen, overwrite=overwrite, progress=progress)
    if as_json:
        print_json(report.as_dict())
        return
    say(f"{out}: {report.written.total():,} records")
    for reason, count in sorted(report.left_out.items()):
        say(f"  left out {count:,}: {reason}")
    if to == "mella" and report.left_out:
        say(f"every record that was left out is listed in {out / 'skipped.csv'}")
    if to == "sft":
        say(f"  the pictures' paths are relative to {opened.image_root}")
