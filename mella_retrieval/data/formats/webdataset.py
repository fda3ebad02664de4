"""webdataset shards: tar files (plain, .gz, .tgz) whose members of one key make a sample; one file, or a folder of them.

| member | what it becomes |
|---|---|
| `.jpg`, `.png`, `.webp` and other pictures | the picture |
| `.txt`, `.text`, `.caption` | the text; `hu.txt` is a column of that name (`text_columns.hu=hu.txt`) |
| `.json` | an object's keys are columns, as a table's; a text or a list of texts is the text |
| `.cls` | the column `cls` |
| others (vectors, videos, pickles) | are not read, and counted |

The image_id is the key, unless a column `image_id` or `img_id` says otherwise (`columns.image_id=...` names another). Samples
without a text are records of a picture alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mella_retrieval.data.formats.folder import IMAGE_SUFFIXES
from mella_retrieval.data.formats.row_records import USUAL_NAMES, RowOptions, RowRecords
from mella_retrieval.data.formats.tar_samples import FAILURES, Sample, open_tar, read_samples, split_name
from mella_retrieval.data.records import Note, RawRecord, Rejected
from mella_retrieval.errors import DataError

_SHARDS = (".tar", ".tar.gz", ".tgz")
_TEXTS = ("txt", "text", "caption")
_CLASS = "cls"
_JSON = "json"
_LOOKED_AT = 50


class WebdatasetOptions(RowOptions):
    """As for rows of any origin; columns are the keys of the JSON member, `image`, `text`, `__key__`, `cls`.

    Attributes:
        image: ending of the picture, where samples hold several (`left.jpg`); by default the first picture.
    """

    image: str = ""


def recognises(source: Path) -> bool:
    """A shard with two members of one key, or a folder whose first shard is one."""
    shards = _shards(source)
    return bool(shards) and _has_samples(shards[0])


def read(source: Path, options: WebdatasetOptions) -> Iterator[RawRecord | Rejected | Note]:
    """The samples of all shards, in the order of the shards' names.

    Raises:
        DataError: there is no shard.
    """
    shards = _shards(source)
    if not shards:
        raise DataError(f"{source} holds no shards of webdataset ({', '.join(_SHARDS)}).")
    with_text, alone = (RowRecords(options), RowRecords(options.model_copy(update={"columns": {**options.columns, "text": ""}})))
    rows = _Rows(options)
    for shard in shards:
        for item in read_samples(shard, rows.wanted):
            if isinstance(item, Rejected):
                yield item
                continue
            row = rows.row(shard.name, item)
            if isinstance(row, Rejected):
                yield row
            else:
                yield from (with_text if rows.has_text(row[1]) else alone).read([row])
    yield from with_text.notes()
    yield from rows.notes()


class _Rows:
    """Makes a table's row of a sample, and counts what was left out."""

    def __init__(self, options: WebdatasetOptions) -> None:
        self._options = options
        named = [name for column, name in options.columns.items() if column == "text" and name]
        self._text_columns = {*named, *options.text_columns.values()}
        self._usual = () if options.columns.get("text") == "" else USUAL_NAMES["text"]
        self._left_out: Counter[str] = Counter()
        self._several = 0

    def wanted(self, ending: str) -> bool:
        """Whether members of this ending are read."""
        kind = ending.rpartition(".")[2]
        return f".{kind}" in IMAGE_SUFFIXES or kind in (*_TEXTS, _JSON, _CLASS)

    def has_text(self, row: dict[str, Any]) -> bool:
        """Whether there is a column to take the text from; one that the options name must be there."""
        return bool(self._text_columns) or any(name in row for name in self._usual)

    def row(self, shard: str, sample: Sample) -> tuple[str, dict[str, Any]] | Rejected:
        """Place and columns of a sample."""
        where = f"{shard}, sample {sample.key}"
        self._left_out.update(sample.skipped)
        if sample.problem:
            return Rejected(where, sample.problem, sample.key)
        row: dict[str, Any] = {"__key__": sample.key}
        fields: dict[str, Any] = {}
        pictures = {}
        for ending, content in sample.members.items():
            kind = ending.rpartition(".")[2]
            if f".{kind}" in IMAGE_SUFFIXES:
                pictures[ending] = content
            elif kind == _JSON:
                value = _parsed(where, content)
                if isinstance(value, Rejected):
                    return value
                fields |= value
            else:
                text = content.decode("utf-8", "surrogateescape").removesuffix("\n").removesuffix("\r")
                row["text" if ending in _TEXTS else ending] = text
        picture = self._picture(pictures)
        if picture is None:
            return Rejected(where, f"no picture of the ending {self._options.image}", ", ".join(pictures))
        if picture:
            row["image"] = picture
        for name, value in fields.items():
            row[f"json.{name}" if name in row else name] = value  # a member's name goes first
        if "image_id" not in self._options.columns and not any(name in row for name in USUAL_NAMES["image_id"]):
            row["image_id"] = row.pop("__key__")
        return where, row

    def _picture(self, pictures: dict[str, bytes]) -> bytes | None:
        """The chosen one, b"" where the sample has none, None where it has others."""
        if self._options.image:
            return pictures.get(self._options.image.lower(), None if pictures else b"")
        self._several += len(pictures) > 1
        return next(iter(pictures.values()), b"")

    def notes(self) -> Iterator[Note]:
        """What to say at the end."""
        if self._left_out:
            listed = ", ".join(f".{ending} ({count:,})" for ending, count in sorted(self._left_out.items())[:20])
            yield Note(f"members that are not read: {listed}.")
        if self._several:
            yield Note(
                f"samples with several pictures, of which the first was taken (option image names its ending): {self._several:,}."
            )


def _parsed(where: str, content: bytes) -> dict[str, Any] | Rejected:
    try:
        value = json.loads(content.decode("utf-8-sig"))
    except RecursionError:
        return Rejected(where, "not valid JSON: nested too deeply")
    except ValueError as error:
        return Rejected(where, f"not valid JSON: {error}", content[:120].decode("utf-8", "backslashreplace"))
    if isinstance(value, dict):
        return value
    if isinstance(value, str) or (isinstance(value, list) and all(isinstance(text, str) for text in value)):
        return {"text": value}
    return Rejected(where, f"the JSON is no object: {type(value).__name__}")


def _shards(source: Path) -> list[Path]:
    if source.is_dir():
        return sorted(path for path in source.iterdir() if path.name.lower().endswith(_SHARDS) and path.is_file())
    return [source] if source.name.lower().endswith(_SHARDS) else []


def _has_samples(shard: Path) -> bool:
    """Whether two of the first members differ in their ending alone: an archive of pictures is no shard."""
    endings: dict[str, str] = {}
    try:
        with open_tar(shard) as tar:
            for _ in range(_LOOKED_AT):
                if (member := tar.next()) is None:
                    return False
                key, ending = split_name(member.name)
                if key and endings.setdefault(key, ending) != ending:
                    return True
    except FAILURES:
        return False
    return False
