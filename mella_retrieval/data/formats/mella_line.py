"""One line of MELLA: what it says, and the plain columns that its further fields become."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

from mella_retrieval.data.formats.captions import shown
from mella_retrieval.data.records import Rejected

CATEGORIES = {"文化类": "culture", "场景类": "scene", "综合类": "general"}
"""The values of level1 that were seen; any other is kept as it is."""

SEPARATOR = "|"
"""Between several categories or topics of one picture."""

OTHER = "other"
"""Column of what stands inside `image`, `captions` and `labels` beyond the schema, as JSON."""

COLUMNS = ("page_url", "data_source", "width", "height", "size_kb", "format", "category", "topic")
"""The columns that the schema's further fields become."""

TOP = frozenset({"img_id", "url", "data_source", "image", "captions", "labels", "text_id"})
_IMAGE = frozenset({"path", "resolution", "size", "format"})
_CAPTIONS = frozenset({"content", "lang"})
_LEVELS = {"level1": "category", "level2": "topic"}
_TAKEN = frozenset({*COLUMNS, OTHER})


class Line(NamedTuple):
    """A line's content; wrong types pass, for the checks of records to refuse them."""

    where: str
    img_id: str
    path: str
    format: str
    text: str
    lang: str
    text_id: str
    extras: dict[str, Any]


def parse_line(where: str, row: Mapping[str, Any]) -> Line | Rejected:
    """Take a line apart."""
    img_id = row.get("img_id")
    if not isinstance(img_id, str):
        return Rejected(where, f"img_id is not a string: {type(img_id).__name__}" if img_id else "no img_id", shown(row))
    extras: dict[str, Any] = {}
    if (url := row.get("url")) is not None:
        extras["page_url"] = url
    if (data_source := row.get("data_source")) is not None:
        extras["data_source"] = data_source
    other: dict[str, Any] = {}
    image, captions = row.get("image"), row.get("captions")
    path, format = _image(image, extras, other) if isinstance(image, dict) else (image, "")
    text, lang = captions, ""
    if isinstance(captions, dict):
        text, lang = captions.get("content"), captions.get("lang") or ""
        _rest(captions, _CAPTIONS, "captions", other)
    if (labels := row.get("labels")) is not None:
        _labels(labels, extras, other)
    for key in row:
        if key not in TOP:
            extras[f"{key}_" if key in _TAKEN else key] = row[key]
    if other:
        extras[OTHER] = other
    text_id = row.get("text_id")
    if text_id is None:
        text_id = ""
    return Line(where, img_id, "" if path is None else path, format, "" if text is None else text, lang, text_id, extras)


def _image(image: Mapping[str, Any], extras: dict[str, Any], other: dict[str, Any]) -> tuple[Any, str]:
    """Path and format; the measures become columns."""
    resolution = image.get("resolution")
    if isinstance(resolution, list) and len(resolution) == 2:
        extras["width"], extras["height"] = resolution
    elif resolution is not None:
        other["image"] = {"resolution": resolution}
    if (size := image.get("size")) is not None:
        extras["size_kb"] = size
    format = image.get("format")
    if format is not None:
        extras["format"] = format
    _rest(image, _IMAGE, "image", other)
    return image.get("path"), format if isinstance(format, str) else ""


def _labels(labels: Any, extras: dict[str, Any], other: dict[str, Any]) -> None:
    """level1 -> category, level2 -> topic."""
    cates = labels.get("pjwk_cates") if isinstance(labels, dict) else None
    if not isinstance(cates, dict):
        other["labels"] = labels
        return
    if len(labels) > 1 or not cates.keys() <= _LEVELS.keys():
        other["labels"] = labels
    for level, column in _LEVELS.items():
        values = cates.get(level)
        names = "" if values is None else _names(values)
        if names is None:
            other["labels"] = labels
        elif names:
            extras[column] = names


def _names(values: Any) -> str | None:
    """The names of a list, or a single one, as one text; None where they are no names."""
    try:
        return _joined(tuple(values) if isinstance(values, list) else (values,))
    except TypeError:  # lists and objects in the list
        return None


@functools.lru_cache(4096)  # few different ones stand in millions of lines
def _joined(names: tuple[Any, ...]) -> str | None:
    if not all(isinstance(name, str) and SEPARATOR not in name for name in names):
        return None
    return SEPARATOR.join(CATEGORIES.get(name, name) for name in names)


def _rest(found: Mapping[str, Any], known: frozenset[str], name: str, other: dict[str, Any]) -> None:
    if not found.keys() <= known:
        other.setdefault(name, {}).update({key: value for key, value in found.items() if key not in known})
