"""Hints at the licence of pictures: what a page says about itself, about a figure, about one picture. They prove nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from mella_retrieval.data.collect.document import Document, ancestors, attribute, collapsed
from mella_retrieval.data.collect.json_ld import strings

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

MAX_HINT = 500
"""Characters of a hint; a longer text is cut."""
MAX_HINTS = 20
"""Of a picture, the first; each candidate has them, and a page may have ten thousand."""

_PROPERTIES = ("license", "copyrightNotice", "acquireLicensePage")
_COMMONS = "creativecommons.org/"


def licences_of_page(document: Document) -> list[str]:
    """What `rel="license"` outside figures leads to: it speaks about the page."""
    links = document.select("a[rel][href], link[rel][href], area[rel][href]")
    addresses = (_address(document, link) for link in links if _is_licence(link) and not any(_figures_around(link)))
    return list(islice(filter(None, addresses), MAX_HINTS))


def licences_of_figures(document: Document) -> Mapping[int, list[str]]:
    """What `rel="license"` in figures leads to, and their links to Creative Commons; by the `mem_id` of each figure."""
    found: dict[int, list[str]] = defaultdict(list)
    for link in document.select("a[href], link[href]"):
        if not _is_licence(link) and _COMMONS not in attribute(link, "href").lower():
            continue
        address = _address(document, link)
        for figure in _figures_around(link) if address else ():
            if len(found[figure.mem_id]) >= MAX_HINTS:  # then the figures around it have as many
                break
            found[figure.mem_id].append(address)
    return found


def licences_of_object(described: Mapping[str, Any]) -> list[str]:
    """What an object of JSON-LD says about its licence."""
    return [text[:MAX_HINT] for name in _PROPERTIES for text in map(collapsed, strings(described.get(name))) if text]


def joined(hints: Iterable[str]) -> str:
    """The first different hints as one text."""
    return "; ".join(islice(dict.fromkeys(hints), MAX_HINTS))


def _is_licence(link: LexborNode) -> bool:
    return "license" in attribute(link, "rel").lower().split()


def _figures_around(link: LexborNode) -> Iterator[LexborNode]:
    return (around for around in ancestors(link) if around.tag == "figure")


def _address(document: Document, link: LexborNode) -> str:
    return document.resolve(attribute(link, "href"))[:MAX_HINT]
