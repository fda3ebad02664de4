"""Records made from records: other texts about the same pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mella_retrieval.data.records import COLUMNS, RawRecord, Records, is_url
from mella_retrieval.data.text import ImportOptions
from mella_retrieval.data.writing import ImportReport, Progress, write_records

PART_OF = "part_of"

Texts = Callable[[Mapping[str, Any]], Iterable[str]]


def write_derived(
    records: Records,
    out: Path | str,
    texts: Texts,
    made_by: Mapping[str, Any],
    *,
    source: str | None = None,
    keep_pictures: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Write the texts that each record yields as a records folder; columns beside the text are copied, pictures are not.

    Args:
        records: where from.
        out: the new folder. A text's `text_id` is that of its record with `#` and its number, from 1; `part_of` names the record.
        texts: row -> texts; a row that yields none is left out.
        made_by: what goes into the manifest.
        source: of the new records; by default that of their record.
        keep_pictures: instead of leaving a row out, keep its picture as a record without a text: a gallery must not shrink.
        overwrite: replace a records folder that is there.
        progress: called with (rows read, 0).

    Raises:
        ArtifactError: the folder exists or cannot be written.
    """
    return write_records(
        out,
        _derived(records, texts, source, keep_pictures),
        options=ImportOptions(duplicates="keep", control_characters="keep", text_only=True),
        image_root=records.image_root,
        made_by=dict(made_by),
        overwrite=overwrite,
        progress=progress,
    )


def _derived(records: Records, texts: Texts, source: str | None, keep_pictures: bool) -> Iterator[RawRecord]:
    for batch in records.batches():
        for row in batch.to_pylist():
            extras = {name: value for name, value in row.items() if name not in COLUMNS} | {PART_OF: row["text_id"]}
            found = [(text, f"{row['text_id']}#{number}") for number, text in enumerate(texts(row), start=1)]
            alone = [(None, "")] if keep_pictures and row["image"] and not found else []
            image = row["image"]
            for text, text_id in found or alone:
                yield RawRecord(
                    image_id=row["image_id"],
                    image=image if not image or is_url(image) else str(records.image_path(image)),
                    text=text,
                    lang=row["lang"],
                    source=row["source"] if source is None else source,
                    text_id=text_id,
                    extras=extras,
                    where=row["text_id"],
                )
