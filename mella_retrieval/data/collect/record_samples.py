"""Samples of any records folder, drawn by lot among its rows: what there is to look at where nothing was collected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mella_retrieval.data.collect.lots import Lots
from mella_retrieval.data.collect.samples import Sample, thumbnail
from mella_retrieval.data.collect.sampling import KEPT
from mella_retrieval.data.near.shingles import digests
from mella_retrieval.data.records import COLUMNS, Records, is_url
from mella_retrieval.errors import DataError

_SHOWN = ("page_url", "site", "image_url", "provenance", "licence", "date", "page_title")


def sample_records(records: Records, size: int, seed: int) -> list[Sample]:
    """So many rows of each language and source, sorted by these; the same for the same seed.

    Args:
        records: any records folder.
        size: rows of each language and source.
        seed: of the lots.
    """
    drawn: Lots[tuple[str, str], dict[str, Any]] = Lots(size)
    for batch in records.batches():
        rows = batch.to_pylist()
        lots = digests(f"{seed}\n{row['text_id']}" for row in rows)
        for row, lot in zip(rows, lots.tolist(), strict=True):
            kind = row["lang"], row["source"]
            if drawn.wants(kind, lot):
                drawn.add(kind, lot, row)
    return [_sample(row, records) for _, several in sorted(drawn.all().items()) for row in several]


def _sample(row: dict[str, Any], records: Records) -> Sample:
    known = {name: str(row.get(name) or "") for name in _SHOWN}
    scores = {
        name: value for name, value in row.items() if name not in (*COLUMNS, *_SHOWN, "image_hash") and value not in (None, "")
    }
    return Sample(
        reason=KEPT,
        text=row["text"],
        lang=row["lang"],
        source=row["source"],
        page=known["page_url"],
        site=known["site"],
        image=known["image_url"] or row["image"],
        provenance=tuple(filter(None, known["provenance"].split("|"))),
        licence=known["licence"],
        date=known["date"],
        page_title=known["page_title"],
        scores=scores,
        thumbnail=_thumbnail(row["image"], records),
    )


def _thumbnail(image: str, records: Records) -> bytes | None:
    if not image or is_url(image):
        return None
    try:
        return thumbnail(Path(records.image_path(image)))
    except DataError:
        return None
