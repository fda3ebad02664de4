"""XTD10 (https://github.com/adobe-research/Cross-lingual-Test-Dataset-XTD10): plain text, line i belongs to picture i.

    XTD10/test_image_names.txt                       1,000 names of COCO 2014 pictures (800 of train2014, 200 of val2014)
    XTD10/test_1kcaptions_{es,it,ko,pl,ru,tr,zh}.txt  collected for XTD10
    MIC/test_1kcaptions_{de,en,fr}.txt                from MIC
    STAIR/test_1kcaptions_jp.txt                      from STAIR captions; `jp` is Japanese (`ja`)

The files may also lie together in one folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mella_retrieval.data.formats.captions import PictureOptions, Pictures, TextIds, image_id, language, name_list, parallel_lines
from mella_retrieval.data.records import Note, RawRecord, Rejected
from mella_retrieval.errors import DataError

_NAMES = "test_image_names.txt"
_PREFIX = "test_1kcaptions_"
_FOLDERS = ("", "XTD10", "MIC", "STAIR")


def recognises(source: Path) -> bool:
    """A folder with the list of pictures in its usual place and captions beside it or in the sub-folders."""
    if not any((source / folder / _NAMES).is_file() for folder in _FOLDERS[:2]):
        return False
    return any(True for folder in _FOLDERS for _ in (source / folder).glob(f"{_PREFIX}*.txt"))


def read(source: Path, options: PictureOptions) -> Iterator[RawRecord | Rejected | Note]:
    """The captions, language by language.

    Raises:
        DataError: the list or all captions are missing, a file has not one line per picture, or two files of a language differ.
    """
    lists = sorted([*source.glob(_NAMES), *source.glob(f"*/{_NAMES}")])
    if not lists:
        raise DataError(f"{source} holds no {_NAMES}, neither directly nor one folder deeper.")
    names, pictures, ids = name_list(lists[0]), Pictures(source, options.images), TextIds()
    for lang, path in _files(source).items():
        for where, name, text in parallel_lines(path, names, lists[0]):
            key = image_id(name)
            yield RawRecord(key, pictures.path(name), text, lang, "", ids.next(key, lang), {}, where)


def _files(source: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in sorted([*source.glob(f"{_PREFIX}*.txt"), *source.glob(f"*/{_PREFIX}*.txt")]):
        lang = language(path.stem.removeprefix(_PREFIX), path)
        if lang in files and files[lang].read_bytes() != path.read_bytes():
            raise DataError(f"{files[lang]} and {path} both hold captions in {lang} and differ; keep one of them.")
        files.setdefault(lang, path)
    if not files:
        raise DataError(f"{source} holds no captions ({_PREFIX}<language>.txt), neither directly nor one folder deeper.")
    return dict(sorted(files.items()))
