"""COCO's caption annotations, and STAIR captions (Japanese) in the same form: one JSON object.

    captions_val2014.json, stair_captions_v1.2_val.json:
    {"images": [{"id": 391895, "file_name": "COCO_val2014_000000391895.jpg", ...}, ...],
     "annotations": [{"image_id": 391895, "id": 770337, "caption": "..."}, ...]}

The file does not name its language, so the option `lang` must. The usual test set is Karpathy's split of val2014: with
`only=dataset_coco.json` other pictures are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mella_retrieval.data.formats import karpathy
from mella_retrieval.data.formats.captions import (
    PictureOptions,
    Pictures,
    TextIds,
    head,
    image_id,
    name_list,
    one_file,
    read_json,
    shown,
)
from mella_retrieval.data.records import Note, RawRecord, Rejected
from mella_retrieval.errors import DataError

_PATTERN = "*captions_*.json"


class COCOCaptionsOptions(PictureOptions):
    """What to read of a COCO caption file.

    Attributes:
        lang: language of the captions; it must be given, `ja` for STAIR.
        captions: file name in the folder, where several such files lie there.
        only: the pictures to read, relative to the folder: a Karpathy file (`dataset_coco.json`) or a list of names, one a line.
        split: the split to take from a Karpathy file.
    """

    lang: str
    captions: str | None = None
    only: str | None = None
    split: str = "test"


def recognises(source: Path) -> bool:
    """A file `*captions_*.json` that begins as an object with images or annotations, or a folder with such a file."""
    files = sorted(source.glob(_PATTERN)) if source.is_dir() else [source]
    return any("captions_" in path.name and path.name.endswith(".json") and _looks_right(head(path)) for path in files)


def read(source: Path, options: COCOCaptionsOptions) -> Iterator[RawRecord | Rejected | Note]:
    """The captions in the order of the annotations; with `only`, listed pictures that have none are rejected by name.

    Raises:
        DataError: no or several files, or one that is no JSON of this form, or `only` names no picture.
    """
    path = one_file(source, options.captions, _PATTERN, "caption annotations")
    content = read_json(path)
    entries = [content.get(name) if isinstance(content, Mapping) else None for name in ("images", "annotations")]
    if not all(isinstance(part, list) for part in entries):
        raise DataError(f"{path} holds no COCO annotations: it lacks the list of images or that of annotations.")
    names = {
        entry["id"]: entry["file_name"]
        for entry in entries[0] or ()
        if isinstance(entry, Mapping) and isinstance(entry.get("id"), int | str) and isinstance(entry.get("file_name"), str)
    }
    root = source if source.is_dir() else source.parent
    wanted = None if options.only is None else _wanted(root / options.only, options.split)
    pictures, ids = Pictures(source, options.images), TextIds()
    seen: set[str] = set()
    left_out = 0
    for number, entry in enumerate(entries[1] or (), 1):
        item = _caption(f"{path.name}, annotation {number}", entry, names, options.lang, pictures)
        if isinstance(item, RawRecord):
            if wanted is not None and item.image_id not in wanted:
                left_out += 1
                continue
            seen.add(item.image_id)
            item.text_id = ids.next(item.image_id, options.lang)
        yield item
    if wanted is not None:
        for key in sorted(wanted - seen):
            yield Rejected(str(options.only), f"listed picture without a caption: {key[:100]}")
        yield Note(f"{left_out} captions of pictures that {options.only} does not list were left out.")


def _looks_right(first: bytes) -> bool:
    return first.startswith(b"{") and any(name in first for name in (b'"images"', b'"annotations"', b'"info"'))


def _wanted(path: Path, split: str) -> set[str]:
    if path.suffix.lower() != ".json":
        return {image_id(name) for name in name_list(path)}
    entries = [entry for _, entry in karpathy.images(path)]
    found = {image_id(entry["filename"]) for entry in entries if not isinstance(entry, Rejected) and entry["split"] == split}
    if not found:
        raise DataError(f"{path} lists no pictures of the split {split!r}.")
    return found


def _caption(where: str, entry: Any, names: Mapping[Any, str], lang: str, pictures: Pictures) -> RawRecord | Rejected:
    if not isinstance(entry, Mapping) or "caption" not in entry:
        return Rejected(where, "no caption", shown(entry))
    key = entry.get("image_id")
    name = names.get(key) if isinstance(key, int | str) else None
    if name is None:
        return Rejected(where, f"no such image: {shown(key)}", shown(entry["caption"]))
    return RawRecord(image_id(name), pictures.path(name), entry["caption"], lang, where=where)
