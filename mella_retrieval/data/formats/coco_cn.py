"""COCO-CN (https://github.com/li-xirong/coco-cn), version 201805 v1.1: Chinese sentences about COCO 2014 pictures.

    coco-cn_{train,val,test}.txt              image ids, one a line: COCO_val2014_000000123599; 1,000 in the test
    imageid.human-written-caption.txt         COCO_val2014_000000123599#0<TAB>sentence    1,053 sentences on the test pictures
    imageid.manually-translated-caption.txt   5,000 human translations of COCO's English sentences, test pictures only

Benchmarks use the human-written ones. A tag between the id and the number (`#zhm#0`) is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from mella_retrieval.data.formats.captions import SPLIT, PictureOptions, Pictures, TextIds, image_id, name_list, shown, text_lines
from mella_retrieval.data.records import Note, RawRecord, Rejected
from mella_retrieval.errors import DataError

_LINE = re.compile(r"(?P<image>[^#\s]+)#(?:[A-Za-z]\w*#)?\d+(?:\t| )(?P<text>.*)", re.DOTALL)


class COCOCNOptions(PictureOptions):
    """What to read of COCO-CN.

    Attributes:
        split: `test`, `val` or `train`.
        captions: the sentences written for COCO-CN, or those translated by people from COCO's English ones.
    """

    split: str = Field(default="test", pattern=SPLIT)
    captions: Literal["human-written", "manually-translated"] = "human-written"


def recognises(source: Path) -> bool:
    """A folder with the human-written sentences and the list of the test pictures."""
    return all((source / name).is_file() for name in (_captions_name("human-written"), "coco-cn_test.txt"))


def read(source: Path, options: COCOCNOptions) -> Iterator[RawRecord | Rejected | Note]:
    """The sentences of one split in the file's order; pictures of the split without a sentence are rejected by name.

    Raises:
        DataError: the sentences or the list of the split are missing.
    """
    path = source / _captions_name(options.captions)
    if not path.is_file():
        raise DataError(f"there is no file {path}.")
    listed = source / f"coco-cn_{options.split}.txt"
    wanted = {image_id(name) for name in name_list(listed)}
    translated = options.captions == "manually-translated"
    pictures, ids = Pictures(source, options.images), TextIds()
    seen: set[str] = set()
    left_out = 0
    for where, line in text_lines(path):
        if not line.strip():
            continue
        parts = _LINE.fullmatch(line)
        if parts is None:
            yield Rejected(where, "not of the form imageid#number, tab, sentence", shown(line))
            continue
        key = image_id(parts["image"])
        if key not in wanted:
            left_out += 1
            continue
        seen.add(key)
        image = pictures.path(f"{key}.jpg")
        yield RawRecord(key, image, parts["text"], "zh", "translated" if translated else "", ids.next(key, "zh"), {}, where)
    for key in sorted(wanted - seen):
        yield Rejected(listed.name, f"listed picture without a sentence: {key[:100]}")
    yield Note(f"{left_out} sentences on pictures outside the split {options.split} were left out.")


def _captions_name(captions: str) -> str:
    return f"imageid.{captions}-caption.txt"
