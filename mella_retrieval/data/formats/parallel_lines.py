"""XTD200 and Flickr30k-200 (https://github.com/visheratin/nllb-clip, `data/`): one text file per language, line i is picture i.

    xtd200/hun_Latn.txt ...           FLORES-200 codes; 1,000 lines each, machine translations of XTD10's English captions
    xtd200/test_image_names.txt       the list of XTD10 (it stands in XTD10's own repository)
    flickr30k-200/hun_Latn.txt ...    the same for 1,000 pictures of Flickr30k; English, the original, is `eng_captions.txt`
    flickr30k-200/filenames.txt       their names

Any folder of this form is read: the files may be named by any known language code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mella_retrieval import languages
from mella_retrieval.data.formats.captions import PictureOptions, Pictures, TextIds, image_id, name_list, parallel_lines
from mella_retrieval.data.records import Note, RawRecord, Rejected
from mella_retrieval.errors import DataError

_NAMES = ("filenames.txt", "test_image_names.txt")
_FLORES = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}\.txt")


class ParallelLinesOptions(PictureOptions):
    """Options of folders with one text file per language.

    Attributes:
        names: the list of the pictures' names, relative to the folder; by default its `filenames.txt` or `test_image_names.txt`.
        source: the column `source` of all texts but the English ones, "translated" for instance.
    """

    names: str | None = None
    source: str = ""


def recognises(source: Path) -> bool:
    """A folder with a list of pictures under its usual name and at least one file named by a FLORES-200 code."""
    if not any((source / name).is_file() for name in _NAMES):
        return False
    return any(_FLORES.fullmatch(path.name) for path in source.iterdir())


def read(source: Path, options: ParallelLinesOptions) -> Iterator[RawRecord | Rejected | Note]:
    """The texts, language by language; at the end a note on text files that are named by no language.

    Raises:
        DataError: no list of pictures, no language, two files of one language, or a file that has not one line per picture.
    """
    if not source.is_dir():
        raise DataError(f"{source} is not a folder with one text file per language.")
    listed = _list(source, options.names)
    files, others = _files(source, listed)
    if not files:
        raise DataError(f"{source} holds no text files named by a language (hun_Latn.txt).")
    names, pictures, ids = name_list(listed), Pictures(source, options.images), TextIds()
    for lang, path in sorted(files.items()):
        kind = "" if lang == "en" else options.source
        for where, name, text in parallel_lines(path, names, listed):
            key = image_id(name)
            yield RawRecord(key, pictures.path(name), text, lang, kind, ids.next(key, lang), {}, where)
    if others:
        yield Note(f"text files named by no language were not read: {', '.join(others[:20])}.")


def _list(source: Path, named: str | None) -> Path:
    found = [source / name for name in _NAMES if (source / name).is_file()]
    if named is not None:
        return source / named
    if len(found) != 1:
        raise DataError(
            f"{source} holds {len(found)} lists of pictures under the usual names ({', '.join(_NAMES)}); "
            "name it, relative to the folder: names=LIST.txt."
        )
    return found[0]


def _files(source: Path, listed: Path) -> tuple[dict[str, Path], list[str]]:
    files: dict[str, Path] = {}
    others = []
    for path in sorted(source.glob("*.txt")):
        if path.name in _NAMES or path.resolve() == listed.resolve():
            continue
        try:
            lang = languages.normalise(path.stem.removesuffix("_captions"))
        except DataError:
            others.append(path.name)
            continue
        if lang in files:
            raise DataError(f"{files[lang].name} and {path.name} are both in {lang}; keep one of them.")
        files[lang] = path
    return files, others
