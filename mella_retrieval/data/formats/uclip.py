"""uCLIP's test sets (https://github.com/dinyudin203/uCLIP, `test_data/`): `captions_<lang>.json`, a list, one entry a picture.

    {"filename": "ffdec351cea041e5.jpg", "captions_en": "<English>", "captions_translated": "<the file's language>"}

For XM3600 `captions_translated` is a native caption of the release; for MSCOCO (5,000 pictures, cs fi hr hu ro) it is a machine
translation of `captions_en`. The file does not say which: the option `source` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mella_retrieval.data.formats.captions import PictureOptions, Pictures, TextIds, head, image_id, language, read_json, shown
from mella_retrieval.data.records import Note, RawRecord, Rejected
from mella_retrieval.errors import DataError

_PREFIX, _SUFFIX = "captions_", ".json"


class UCLIPOptions(PictureOptions):
    """Options of uCLIP's files.

    Attributes:
        source: the column `source` of the texts in the files' languages, "translated" for instance.
        english: read `captions_en` too, each different one of a picture once, as `en`.
    """

    source: str = ""
    english: bool = False


def recognises(source: Path) -> bool:
    """A `captions_<lang>.json`, or a folder with such files, whose first entry has uCLIP's fields."""
    files = _files(source)
    first = head(files[0]) if files else b""
    return first.startswith(b"[") and b'"captions_translated"' in first


def read(source: Path, options: UCLIPOptions) -> Iterator[RawRecord | Rejected | Note]:
    """The texts, file by file.

    Raises:
        DataError: no such files, a file that is no JSON list, or a file name that gives no language.
    """
    files = _files(source)
    if not files:
        raise DataError(f"{source} holds no captions_<language>.json.")
    pictures, ids = Pictures(source, options.images), TextIds()
    english: set[tuple[str, str]] = set()
    for path in files:
        lang = language(path.name.removeprefix(_PREFIX).removesuffix(_SUFFIX), path)
        entries = read_json(path)
        if not isinstance(entries, list):
            raise DataError(f"{path} holds no list of captions but {type(entries).__name__}.")
        for number, entry in enumerate(entries, 1):
            yield from _entry(f"{path.name}, entry {number}", entry, lang, options, pictures, ids, english)


def _entry(
    where: str,
    entry: Any,
    lang: str,
    options: UCLIPOptions,
    pictures: Pictures,
    ids: TextIds,
    english: set[tuple[str, str]],
) -> Iterator[RawRecord | Rejected]:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("filename"), str):
        yield Rejected(where, "no filename", shown(entry))
        return
    name = entry["filename"]
    key = image_id(name)
    text = entry.get("captions_translated")
    if text is None:
        yield Rejected(where, "no captions_translated", shown(name))
    else:
        yield RawRecord(key, pictures.path(name), text, lang, options.source, ids.next(key, lang), {}, where)
    original = entry.get("captions_en")
    if options.english and isinstance(original, str) and (key, original) not in english:
        english.add((key, original))
        yield RawRecord(key, pictures.path(name), original, "en", "", ids.next(key, "en"), {}, f"{where}, captions_en")


def _files(source: Path) -> list[Path]:
    if source.is_dir():
        return sorted(path for path in source.glob(f"{_PREFIX}*{_SUFFIX}") if path.is_file())
    return [source] if source.name.startswith(_PREFIX) and source.name.endswith(_SUFFIX) and source.is_file() else []
