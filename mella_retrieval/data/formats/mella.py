"""MELLA and its public relative WanJuanSiLu 2.0 (OpenDataLab): JSON lines, one picture with its text a line.

    {"img_id": "774d...", "url": PAGE, "data_source": "multi-web-news",
     "image": {"path": "774d..." or "https://...", "resolution": [899, 599], "size": 66.8, "format": "JPEG"},
     "captions": {"content": TEXT, "lang": "ar"},
     "labels": {"pjwk_cates": {"level1": ["文化类"], "level2": ["民俗传统"]}}}

What a file holds is told by its name:

| name | source | text |
|---|---|---|
| `image_release_v2_<lang>_image_text_pair_json_in_part-*.jsonl`, `<lang>_image_caption.jsonl` | know | of the line |
| `image_release_v2_<lang>_image_pure_json_in_part-*.jsonl` | ling | of `trans_<lang>.json`, by img_id |
| any other name | none, unless the option `source` gives it | of the line |

That the first are native alt-texts and the second pictures to be described was inferred from a working copy of the release, so
an import notes how it read each file, and the options say otherwise. A source is one file (plain or .gz), or a folder with any
of them at any depth.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from mella_retrieval import languages
from mella_retrieval.artifacts import MANIFEST
from mella_retrieval.data.formats.captions import head
from mella_retrieval.data.formats.mella_line import Line, parse_line
from mella_retrieval.data.formats.mella_translations import Text, Translations
from mella_retrieval.data.formats.rows import read_json_lines, table_kind
from mella_retrieval.data.formats.stems import StemPictures
from mella_retrieval.data.records import SKIPPED, Note, RawRecord, Rejected, is_url
from mella_retrieval.errors import DataError
from mella_retrieval.recipes import Strict

KNOW, LING = "know", "ling"

_PART = re.compile(r"(?:^|_)(?P<lang>[A-Za-z]{2,3}(?:-[A-Za-z]{4})?)_image_(?P<kind>text_pair|caption|pure)")
_TRANS = re.compile(r"^trans_(?P<lang>[A-Za-z]{2,3}(?:-[A-Za-z]{4})?)\.json(?:\.gz)?$")
_SOURCES = {"text_pair": KNOW, "caption": KNOW, "pure": LING}
_MEANING = {KNOW: "know (native alt-text)", LING: "ling (pictures with translated descriptions)"}
_LINES = (".jsonl", ".ndjson")
_DEPTH = 5
_CAPTIONS, _IMAGE = re.compile(rb'"captions"\s*:\s*\{'), re.compile(rb'"image"\s*:\s*\{')


class MellaOptions(Strict):
    """How the files of a release are read.

    Attributes:
        source: source of all records, whatever the files' names say; a file of pictures without a translation file then gives
            the texts of its own lines.
        lang: language of all records, whatever the lines and names say.
        images: folder of the pictures, relative to the source; by default `images` in it or beside a file, if it is there.
        trans: the file of the translations, relative to the source; or language -> file (`trans.hu=FILE`). By default
            `trans_<lang>.json` anywhere in the source.
    """

    source: str = ""
    lang: str = ""
    images: str | None = None
    trans: str | dict[str, str] = ""


@dataclass(frozen=True)
class _Part:
    """One file: its path, its name in the source, and what its name tells ("" where it does not)."""

    path: Path
    name: str
    source: str
    lang: str


def recognises(source: Path) -> bool:
    """A file of lines with `img_id` and the rest, or a folder with such a file at any depth."""
    files = _walk(source) if source.is_dir() else [source]
    return any(_is_part(path) for path in files)


def read(source: Path, options: MellaOptions) -> Iterator[RawRecord | Rejected | Note]:
    """The records of all files, those with translations last; a note on each file says how it was read.

    Raises:
        DataError: no such files, a file that is damaged or cut short, or no file or folder that an option names.
    """
    root = source if source.is_dir() else source.parent
    beside = _walk(root) if source.is_dir() else root.iterdir()
    named = sorted(path for path in beside if table_kind(path) or _TRANS.match(path.name))
    files = [path for path in named if _is_part(path)] if source.is_dir() else [source]
    if not files or table_kind(files[0]) not in _LINES:
        raise DataError(f"{source} holds no JSON lines of MELLA (*.jsonl, *.jsonl.gz with img_id, image and captions).")
    trans = _TranslationFiles(root, [path for path in named if _TRANS.match(path.name)], options)
    chosen = [(part, trans.of(part)) for part in (_part(path, root) for path in files)]
    chosen.sort(key=lambda pair: (str(pair[1] or ""), pair[0].name))
    for path, group in groupby(chosen, key=lambda pair: pair[1]):
        if path is None:
            for part, _ in group:
                yield from _PartReader(part, root, options).items()
            continue
        with Translations(path) as translations:
            yield from translations.scan()
            for part, _ in group:
                yield from _PartReader(part, root, options, translations).items()
            rest = f", {translations.unused:,} of them without a picture here" if translations.unused else ""
            yield Note(f"{path.name}: {_many(translations.entries, 'translation')}{rest}.")
    left = [path.name for path in named if table_kind(path) and path not in files and path.name != SKIPPED]
    if left and source.is_dir():
        yield Note(f"left alone, no lines of MELLA: {', '.join(left)}.")


class _PartReader:
    """Reads one file and counts what its note says."""

    def __init__(self, part: _Part, root: Path, options: MellaOptions, translations: Translations | None = None) -> None:
        self._part, self._options, self._translations = part, options, translations
        self._pictures = StemPictures(root, (root / "images", part.path.parent / "images"), options.images)
        self._source = options.source or part.source
        self._lang = options.lang
        if not self._lang and translations is not None and (named := _TRANS.match(translations.path.name)):
            self._lang = _language(named["lang"])
        self._without_text = part.source == LING and not options.source and translations is None
        self._rows = self._lost = 0

    def items(self) -> Iterator[RawRecord | Rejected | Note]:
        """What stands in the file, and a note on it."""
        for item in read_json_lines(self._part.path, self._part.name):
            self._rows += 1
            line = item if isinstance(item, Rejected) else parse_line(*item)
            if isinstance(line, Rejected):
                yield line
                continue
            texts = self._texts(line)
            if isinstance(texts, Rejected):
                yield texts
                continue
            image = self._picture(line)
            lang = self._lang or line.lang or self._part.lang
            for text, text_id in texts:
                yield RawRecord(line.img_id, image, text, lang, self._source, text_id, line.extras, line.where)
        yield Note(self._note())

    def _texts(self, line: Line) -> list[Text] | Rejected:
        """The text of a line, or the translations of its picture."""
        if self._translations is not None:
            if found := self._translations.find(line.img_id, line.text_id):
                return found
            missing = f"not in {self._translations.path.name}"
        elif not self._without_text:
            return [(line.text, line.text_id)]
        else:
            missing = f"there is no trans_{self._part.lang or 'LANG'}.json (options trans, source)"
        return Rejected(line.where, f"picture without translation: {missing}", line.img_id[:120])

    def _picture(self, line: Line) -> str:
        path = line.path
        if not isinstance(path, str) or is_url(path):
            return path
        image, there = self._pictures.find(path, line.format) if path else ("", False)
        self._lost += not there
        return image

    def _note(self) -> str:
        meaning = _MEANING.get(self._source, self._source or "of no known source: neither its name nor the option source says")
        text = f"{self._part.name}: {_many(self._rows, 'row')} read as {meaning}"
        if self._part.lang:
            text += f", {self._part.lang}"
        if self._lost:
            folder = self._pictures.folder
            text += f"; {_many(self._lost, 'caption')} without a picture" + (
                f" in {folder.name}/" if folder else ": no folder of them"
            )
        return f"{text}."


class _TranslationFiles:
    """Which file has the translations of a part."""

    def __init__(self, root: Path, found: list[Path], options: MellaOptions) -> None:
        self._found, self._options = sorted(found), options
        named = options.trans if isinstance(options.trans, dict) else {"": options.trans} if options.trans else {}
        self._named = {languages.normalise(code) if code else "": root / name for code, name in named.items()}
        for path in self._named.values():
            if not path.is_file():
                raise DataError(f"there is no file {path} (option trans).")

    def of(self, part: _Part) -> Path | None:
        """None for parts whose texts stand in their lines, or whose translations are not there."""
        source = self._options.source or part.source
        if source != LING or (part.source or LING) != LING:
            return None
        lang = self._options.lang or part.lang
        chosen = self._named.get(lang) or self._named.get("")
        if chosen is not None:
            return chosen
        fitting = [path for path in self._found if (named := _TRANS.match(path.name)) and _language(named["lang"]) == lang]
        beside = [path for path in fitting if path.parent == part.path.parent] or fitting
        if len(beside) > 1:
            listed = ", ".join(str(path) for path in beside)
            raise DataError(f"{part.path} may belong to several files ({listed}); say which: trans.{lang}=FILE.")
        return beside[0] if beside else None


def _part(path: Path, root: Path) -> _Part:
    found = _PART.search(path.name)
    name = path.relative_to(root).as_posix()
    return _Part(path, name, _SOURCES[found["kind"]], _language(found["lang"])) if found else _Part(path, name, "", "")


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _language(code: str) -> str:
    """The canonical code, "" where a file's name has none that is known."""
    try:
        return languages.normalise(code)
    except DataError:
        return ""


def _is_part(path: Path) -> bool:
    """By the first line; one whose name says it need not have captions."""
    if table_kind(path) not in _LINES:
        return False
    line = head(path).partition(b"\n")[0]
    return b'"img_id"' in line and bool(_PART.search(path.name) or (_CAPTIONS.search(line) and _IMAGE.search(line)))


def _walk(source: Path) -> Iterator[Path]:
    """The files of a folder, but for its pictures, hidden folders and what mella-retrieval writes."""
    for folder, subfolders, files in os.walk(source):
        depth = len(Path(folder).relative_to(source).parts)
        wanted = [name for name in sorted(subfolders) if not name.startswith(".") and name != "images"]
        subfolders[:] = [name for name in wanted if depth < _DEPTH and not (Path(folder) / name / MANIFEST).is_file()]
        yield from (Path(folder) / name for name in sorted(files) if not name.startswith("."))
