"""Records for cards: pictures in the folder, several splits, odd columns."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.writing import write_records


def picture(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3), (shade, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


TEXTS = [
    ("dog", "en", "know", "train"),
    ("kutya", "hu", "ling", "test"),
    ("Пас", "sr", "know", "train"),
    ("นก", "th", "know", "validation"),
    ("pas", "sr-Latn", "a|b", None),
    (None, "", "", "test"),
]


def make_records(folder: Path, made_by: dict[str, object] | None = None) -> Records:
    """Six records in three parts; the fourth to last columns need quoting everywhere, one is null at first."""
    items = [
        RawRecord(
            f"i{n}",
            picture(n),
            text,
            lang,
            source,
            extras={
                "split": split,
                "number": n or None,
                "share": n / 2,
                "good": None if n == 1 else True,
                "two words": "x",
                "列": "y",
                'q"/<>|': "z",
                "late": None if n < 4 else "now",
                "licence": "cc0" if n % 2 else None,
            },
        )
        for n, (text, lang, source, split) in enumerate(TEXTS)
    ]
    items.append(RawRecord("i0", picture(0), "dog", "en", "know"))  # a repeat, to be rejected
    write_records(folder, items, part_rows=2, made_by=made_by)
    return Records.load(folder)
