"""The layout of NRCCR and LECCR (https://github.com/LiJiaBei-7/nrccr): captions of Multi30K, MSCOCO, VATEX and MSR-VTT-CN.

    <collection>/TextData/*.caption.txt     one caption a line: `<id>#<tag>#<number> <caption>`
    <collection>/FeatureData/<name>/        BigFile or npy features: `mella embed import`

`<id>` is a picture (`1007129816.jpg`, also without its ending) or a video clip (`Ptf_2VRj-V0_000122_000132`). `<tag>` is the
language, English being `enc`, and tells what a machine translated: `enc2de` is German from English, `enc2de2enc` English by way
of German. File names differ from collection to collection (Multi30K task 1: `multi30ktest_de_2016_task1.caption.txt`, translated
`multi30ktest_google_de2enc_2016_task1.caption.txt`), so `captions` names them by a pattern.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mella_retrieval.data.formats.captions import PictureOptions, Pictures, head, image_id, shown, text_lines
from mella_retrieval.data.records import Note, RawRecord, Rejected
from mella_retrieval.errors import DataError

_SUFFIX = ".caption.txt"
_LINE = re.compile(r"(?P<item>[^#\s]+)#(?P<tag>[A-Za-z0-9]+)#(?P<number>\d+)[ \t](?P<text>.*)", re.DOTALL)
_SOURCES = ("", "translated", "back-translated")


class NRCCROptions(PictureOptions):
    """What to read of a collection.

    Attributes:
        captions: file name, or pattern with `*`, in `TextData`. Two files with captions of the same tag are not read together.
        translations: read machine translations too; the column `source` tells them: translated or back-translated.
    """

    captions: str = f"*test*{_SUFFIX}"
    translations: bool = False


def recognises(source: Path) -> bool:
    """A folder with `TextData/*.caption.txt`, that folder itself, or such a file, whose first line is of this form."""
    first = next(iter(_files(source, f"*{_SUFFIX}")), None)
    if first is None:
        return False
    line = head(first).split(b"\n", 1)[0].decode("utf-8", "replace")
    return _LINE.fullmatch(line) is not None


def read(source: Path, options: NRCCROptions) -> Iterator[RawRecord | Rejected | Note]:
    """The captions, file by file; at the end a note on translations that were left out.

    Raises:
        DataError: no file fits the pattern, or two files hold captions of the same tag.
    """
    files = _files(source, options.captions)
    if not files:
        found = ", ".join(path.name for path in _files(source, f"*{_SUFFIX}")[:20])
        raise DataError(f"{source} holds no captions {options.captions} (in TextData, or directly); it has: {found or 'none'}.")
    pictures = Pictures(source, options.images)
    owners: dict[str, Path] = {}
    left_out: Counter[str] = Counter()
    for path in files:
        for where, line in text_lines(path):
            if not line.strip():
                continue
            item = _record(where, line, pictures)
            if isinstance(item, RawRecord):
                tag = item.text_id.split("#")[1]
                if item.source and not options.translations:
                    left_out[tag] += 1
                    continue
                _refuse_second_file(owners, tag, path)
            yield item
    if left_out:
        listed = ", ".join(f"{tag} ({count})" for tag, count in sorted(left_out.items()))
        yield Note(f"machine translations were left out: {listed}. translations=true reads them.")


def _record(where: str, line: str, pictures: Pictures) -> RawRecord | Rejected:
    parts = _LINE.fullmatch(line)
    if parts is None:
        return Rejected(where, "not of the form id#tag#number, space, caption", shown(line))
    steps = parts["tag"].split("2")
    lang = "en" if steps[-1] == "enc" else steps[-1]
    key = image_id(parts["item"])
    image = pictures.path(parts["item"]) if key != parts["item"] else ""  # a clip has no picture file
    source = _SOURCES[min(len(steps), 3) - 1]
    return RawRecord(key, image, parts["text"], lang, source, f"{key}#{parts['tag']}#{parts['number']}", {}, where)


def _refuse_second_file(owners: dict[str, Path], tag: str, path: Path) -> None:
    other = owners.setdefault(tag, path)
    if other != path:
        raise DataError(
            f"{other.name} and {path.name} both hold captions with the tag {tag}: they are different test sets. "
            f'Name one of them: captions="{other.name}".'
        )


def _files(source: Path, pattern: str) -> list[Path]:
    if not source.is_dir():
        return [source] if source.name.endswith(_SUFFIX) and source.is_file() else []
    folder = source / "TextData" if (source / "TextData").is_dir() else source
    if not pattern or Path(pattern).is_absolute() or "**" in pattern:
        raise DataError(f"captions={pattern!r} is no file name or pattern in {folder}.")
    return sorted(path for path in folder.glob(pattern) if path.is_file())
