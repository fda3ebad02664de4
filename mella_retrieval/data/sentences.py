"""Long descriptions as sentences: a tower that reads 64 or 77 tokens sees all of a description, one sentence at a time.

Each sentence becomes a record of its own with the picture of its text; the column `part_of` names the whole text. Training draws
one sentence of a text at a time (`adapters/pair_sampling.py`).
"""

from __future__ import annotations

import re
from pathlib import Path

from mella_retrieval.data.deriving import write_derived
from mella_retrieval.data.records import Records
from mella_retrieval.data.writing import ImportReport, Progress

_END = re.compile(r"(?<=[.!?…؟])[\"'”’»)\]]*\s+|(?<=[。！？।۔።])[\"'”’»)\]」』）】》〉]*\s*|\n+")
_ABBREVIATION = re.compile(r"(?:^|\s)\w\.$")
"""A single letter with a stop, as in initials, ends no sentence."""


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
    made_by = {"sentences_of": records.fingerprint}
    return write_derived(
        records, out, lambda row: split_sentences(row["text"] or ""), made_by, overwrite=overwrite, progress=progress
    )
