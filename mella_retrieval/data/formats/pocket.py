"""A stored pocket world (`world.json`, `scenes.jsonl`, `images/`), as `mella_retrieval.pocket` writes it.

Every caption becomes a record: `source` is "ling" (description) or "know" (native alt-text), the text is named
`<image_id>#<language>#<number>`, and the extras are `split` and `item` (the culturally named thing in the picture, or "").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mella_retrieval.artifacts import read_json
from mella_retrieval.data.formats.rows import read_json_lines
from mella_retrieval.data.records import Note, RawRecord, Rejected
from mella_retrieval.errors import ArtifactError, DataError
from mella_retrieval.recipes import Strict

KIND = "pocket-world"
VERSION = 1

_KEYS = ("image_id", "image", "split", "item", "captions")


class PocketOptions(Strict):
    """Attributes: splits: the splits to read ("train", "validation", "test"); all by default."""

    splits: list[str] | None = None


def recognises(source: Path) -> bool:
    """A folder whose `world.json` says that it is a pocket world."""
    try:
        return bool(_world(source)["kind"] == KIND)
    except (ArtifactError, DataError, KeyError, TypeError):
        return False


def read(source: Path, options: PocketOptions) -> Iterator[RawRecord | Rejected | Note]:
    """The captions, scene by scene in stored order, languages as stored; at the end a note if scenes are missing.

    Raises:
        DataError: not a pocket world, of a newer format, without a split that was asked for, or cut short.
        ArtifactError: `world.json` is missing or corrupted.
    """
    world = _world(source)
    if not isinstance(world, Mapping) or world.get("kind") != KIND or not isinstance(world.get("scenes"), Mapping):
        raise DataError(f"{source} is not a pocket world: its world.json does not say so.")
    if world.get("format_version") != VERSION:
        raise DataError(f"{source} is a pocket world of format {world.get('format_version')}; this installation reads {VERSION}.")
    if unknown := set(options.splits or ()) - set(world["scenes"]):
        raise DataError(f"{source} has no split {', '.join(sorted(unknown))}; it has {', '.join(world['scenes'])}.")
    seen = 0
    for item in read_json_lines(source / "scenes.jsonl"):
        seen += 1
        if isinstance(item, Rejected):
            yield item
            continue
        where, row = item
        if missing := [key for key in _KEYS if key not in row]:
            yield Rejected(where, f"not a scene: no {', '.join(missing)}", str(row)[:120])
        elif options.splits is None or row["split"] in options.splits:
            yield from _scene(where, row)
    expected = sum(world["scenes"].values())
    if seen != expected:
        yield Note(f"scenes.jsonl has {seen} scenes where world.json counts {expected}: the folder was changed or cut short.")


def _world(source: Path) -> Any:
    return read_json(source / "world.json")


def _scene(where: str, row: Mapping[str, Any]) -> Iterator[RawRecord | Rejected]:
    extras = {"split": row["split"], "item": row["item"]}
    for lang, texts in row["captions"].items():
        for number, text in enumerate(texts):
            yield RawRecord(
                image_id=row["image_id"],
                image=row["image"],
                text=text["text"],
                lang=lang,
                source=text["kind"],
                text_id=f"{row['image_id']}#{lang}#{number}",
                extras=extras,
                where=f"{where}, {lang}, text {number + 1}",
            )
