"""Long descriptions as sentences: a tower that reads 64 or 77 tokens sees all of a description, one sentence at a time.

Each sentence becomes a record of its own with the picture of its text; the column `part_of` names the whole text. Training draws
one sentence of a text at a time (`adapters/pair_sampling.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mella_retrieval.data.records import RawRecord, Records, is_url
from mella_retrieval.data.text import ImportOptions
from mella_retrieval.data.writing import ImportReport, Progress, write_records

PART_OF = "part_of"

_END = re.compile(r"(?<=[.!?…؟])[\"'”’»)\]]*\s+|(?<=[。！？।۔።])[\"'”’»)\]」』）】》〉]*\s*|\n+")
_ABBREVIATION = re.compile(r"(?:^|\s)\w\.$")
"""A single letter with a stop, as in initials, ends no sentence."""

_COLUMNS = ("image_id", "image", "text", "lang", "source", "text_id")


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, in order; a text without end marks (as in Thai) is one sentence.

    By end marks alone, the same in every language: good for descriptions, wrong for texts full of abbreviations.
    """
    found: list[str] = []
    start = 0
    for end in _END.finditer(text):
        piece = text[start : end.end()].strip()
        if not piece or _ABBREVIATION.search(piece):
            continue
        found.append(piece)
        start = end.end()
    rest = text[start:].strip()
    return [*found, rest] if rest else found


def write_sentences(
    records: Records, out: Path | str, *, overwrite: bool = False, progress: Progress | None = None
) -> ImportReport:
    """Write the sentences of every text as a records folder; columns beside the text are copied, pictures are not.

    Args:
        records: texts of any length; records without a text are left out.
        out: the new folder. A sentence's `text_id` is that of its text with `#` and its number, from 1.
        overwrite: replace a records folder that is there.
        progress: called with (rows read, 0).

    Raises:
        ArtifactError: the folder exists or cannot be written.
    """
    return write_records(
        out,
        _sentences(records),
        options=ImportOptions(duplicates="keep", control_characters="keep", text_only=True),
        image_root=records.image_root,
        made_by={"sentences_of": records.fingerprint},
        overwrite=overwrite,
        progress=progress,
    )


def _sentences(records: Records) -> Iterator[RawRecord]:
    for batch in records.batches():
        for row in batch.to_pylist():
            extras = {name: value for name, value in row.items() if name not in _COLUMNS}
            for number, sentence in enumerate(split_sentences(row["text"] or ""), start=1):
                image = row["image"]
                yield RawRecord(
                    image_id=row["image_id"],
                    image=image if not image or is_url(image) else str(records.image_path(image)),
                    text=sentence,
                    lang=row["lang"],
                    source=row["source"],
                    text_id=f"{row['text_id']}#{number}",
                    extras={**extras, PART_OF: row["text_id"]},
                    where=row["text_id"],
                )
