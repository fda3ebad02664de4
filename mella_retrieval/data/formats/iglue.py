"""The retrieval test sets of IGLUE (https://github.com/e-bug/iglue, `datasets/`): JSON lines, one file per language.

    xFlickrCO/annotations/<lang>/test.jsonl    8 languages, 2,000 pictures of Flickr30k and COCO val2014, one sentence each
      {"sentences": ["..."], "id": 369771, "img_path": "COCO_val2014_000000369771.jpg"}
    wit/annotations/test_<lang>.jsonl          Wikipedia captions, 11 languages
      {"wit_ix": "wit-test_50", "image_idx": 216, "image_url": "https://upload.wikimedia.org/...", "language": "bg",
       "caption_reference_description": "...", "page_url": "...", "meta_url": "..."}

A WIT picture has no file name of its own: its image_id is `wit_ix`, and its file is looked for in `images` by that name (with the
ending of a picture) and else by the last part of its address; without a file the record keeps the address.
The folders `annotations_machine-translate` hold English translations of these and are not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import Field

from mella_retrieval.data.formats.captions import SPLIT, PictureOptions, Pictures, TextIds, image_id, language, shown
from mella_retrieval.data.formats.folder import IMAGE_SUFFIXES
from mella_retrieval.data.formats.rows import read_json_lines, read_lines
from mella_retrieval.data.records import Note, RawRecord, Rejected
from mella_retrieval.errors import DataError


class IGLUEOptions(PictureOptions):
    """Attributes: split: `test`, `val` or `train_<n>`, as the files are named."""

    split: str = Field(default="test", pattern=SPLIT)


def recognises(source: Path) -> bool:
    """Annotations in one of the two arrangements whose first line has the fields of XFlickrCO or WIT, or one such file."""
    path = next(iter(_files(source, "test").values()), None) if source.is_dir() else source
    if path is None or not path.name.endswith(".jsonl") or not path.is_file():
        return False
    try:
        line = next(read_lines(path), (0, b""))[1]
    except DataError:
        return False
    return b'"wit_ix"' in line or (b'"img_path"' in line and b'"sentences"' in line)


def read(source: Path, options: IGLUEOptions) -> Iterator[RawRecord | Rejected | Note]:
    """The captions, language by language; at the end, for WIT, a note on pictures without a file.

    Raises:
        DataError: no annotations of the split, or a file that cannot be read to its end.
    """
    files = _files(source, options.split) if source.is_dir() else {_language_of_file(source): source}
    if not files:
        raise DataError(
            f"{source} holds no annotations of the split {options.split!r}: neither [annotations/]<lang>/{options.split}.jsonl "
            f"nor [annotations/]{options.split}_<lang>.jsonl."
        )
    pictures, ids = Pictures(source, options.images), TextIds()
    wit = _WITPictures(source, pictures)
    for lang, path in files.items():
        for item in read_json_lines(path):
            if isinstance(item, Rejected):
                yield item
            elif "wit_ix" in item[1]:
                yield _wit_caption(*item, lang, wit, ids)
            else:
                yield from _sentences(*item, lang, pictures, ids)
    if wit.without_file:
        yield Note(
            f"{len(wit.without_file)} pictures have no file in the folder of pictures; their records keep the address. "
            "Name the files by wit_ix, with the ending of a picture."
        )


def _files(source: Path, split: str) -> dict[str, Path]:
    """Canonical language -> file."""
    for base in (source / "annotations", source):
        if not base.is_dir():
            continue
        deep = [(path.parent.name, path) for path in base.glob(f"*/{split}.jsonl")]
        flat = [(path.stem.removeprefix(f"{split}_"), path) for path in base.glob(f"{split}_*.jsonl")]
        found = {language(code, path): path for code, path in sorted([*deep, *flat]) if 2 <= len(code) <= 3}
        if found:
            return found
    return {}


def _language_of_file(path: Path) -> str:
    """From `test_bg.jsonl` or `bg/test.jsonl`."""
    last = path.stem.rpartition("_")[2]
    return language(last if 2 <= len(last) <= 3 else path.resolve().parent.name, path)


def _sentences(where: str, row: Mapping[str, Any], lang: str, pictures: Pictures, ids: TextIds) -> Iterator[RawRecord | Rejected]:
    name, sentences = row.get("img_path"), row.get("sentences")
    if not isinstance(name, str) or not name:
        yield Rejected(where, "no img_path", shown(row))
    elif not isinstance(sentences, list) or not sentences:
        yield Rejected(where, "no sentences", shown(name))
    else:
        key = image_id(name)
        for text in sentences:
            yield RawRecord(key, pictures.path(name), text, lang, "", ids.next(key, lang), {}, where)


class _WITPictures:
    """Files of WIT's pictures by the names they may have."""

    def __init__(self, source: Path, pictures: Pictures) -> None:
        self.without_file: set[str] = set()
        self._pictures = pictures
        folder = (source if source.is_dir() else source.parent) / pictures.path("x").removesuffix("x")
        self._names: dict[str, str] | None = None
        if pictures.path("x"):
            files = [path.name for path in sorted(folder.iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES]
            self._names = {**{PurePosixPath(name).stem: name for name in files}, **{name: name for name in files}}

    def path(self, key: str, url: str) -> str:
        if self._names is None:
            return url
        name = self._names.get(key) or self._names.get(PurePosixPath(unquote(urlsplit(url).path)).name)
        if name is None:
            self.without_file.add(key)
            return url
        return self._pictures.path(name)


def _wit_caption(where: str, row: Mapping[str, Any], lang: str, wit: _WITPictures, ids: TextIds) -> RawRecord | Rejected:
    key, url, text = (row.get(name) for name in ("wit_ix", "image_url", "caption_reference_description"))
    if not isinstance(key, str) or not key:
        return Rejected(where, "no wit_ix", shown(row))
    if not isinstance(url, str):
        return Rejected(where, "no image_url", shown(key))
    if text is None:
        return Rejected(where, "no caption_reference_description", shown(key))
    said = row.get("language")
    lang = said if isinstance(said, str) and said else lang
    extras = {"page_url": row.get("page_url")}
    return RawRecord(key, wit.path(key, url), text, lang, "", ids.next(key, lang), extras, where)
