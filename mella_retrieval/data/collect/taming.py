"""HTML that would cost a parser minutes or gigabytes -> HTML of the same content that does not.

What the standard asks of a parser grows with the square of three things: how deep elements stand, how many inline elements stay
open, how many attributes one tag has. Pages for people stay far below the limits here.
"""

from __future__ import annotations

import re

MAX_DEPTH = 512
"""Elements within one another, as in Chromium. What would stand deeper is put beside."""
MAX_REOPENED = 500_000
"""Inline elements that a parser may have to open again and again; the page is cut where there are more."""
MAX_ATTRIBUTES = 1000
"""Of one tag; further ones are dropped."""

_HARMLESS, _HARMLESS_LENGTH = 1000, 20_000  # tags and characters: so few cannot do harm
_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)", re.ASCII)
_ATTRIBUTE = re.compile(r"""[\s/]*+[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>"'][^\s>]*+)?+)?+""", re.ASCII)
_WHOLE_TAG = re.compile(rf"(<[a-zA-Z][^\s/>]*+)(?:{_ATTRIBUTE.pattern})*+", re.ASCII)
_FORMATTING = frozenset(("a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"))
_OF_TABLES = frozenset(("caption", "colgroup", "tbody", "td", "tfoot", "th", "thead", "tr"))
# Elements that hold nothing, or that another one of their kind closes, or of which a page has one: they do not stand deep.
_FLAT = frozenset((
    "html", "head", "body", "title", "base", "link", "meta", "script", "style", "template", "img", "source", "br", "hr", "wbr",
    "area", "col", "embed", "input", "param", "track", "image", "frame", "p", "li", "dt", "dd", "option", "optgroup", "tr",
    "td", "th", "thead", "tbody", "tfoot", "colgroup", "caption", "rt", "rp",
))  # fmt: skip
_PUT_BESIDE = "wbr"  # an element that holds nothing, so that what follows stands beside it


def tamed(html: str) -> tuple[str, str]:
    """HTML that can be parsed, and a note on what was changed ("" if nothing was; counted by the part before the colon)."""
    html, dropped = _with_fewer_attributes(html) if len(html) > _HARMLESS_LENGTH else (html, 0)
    flat, note = _flatter(html) if html.count("<") > _HARMLESS else (html, "")
    return flat, note or (f"hostile page: {dropped} attributes were dropped" if dropped else "")


def _flatter(html: str) -> tuple[str, str]:
    pieces: list[str] = []
    copied = depth = beside = formatting = reopened = moved = 0
    tables: list[tuple[int, int]] = []  # how deep the open tables stand, and how many formatting elements are open around them
    for tag in _TAG.finditer(html):
        end, name = tag[1], tag[2].lower()
        if name in _FORMATTING:
            formatting = max(formatting + (-1 if end else 1), 0)
        elif name in _OF_TABLES and tables:  # closes all that stands in the cell before
            depth, formatting = tables[-1][0], 0
        reopened += formatting
        if reopened > MAX_REOPENED:
            pieces.append(html[copied : tag.start()])
            return "".join(pieces), "hostile page: cut where elements were opened again too often"
        if name in _FLAT:
            continue
        if not end and depth < MAX_DEPTH:
            depth += 1
            if name == "table":
                tables.append((depth, formatting))
        elif end and not beside:
            if name == "table" and tables:
                depth, formatting = tables.pop()
            depth = max(depth - 1, 0)
        else:
            beside += -1 if end else 1
            moved += 1
            pieces += (html[copied : tag.start(2)], _PUT_BESIDE)
            copied = tag.end()
    if not moved:
        return html, ""
    pieces.append(html[copied:])
    return "".join(pieces), f"hostile page: elements deeper than {MAX_DEPTH} were put beside"


def _with_fewer_attributes(html: str) -> tuple[str, int]:
    pieces: list[str] = []
    copied = dropped = 0
    for tag in _WHOLE_TAG.finditer(html):
        if tag.end() - tag.start() < 2 * MAX_ATTRIBUTES:
            continue
        ends = [attribute.end() for attribute in _ATTRIBUTE.finditer(html, tag.end(1), tag.end())]
        if len(ends) > MAX_ATTRIBUTES:
            pieces.append(html[copied : ends[MAX_ATTRIBUTES - 1]])
            copied = tag.end()
            dropped += len(ends) - MAX_ATTRIBUTES
    return "".join(pieces) + html[copied:], dropped
