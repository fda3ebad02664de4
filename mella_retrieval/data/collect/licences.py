"""Hints at the licence of pictures: what a page says about itself, about a figure, about one picture. They prove nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mella_retrieval.data.collect.document import Document, ancestors, attribute, collapsed
from mella_retrieval.data.collect.json_ld import strings

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

MAX_HINT = 500
"""Characters of a hint; a longer text is cut."""

_PROPERTIES = ("license", "copyrightNotice", "acquireLicensePage")
_COMMONS = "creativecommons.org/"


def licences_of_page(document: Document) -> list[str]:
    """What `rel="license"` outside figures leads to: it speaks about the page."""
    links = document.select("a[rel][href], link[rel][href], area[rel][href]")
    return _addresses(document, (link for link in links if _is_licence(link) and not _in_figure(link)))


def licences_of_figure(document: Document, figure: LexborNode) -> list[str]:
    """What `rel="license"` in a figure leads to, and its links to Creative Commons."""
    links = figure.css("a[href], link[href]")
    return _addresses(document, (link for link in links if _is_licence(link) or _COMMONS in attribute(link, "href").lower()))


def licences_of_object(described: Mapping[str, Any]) -> list[str]:
    """What an object of JSON-LD says about its licence."""
    return [text[:MAX_HINT] for name in _PROPERTIES for text in map(collapsed, strings(described.get(name))) if text]


def joined(hints: Iterable[str]) -> str:
    """Different hints as one text."""
    return "; ".join(dict.fromkeys(hints))


def _is_licence(link: LexborNode) -> bool:
    return "license" in attribute(link, "rel").lower().split()


def _in_figure(link: LexborNode) -> bool:
    return any(around.tag == "figure" for around in ancestors(link))


def _addresses(document: Document, links: Iterable[LexborNode]) -> list[str]:
    return list(filter(None, (document.resolve(attribute(link, "href"))[:MAX_HINT] for link in links)))
