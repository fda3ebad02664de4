"""A page as a tree: parsed as browsers do (lexbor), with what its elements inherit from those around them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mella_retrieval import languages
from mella_retrieval.data.collect.addresses import is_web, resolved
from mella_retrieval.data.collect.decoding import decode
from mella_retrieval.data.collect.pages import Page
from mella_retrieval.data.collect.taming import tamed
from mella_retrieval.data.extra import data_package
from mella_retrieval.errors import DataError

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

MAX_TITLE = 1000
"""Characters; each candidate of a page has its title."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_UNSEEN = frozenset(("script", "style", "noscript", "template", "textarea", "select", "iframe", "object"))
# Elements that are no part of a line: what stands before and after them are different words.
_BREAKING = frozenset((
    "address", "article", "aside", "blockquote", "br", "center", "dd", "details", "dialog", "div", "dl", "dt", "fieldset",
    "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol",
    "p", "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
))  # fmt: skip


class Document:
    """A parsed page.

    Attributes:
        notes: what is to be said about the page and how it was read; counted by the part before the first colon.
        title: of the page, its beginning if it is longer than `MAX_TITLE`.
    """

    def __init__(self, page: Page) -> None:
        decoded = decode(page.html, page.content_type)
        html, hostile = tamed(decoded.text)
        self._parser = data_package("selectolax.lexbor").LexborHTMLParser(html)
        self._url = self._base = page.url
        self.notes = [*page.notes, *filter(None, (decoded.note, hostile))]
        for base in self.select("base[href]")[:1]:
            address = resolved(page.url, attribute(base, "href"))
            self._base = address if is_web(address) else page.url
        titles = (node for node in self.select("title") if all(above.tag != "svg" for above in ancestors(node)))
        self.title = next((collapsed(node.text())[:MAX_TITLE] for node in titles), "")
        self._lang = self._page_lang(page.language)
        self._langs: dict[int, str] = {}

    def select(self, css: str) -> list[LexborNode]:
        """The elements of a CSS selector, in document order; not those within templates."""
        nodes: list[LexborNode] = self._parser.css(css)
        return nodes

    def resolve(self, value: str) -> str:
        """The absolute address that a value means on this page, "" if it is none that can be fetched."""
        return resolved(self._base, value)

    def picture_address(self, value: str) -> str:
        """The same for a picture, which the page itself is not: `#` and the like mean none."""
        address = self.resolve(value)
        return address if address != self._url else ""

    def lang_of(self, node: LexborNode) -> str:
        """The canonical code of an element's language: of the nearest `lang` around it, else of the page; "" if there is none."""
        lang, passed = self._lang, []
        for around in ancestors(node):
            if around.mem_id in self._langs:
                lang = self._langs[around.mem_id]
                break
            passed.append(around.mem_id)
            if code := _own_lang(around):
                lang = code
                break
        self._langs |= dict.fromkeys(passed, lang)
        return lang

    def _page_lang(self, header: str) -> str:
        metas: dict[str, str] = {}
        for meta in self.select("meta[content]"):
            name = attribute(meta, "http-equiv") or attribute(meta, "property") or attribute(meta, "name")
            metas.setdefault(name.lower(), attribute(meta, "content"))
        declared = (metas.get("content-language", ""), header, metas.get("og:locale", ""))
        return next(filter(None, map(_known, declared)), "")


def attribute(node: LexborNode, name: str) -> str:
    """The value of an attribute, "" if it is empty or absent."""
    return node.attributes.get(name) or ""


def ancestors(node: LexborNode) -> Iterator[LexborNode]:
    """An element and those around it, from within."""
    around: LexborNode | None = node
    while around is not None:
        yield around
        around = around.parent


def text_of(node: LexborNode) -> str:
    """The text that a browser shows of an element, on one line."""
    pieces: list[str] = []
    left: list[LexborNode | str] = [node]
    while left:
        piece = left.pop()
        if isinstance(piece, str):
            pieces.append(piece)
            continue
        tag = piece.tag or ""
        if tag == "-text":
            pieces.append(piece.text_content or "")
        elif tag not in _UNSEEN and not tag.startswith("-"):
            children = list(piece.iter(include_text=True))
            left += [" ", *reversed(children), " "] if tag in _BREAKING else reversed(children)
    return collapsed("".join(pieces))


def collapsed(text: str) -> str:
    """Runs of white space as one space, none at the ends; halves of characters, which no text can hold, as U+FFFD."""
    if _SURROGATE.search(text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return " ".join(text.split())


def _own_lang(node: LexborNode) -> str:
    attributes = node.attributes
    return next(filter(None, (_known(attributes.get(name) or "") for name in ("lang", "xml:lang"))), "")


def _known(code: str) -> str:
    """The canonical code; "" if there is none, several or an unknown one."""
    try:
        return languages.normalise(code.strip()) if code.strip() else ""
    except DataError:
        return ""
