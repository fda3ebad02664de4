"""What a card says about a record set, gathered from its rows and its manifest."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import pyarrow as pa

from mella_retrieval.artifacts import Json
from mella_retrieval.data.collect.report import CollectReport, read_report
from mella_retrieval.data.records import Records, is_url
from mella_retrieval.data.stats import describe_records
from mella_retrieval.data.writing import Progress

LICENCE_COLUMNS = ("licence", "license")
CATEGORY = "category"

# An absolute path on its own or behind the kind of an encoder's spec (`sentence-transformers:/models/x`), no URL.
_PATH = re.compile(r"(?P<before>|[\w-]+:)(?P<path>(?:/(?!/)|~/|[A-Za-z]:\\).*)", re.DOTALL)


@dataclass
class Pictures:
    """Where the different pictures of a set lie.

    Attributes:
        inside: in the records folder.
        outside: files elsewhere on the machine.
        urls: on the web.
        folders: top folders of those inside, `images` for instance.
        suffixes: file name endings of those inside -> pictures.
    """

    inside: int = 0
    outside: int = 0
    urls: int = 0
    folders: set[str] = field(default_factory=set)
    suffixes: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Facts:
    """A record set as a card sees it.

    Attributes:
        records: the set.
        stats: see `describe_records`; grouped by `licence_column` and `category` where there are such columns.
        pictures: where its pictures lie.
        licence_column: its name, "" if there is none.
        collected: the report of their collection from pages, if they were collected.
    """

    records: Records
    stats: Json
    pictures: Pictures
    licence_column: str
    collected: CollectReport | None = None

    @property
    def removed(self) -> dict[str, int]:
        """Filter, or reason for which the writing rejected -> candidates."""
        filters = {count.name: count.removed for count in self.collected.filters} if self.collected else {}
        rejected: dict[str, int] = self.outcome["rejected"]
        return filters | {reason: filters.get(reason, 0) + count for reason, count in rejected.items()}

    @property
    def made_by(self) -> Json:
        """What made the records, as the manifest has it, without folders of the machine."""
        made: Json = public(self.records.manifest.get("made_by") or {})
        return made

    @property
    def outcome(self) -> Json:
        """`read`, `rejected`, `warnings` and `notes` of the writing; missing ones are empty."""
        found = self.records.manifest.get("import") or {}
        return {"read": None, "rejected": {}, "warnings": {}, "notes": [], **found}

    @property
    def splits(self) -> dict[str, int]:
        """Split -> records, "" for those without one; nothing if there is no such column."""
        return {name: group["records"] for name, group in self.stats.get("by_split", {}).items()}

    @property
    def summary(self) -> str:
        """The set in a sentence."""
        stats, codes = self.stats, list(self.stats["by_language"])
        pictures = f"{stats['images']:,} pictures"
        if not codes:
            return f"{pictures} without texts."
        texts = f"{stats['records'] - stats['without_text']:,} texts" + (f" about {pictures}" if stats["images"] else "")
        return f"{texts} in {len(codes)} languages ({', '.join(codes)})." if len(codes) > 1 else f"{texts} in {codes[0]}."


def gather(records: Records, progress: Progress | None = None) -> Facts:
    """Read a record set once.

    Args:
        records: the set.
        progress: called with (records read, records).
    """
    names = records.schema.names
    licence = next((name for name in LICENCE_COLUMNS if name in names), "")
    by = [name for name in (licence, CATEGORY) if name in names]
    stats = describe_records(records, by=by, progress=progress)
    return Facts(records, stats, _pictures(records), licence, read_report(records.folder))


def _pictures(records: Records) -> Pictures:
    found = Pictures()
    folder = records.folder.resolve()
    images = pa.chunked_array(records.images()["image"]).unique().to_pylist()
    for image in images:
        if is_url(image):
            found.urls += 1
            continue
        path = PurePath(records.place_of(image))
        if path.is_relative_to(folder):
            found.inside += 1
            found.folders.add(path.relative_to(folder).parts[0])
            found.suffixes[path.suffix.lower()] += 1
        else:
            found.outside += 1
    return found


def public(value: Any) -> Any:
    """A value of a manifest without the folders in which files lay on the machine that made it."""
    if isinstance(value, dict):
        return {public(key): public(item) for key, item in value.items()}
    if isinstance(value, list):
        return [public(item) for item in value]
    if isinstance(value, str) and (found := _PATH.fullmatch(value)):
        name = re.split(r"[/\\]", found["path"].rstrip("/\\"))[-1]
        return f"{found['before']}.../{name}"
    return value
