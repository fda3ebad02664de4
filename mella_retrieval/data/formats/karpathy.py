"""Karpathy's splits (`dataset_coco.json`, `dataset_flickr30k.json`, `dataset_flickr8k.json`): one JSON object.

    {"dataset": "coco", "images": [{"filepath": "val2014", "filename": "COCO_val2014_000000391895.jpg", "split": "test",
      "cocoid": 391895, "imgid": 0, "sentids": [770337, ...],
      "sentences": [{"raw": "A man with a red helmet ...", "tokens": [...], "imgid": 0, "sentid": 770337}, ...]}, ...]}

`filepath` and `cocoid` are COCO's alone. COCO's test split has 5,000 pictures, Flickr30k's 1,000, each with five sentences (a
few of COCO's with more); COCO's split `restval` is what val2014 has beyond `val` and `test`. The text is `raw`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mella_retrieval.data.formats.captions import PictureOptions, Pictures, TextIds, head, image_id, one_file, read_json, shown
from mella_retrieval.data.records import Note, RawRecord, Rejected
from mella_retrieval.errors import DataError

_USUAL = ("dataset_coco.json", "dataset_flickr30k.json", "dataset_flickr8k.json")


class KarpathyOptions(PictureOptions):
    """What to read of a Karpathy file.

    Attributes:
        split: `test`, `val`, `train` or `restval`.
        lang: language of the sentences.
        captions: file name in the folder, where several files `dataset_*.json` lie there.
    """

    split: str = "test"
    lang: str = "en"
    captions: str | None = None


def recognises(source: Path) -> bool:
    """A `dataset_*.json` that begins as these files do, or a folder with exactly one of the usual ones."""
    files = [source / name for name in _USUAL if (source / name).is_file()] if source.is_dir() else [source]
    return len(files) == 1 and files[0].name.startswith("dataset_") and b'"sentids"' in head(files[0])


def read(source: Path, options: KarpathyOptions) -> Iterator[RawRecord | Rejected | Note]:
    """The sentences of one split in the file's order; at the end a note on the splits that were left out.

    Raises:
        DataError: no such file, no such split in it, or the file is no JSON of this form.
    """
    path = one_file(source, options.captions, "dataset_*.json", "Karpathy split file")
    pictures, ids = Pictures(source, options.images), TextIds()
    others: Counter[str] = Counter()
    found = False
    for where, image in images(path):
        if isinstance(image, Rejected):
            yield image
            continue
        if image["split"] != options.split:
            others[image["split"]] += 1
            continue
        found = True
        yield from _sentences(where, image, options.lang, pictures, ids)
    left = ", ".join(f"{name} ({count})" for name, count in sorted(others.items()))
    if not found:
        raise DataError(f"{path} has no pictures of the split {options.split!r}; it has: {left or 'none'}.")
    yield Note(f"the split {options.split} was read; pictures of other splits: {left or 'none'}.")


def images(path: Path) -> Iterator[tuple[str, Mapping[str, Any] | Rejected]]:
    """(place, entry) of each picture; every entry has the strings `filename` and `split`.

    Raises:
        DataError: the file is no JSON object with a list `images`.
    """
    content = read_json(path)
    entries = content.get("images") if isinstance(content, Mapping) else None
    if not isinstance(entries, list):
        raise DataError(f"{path} is no Karpathy split file: it has no list of images.")
    for number, entry in enumerate(entries, 1):
        where = f"{path.name}, image {number}"
        whole = isinstance(entry, Mapping) and all(isinstance(entry.get(name), str) for name in ("filename", "split"))
        yield where, entry if whole else Rejected(where, "no filename or split", shown(entry))


def _sentences(
    where: str, image: Mapping[str, Any], lang: str, pictures: Pictures, ids: TextIds
) -> Iterator[RawRecord | Rejected]:
    name, key = image["filename"], image_id(image["filename"])
    sentences = image.get("sentences")
    if not isinstance(sentences, list) or not sentences:
        yield Rejected(where, "no sentences", shown(name))
        return
    extras = {"cocoid": image["cocoid"]} if isinstance(image.get("cocoid"), int) else {}
    for number, sentence in enumerate(sentences, 1):
        place = f"{where}, sentence {number}"
        if not isinstance(sentence, Mapping) or "raw" not in sentence:
            yield Rejected(place, "no raw sentence", shown(sentence))
            continue
        numbered = {"sentid": sentence["sentid"]} if isinstance(sentence.get("sentid"), int) else {}
        path = pictures.path(name)
        yield RawRecord(key, path, sentence["raw"], lang, "", ids.next(key, lang), {**extras, **numbered}, place)
