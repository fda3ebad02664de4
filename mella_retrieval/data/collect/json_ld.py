"""Pictures in JSON-LD (schema.org): every ImageObject, however deep it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

Object = Mapping[str, Any]

_OPENING = re.compile(r"(?://|/\*)?[ \t]*(?:<!--|<!\[CDATA\[)[ \t]*(?:\*/)?")
_CLOSING = re.compile(r"(?://|/\*)?[ \t]*(?:-->|\]\]>)[ \t]*(?:\*/)?$")
_LONGEST_CLOSING = 40
_ADDRESSES = ("contentUrl", "url")
_TEXTS = ("caption", "name", "description")


def parsed(script: str) -> Any:
    """The content of a script element, freed from the comment marks that old pages put around it.

    Raises:
        ValueError: it is not JSON.
    """
    text = script.strip()
    if opening := _OPENING.match(text):
        text = text[opening.end() :]
    if closing := _CLOSING.search(text, max(len(text) - _LONGEST_CLOSING, 0)):
        text = text[: closing.start()]
    try:
        return json.loads(text, strict=False)  # line ends within strings are frequent
    except RecursionError:
        raise ValueError("nested too deeply") from None


def objects(value: Any) -> Iterator[tuple[Object, str, bool]]:
    """Each object in a JSON value, in order, with the property that it is the value of and whether nothing stands around it.

    `@graph` and lists do not count as something.
    """
    left: list[tuple[Any, str, bool]] = [(value, "", True)]
    while left:
        value, name, outermost = left.pop()
        if isinstance(value, list):
            left += [(item, name, outermost) for item in reversed(value)]
        elif isinstance(value, dict):
            yield value, name, outermost
            left += [(inner, key, outermost and key == "@graph") for key, inner in reversed(value.items())]


def is_image(described: Object, name: str) -> bool:
    """Whether an object is a picture: by its type, or without one by the property that it is the value of."""
    types = strings(described.get("@type"))
    if types:
        return any(re.split("[/#:]", kind)[-1] == "ImageObject" for kind in types)
    return name == "image" and any(key in described for key in _ADDRESSES)


def address_in(described: Object) -> str:
    """The address of a picture's file, as it stands there, "" if there is none."""
    return next((text for key in _ADDRESSES for text in strings(described.get(key)) if text.strip()), "")


def texts_in(described: Object) -> list[str]:
    """What is said about a picture, as it stands there."""
    return [text for key in _TEXTS for text in strings(described.get(key))]


def size_in(described: Object) -> tuple[str, str]:
    """Width and height, as they stand there."""
    width, height = (next(iter(strings(described.get(key))), "") for key in ("width", "height"))
    return width, height


def strings(value: Any) -> list[str]:
    """The texts that a value of JSON-LD stands for: itself, those in a list, the value or address of an object."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [str(value)]
    if isinstance(value, list):
        return [text for item in value if not isinstance(item, list) for text in strings(item)]
    if isinstance(value, dict):
        return next(
            ([found] for key in ("@value", "url", "@id", "name", "value") if isinstance(found := value.get(key), str)), []
        )
    return []
