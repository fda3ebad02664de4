"""Writing records for the fine-tuning of an MLLM: InternVL's JSON lines, one conversation of one question and answer a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mella_retrieval.artifacts import atomic_write, require_free
from mella_retrieval.data.formats.mella_writing import ExportReport, exported_rows
from mella_retrieval.data.formats.picture_header import picture_header
from mella_retrieval.data.records import Records, Where, is_url
from mella_retrieval.data.writing import Progress
from mella_retrieval.errors import ConfigError, DataError


def write_sft(
    records: Records,
    path: Path | str,
    prompt: str,
    *,
    where: Where | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ExportReport:
    """Write every record with text and picture as a conversation: the prompt, and the text as its answer.

    Args:
        records: what to write; `image` is relative to their `image_root`, which is InternVL's `root`.
        path: the new file (.jsonl).
        prompt: what the human says below the picture, the same for all.
        where: only records with these values.
        overwrite: replace a file that is already there.
        progress: called with (records done, records in all).

    Raises:
        ConfigError: the prompt is empty.
        DataError: no record can be written.
        ArtifactError: the file exists, or cannot be written.
    """
    path = Path(path)
    if not prompt.strip():
        raise ConfigError("the prompt is empty: say what the model is asked (--prompt).")
    if path.is_dir():
        raise DataError(f"{path} is a folder; name a file (.jsonl).")
    require_free(path, overwrite=overwrite)
    report = ExportReport(path)
    with atomic_write(path) as file:
        for row in exported_rows(records, where, progress):
            line = _conversation(records, row, prompt)
            if isinstance(line, str):
                report.left_out[line] += 1
            else:
                file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
                report.written[f"{row['source']} {row['lang']}".strip()] += 1
        if not report.written:
            raise DataError(f"{records.folder} has no record to write: {dict(report.left_out) or 'none is chosen'}.")
    return report


def _conversation(records: Records, row: dict[str, Any], prompt: str) -> dict[str, Any] | str:
    """One line, or the reason why there is none."""
    if not row["lang"]:
        return "records without a text"
    if not row["image"] or is_url(row["image"]):
        return "records without a picture file"
    header = picture_header(records.image_path(row["image"]))
    if header is None:
        return "records whose picture is missing or damaged"
    return {
        "id": row["text_id"],
        "image": row["image"],
        "width": header.width,
        "height": header.height,
        "conversations": [{"from": "human", "value": f"<image>\n{prompt}"}, {"from": "gpt", "value": row["text"]}],
    }
