"""Multi30K (https://github.com/multi30k/dataset): plain text, line i belongs to the i-th name of an image split.

    data/task1/raw/test_2016_flickr.{en,de,fr,cs}.gz   one sentence and its human translations; also train, val, test_2017_*, ...
    data/task1/image_splits/test_2016_flickr.txt       1,000 names (29,000 in train, 1,014 in val)
    data/task2/raw/test_2016.{1..5}.{en,de}.gz         five English and five German descriptions, written independently
    data/task2/image_splits/test_2016_images.txt       their names

Names of test_2017_mscoco carry the number of the COCO caption after a `#`; it is left out. Unpacked files are read too, and the
source may also be the folder `data`, `task1` or `task2`, or one flat folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from mella_retrieval.data.formats.captions import (
    SPLIT,
    PictureOptions,
    Pictures,
    TextIds,
    image_id,
    language,
    name_list,
    parallel_lines,
)
from mella_retrieval.data.records import Note, RawRecord, Rejected
from mella_retrieval.errors import DataError

_DEFAULT_SPLITS = {1: "test_2016_flickr", 2: "test_2016"}


class Multi30KOptions(PictureOptions):
    """What to read of Multi30K.

    Attributes:
        task: 1, translations of one sentence; 2, five independent descriptions per language.
        split: `train`, `val`, or a test set; by default `test_2016_flickr` for task 1 and `test_2016` for task 2.
    """

    task: Literal[1, 2] = 1
    split: str | None = Field(default=None, pattern=SPLIT)


def recognises(source: Path) -> bool:
    """A folder with the names and at least one language of task 1's test of 2016; other splits have to be asked for."""
    listed = _list(source, 1, _DEFAULT_SPLITS[1])
    return listed is not None and bool(_files(listed, 1, _DEFAULT_SPLITS[1]))


def read(source: Path, options: Multi30KOptions) -> Iterator[RawRecord | Rejected | Note]:
    """The sentences, language by language, and in task 2 description by description.

    Raises:
        DataError: the list of names or the sentences are missing, a file has not one line per name, or one of the five files of
            a language is missing.
    """
    split = options.split or _DEFAULT_SPLITS[options.task]
    listed = _list(source, options.task, split)
    if listed is None:
        name = _list_name(options.task, split)
        raise DataError(
            f"{source} holds no list of pictures {name} of task {options.task} (looked for it directly, in image_splits, "
            f"task{options.task}/image_splits and data/task{options.task}/image_splits)."
        )
    files = _files(listed, options.task, split)
    if not files:
        raise DataError(f"there are no sentences {split}.* of task {options.task} beside {listed}.")
    names, pictures, ids = name_list(listed), Pictures(source, options.images), TextIds()
    for lang, numbered in sorted(files.items()):
        missing = [number for number in range(1, 6) if number not in numbered] if options.task == 2 else []
        if missing:
            raise DataError(f"the {lang} descriptions of {split} are not complete: number {missing[0]} of 5 is missing.")
        for _, path in sorted(numbered.items()):
            for where, name, text in parallel_lines(path, names, listed):
                key = image_id(name)
                yield RawRecord(key, pictures.path(name), text, lang, "", ids.next(key, lang), {}, where)


def _list_name(task: int, split: str) -> str:
    return f"{split}.txt" if task == 1 else f"{split}_images.txt"


def _list(source: Path, task: int, split: str) -> Path | None:
    for base in (source, source / f"task{task}", source / "data" / f"task{task}"):
        for folder in (base / "image_splits", base):
            if (folder / _list_name(task, split)).is_file():
                return folder / _list_name(task, split)
    return None


def _files(listed: Path, task: int, split: str) -> dict[str, dict[int, Path]]:
    """Language -> number of the description (0 in task 1) -> file; an unpacked file is preferred to its .gz."""
    base = listed.parent.parent if listed.parent.name == "image_splits" else listed.parent
    number = r"" if task == 1 else r"(?P<number>\d)\."
    pattern = re.compile(rf"{re.escape(split)}\.{number}(?P<lang>[a-z]{{2,3}})(?:\.gz)?")
    found: dict[str, dict[int, Path]] = {}
    for folder in (base / "raw", base):
        for path in sorted(folder.glob(f"{split}.*")) if folder.is_dir() else []:
            name = pattern.fullmatch(path.name)
            if name is not None and name["lang"] not in ("txt", "gz") and path.is_file():
                place = found.setdefault(language(name["lang"], path), {})
                place.setdefault(int(name["number"]) if task == 2 else 0, path)
    return found
