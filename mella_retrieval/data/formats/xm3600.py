"""Crossmodal-3600 (Thapliyal et al., EMNLP 2022): `captions.jsonl`, one picture a line, in the release's own field names.

Only `caption` is read: `caption/tokenized` and `caption/tokenized/lowercase` repeat it. What else a line says of its picture
in a plain value becomes a column: `image/locale`, or a folder's own `category` and `source`. The texts are named
`<image/key>#<language>#<number>`, the number counting a picture's captions of one language from 0.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mella_retrieval.data.formats.folder import IMAGE_SUFFIXES
from mella_retrieval.data.formats.rows import read_json_lines, read_lines
from mella_retrieval.data.records import COLUMNS, Note, RawRecord, Rejected
from mella_retrieval.errors import DataError
from mella_retrieval.recipes import Strict

IMAGES = 3600
CAPTIONS = 261_375
# Captions of the full release per language.
CAPTIONS_OF: dict[str, int] = {
    "ar": 7367, "bn": 3600, "cs": 7207, "da": 7264, "de": 8643, "el": 7204, "en": 7200, "es": 8614, "fa": 7245, "fi": 7127,
    "fil": 7109, "fr": 8562, "he": 7200, "hi": 8503, "hr": 7280, "hu": 7216, "id": 7126, "it": 8471, "ja": 7185, "ko": 7650,
    "mi": 4732, "nl": 8059, "no": 7213, "pl": 7141, "pt": 7243, "quz": 7200, "ro": 7123, "ru": 7200, "sv": 7273, "sw": 7046,
    "te": 7200, "th": 7200, "tr": 7233, "uk": 7215, "vi": 7350, "zh": 7174,
}  # fmt: skip

_KEY = "image/key"


class XM3600Options(Strict):
    """Attributes: images: folder of the pictures, `<image/key>.jpg` (in a user's own set any ending); by default `images` beside
    the captions, if it is there.
    """

    images: str | None = None


def recognises(source: Path) -> bool:
    """A captions file, or a folder with exactly one, whose first line names an `image/key`."""
    try:
        path = _captions_file(source)
        return path is not None and _KEY.encode() in next(read_lines(path), (0, b""))[1]
    except DataError:
        return False


def read(source: Path, options: XM3600Options) -> Iterator[RawRecord | Rejected | Note]:
    """The captions, picture by picture; at the end a note: how their number compares with the release, or, of a set of its own,
    which languages do not cover all pictures.

    Raises:
        DataError: no captions file, or it cannot be read to its end, or the folder of pictures is missing.
    """
    path = _captions_file(source)
    if path is None:
        raise DataError(f"{source} is not XM3600's captions.jsonl (or .jsonl.gz), nor a folder with one.")
    images = _images_folder(path, options.images)
    files = _picture_files(path.parent / images) if images else {}
    without_file = 0
    counts: Counter[str] = Counter()
    covered: Counter[str] = Counter()
    keys: set[str] = set()
    for item in read_json_lines(path):
        if isinstance(item, Rejected):
            yield item
            continue
        where, row = item
        key = row.get(_KEY)
        if not isinstance(key, str) or not key:
            yield Rejected(where, f"no {_KEY}", str(row)[:120])
            continue
        if key in keys:
            yield Rejected(where, f"duplicate {_KEY}: {key[:100]}")
            continue
        keys.add(key)
        image = f"{images}/{files.get(key, f'{key}.jpg')}" if images else ""
        without_file += bool(images) and key not in files
        yield from _picture(where, row, key, image, counts)
        covered.update(lang for lang in row if _has_captions(row[lang]))
    yield Note(_compare(len(keys), counts, covered))
    if without_file:
        yield Note(f"{without_file} of {len(keys)} pictures have no file in {images}; their captions are read all the same.")


def _picture(where: str, row: Mapping[str, Any], key: str, image: str, counts: Counter[str]) -> Iterator[RawRecord | Rejected]:
    extras = {name.removeprefix("image/"): value for name, value in row.items() if _is_extra(name, value)}
    source = str(extras.pop("source", ""))
    found = False
    for lang, value in row.items():
        if not isinstance(value, Mapping) or "caption" not in value:
            continue
        captions = value["caption"]
        if not isinstance(captions, list):
            found = True
            yield Rejected(f"{where}, {lang}", f"caption is not a list: {type(captions).__name__}", str(captions)[:120])
            continue
        for number, text in enumerate(captions):
            found = True
            counts[lang] += 1
            yield RawRecord(
                key, image, text, lang, source, f"{key}#{lang}#{number}", extras, f"{where}, {lang}, caption {number + 1}"
            )
    if not found:
        yield Rejected(where, "no captions", key[:100])


def _is_extra(name: str, value: Any) -> bool:
    """Whether something beside the captions is kept as a column: a text, number or truth value about the picture."""
    taken = name == _KEY or name.removeprefix("image/") in {*COLUMNS, "image"} - {"source"}
    return not taken and isinstance(value, str | int | float)


def _picture_files(folder: Path) -> dict[str, str]:
    """image/key -> file name; a .jpg is preferred to another ending, and a key may have the ending itself."""
    names = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    names.sort(key=lambda name: name.endswith(".jpg"))
    return {Path(name).stem: name for name in names} | {name: name for name in names}


def _has_captions(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("caption"), list) and bool(value["caption"])


def _captions_file(source: Path) -> Path | None:
    if source.is_dir():
        found = sorted([*source.glob("captions*.jsonl"), *source.glob("captions*.jsonl.gz")])
        return found[0] if len(found) == 1 else None
    name = source.name.lower().removesuffix(".gz")
    return source if name.endswith((".jsonl", ".ndjson")) and source.is_file() and source.stat().st_size else None


def _images_folder(captions: Path, named: str | None) -> str:
    """The folder of the pictures relative to that of the captions file; "" if there are none."""
    if named is None:
        return "images" if (captions.parent / "images").is_dir() else ""
    folder = captions.parent / named
    if not folder.is_dir():
        raise DataError(f"there is no folder of pictures {folder}.")
    return named if Path(named).is_absolute() else os.path.relpath(folder, captions.parent)


def _compare(images: int, counts: Counter[str], covered: Counter[str]) -> str:
    """What was read, beside the release; for another set in this form, which languages do not cover all of its pictures."""
    total = sum(counts.values())
    found = f"{images} pictures and {total} captions in {len(counts)} languages"
    if images == IMAGES and dict(counts) == CAPTIONS_OF:
        return f"{found}: the complete release of XM3600."
    if images == IMAGES and counts.keys() == CAPTIONS_OF.keys() and set(counts.values()) == {IMAGES}:
        return f"{found}, one per picture and language: the first captions only (the release has {CAPTIONS})."
    if images != IMAGES:
        partly = ", ".join(f"{lang} {count}" for lang, count in sorted(covered.items()) if count != images)
        covers = f"Languages with captions for fewer than all pictures: {partly}." if partly else "Each covers all pictures."
        return f"{found}: a set of its own in the form of XM3600 (whose release has {IMAGES} pictures in 36 languages). {covers}"
    expected = {lang: count for lang, count in CAPTIONS_OF.items() if counts.get(lang, 0) != count}
    listed = ", ".join(f"{lang} {counts.get(lang, 0)} of {count}" for lang, count in sorted(expected.items()))
    foreign = sorted(counts.keys() - CAPTIONS_OF.keys())
    more = f"; languages that the release does not have: {', '.join(foreign)}" if foreign else ""
    return (
        f"{found}; the release of XM3600 has {IMAGES} pictures and {CAPTIONS} captions in 36 languages. "
        f"It differs in: {listed or 'none'}{more}."
    )
