"""VATEX (Wang et al., ICCV 2019): `vatex_validation_v1.0.json` and the like, a JSON list with one entry a video clip.

    {"videoID": "Ptf_2VRj-V0_000122_000132", "enCap": [10 English captions], "chCap": [10 Chinese captions]}

The last five of each ten are parallel, the first five are not. A file without one of the two languages is read too. The image_id
is the clip's id and there is no picture: vectors come from `mella embed import` of video features. Where a test set is a part of
a file, `only` gives the list of its clips.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mella_retrieval.data.formats.captions import TextIds, head, name_list, one_file, read_json, shown
from mella_retrieval.data.records import Note, RawRecord, Rejected
from mella_retrieval.errors import DataError
from mella_retrieval.recipes import Strict

_PATTERN = "vatex_*.json"
_LANGUAGES = {"enCap": "en", "chCap": "zh"}


class VATEXOptions(Strict):
    """What to read of VATEX.

    Attributes:
        captions: file name in the folder, where several files `vatex_*.json` lie there.
        only: list of the clips to read, one id a line, relative to the folder.
    """

    captions: str | None = None
    only: str | None = None


def recognises(source: Path) -> bool:
    """A JSON list whose first entry has a `videoID` and English captions, or a folder with such a file `vatex_*.json`."""
    if source.is_dir():
        return any(_looks_right(head(path)) for path in sorted(source.glob(_PATTERN)))
    return source.name.endswith(".json") and _looks_right(head(source))


def read(source: Path, options: VATEXOptions) -> Iterator[RawRecord | Rejected | Note]:
    """The captions clip by clip, English before Chinese; with `only`, listed clips that are not there are rejected by name.

    Raises:
        DataError: no or several files, or one that is no JSON list.
    """
    path = one_file(source, options.captions, _PATTERN, "VATEX captions")
    entries = read_json(path)
    if not isinstance(entries, list):
        raise DataError(f"{path} holds no list of clips but {type(entries).__name__}.")
    root = source if source.is_dir() else source.parent
    wanted = None if options.only is None else set(name_list(root / options.only))
    seen: set[str] = set()
    ids, left_out = TextIds(), 0
    for number, entry in enumerate(entries, 1):
        where = f"{path.name}, entry {number}"
        clip = entry.get("videoID") if isinstance(entry, Mapping) else None
        if not isinstance(clip, str) or not clip:
            yield Rejected(where, "no videoID", shown(entry))
        elif clip in seen:
            yield Rejected(where, f"duplicate videoID: {clip[:100]}")
        elif wanted is not None and clip not in wanted:
            left_out += 1
        else:
            seen.add(clip)
            yield from _captions(where, clip, entry, ids)
    if wanted is not None:
        for clip in sorted(wanted - seen):
            yield Rejected(str(options.only), f"listed clip that the captions lack: {clip[:100]}")
        yield Note(f"{left_out} clips that {options.only} does not list were left out.")


def _captions(where: str, clip: str, entry: Mapping[str, Any], ids: TextIds) -> Iterator[RawRecord | Rejected]:
    found = False
    for column, lang in _LANGUAGES.items():
        captions = entry.get(column)
        if captions is None:
            continue
        found = True
        if not isinstance(captions, list):
            yield Rejected(f"{where}, {column}", f"captions are not a list: {type(captions).__name__}", shown(captions))
            continue
        for number, text in enumerate(captions, 1):
            yield RawRecord(clip, "", text, lang, "", ids.next(clip, lang), {}, f"{where}, {column} {number}")
    if not found:
        yield Rejected(where, "no captions", clip[:100])


def _looks_right(first: bytes) -> bool:
    return first.startswith(b"[") and b'"videoID"' in first and b'"enCap"' in first
