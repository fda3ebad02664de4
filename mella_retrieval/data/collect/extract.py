"""Every text that a page offers for its pictures.

Order is that of the document. A caption of a figure with several pictures is given to the first of them: it was written for all
together, and given to each it would be said of pictures that it does not describe.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from mella_retrieval.data.collect import json_ld
from mella_retrieval.data.collect.addresses import host_of
from mella_retrieval.data.collect.candidates import Candidate
from mella_retrieval.data.collect.document import Document, ancestors, attribute, collapsed, text_of
from mella_retrieval.data.collect.licences import joined, licences_of_figures, licences_of_object, licences_of_page
from mella_retrieval.data.collect.open_graph import OpenGraphImage, images
from mella_retrieval.data.collect.pages import Page
from mella_retrieval.data.collect.picture_address import has_stand_in, is_lazy, real_address

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

MAX_PICTURES = 10_000
"""Of a page; no page for people has as many."""

_PIXELS = re.compile(r"\s*(\d{1,6})(?:\.\d*)?\s*(?:px)?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Extracted:
    """What a page gave.

    Attributes:
        candidates: in document order, head first.
        notes: what is to be said about the page; counted by the part before the first colon.
    """

    candidates: list[Candidate]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Shown:
    """A picture at one place of a page.

    Attributes:
        image: its address, "" where none is known.
        texts: provenance, text and language of each.
        waits: it has no address of its own, a script is to give it one.
        lazy: it has one that only a script reads.
    """

    image: str
    texts: list[tuple[str, str, str]]
    size: tuple[int, int] | None = None
    licences: list[str] = field(default_factory=list)
    waits: bool = False
    lazy: bool = False


def candidates_of(page: Page) -> list[Candidate]:
    """The candidates of a page; never fails, whatever the page is."""
    return extract(page).candidates


def extract(page: Page) -> Extracted:
    """The candidates of a page, with notes; never fails, whatever the page is.

    The same text for the same picture is one candidate with all its provenances.
    """
    document = Document(page)
    reader = _Reader(document)
    pictures = reader.pictures()
    shown = list(islice(pictures, MAX_PICTURES))
    if next(pictures, None) is not None:
        reader.notes.append(f"hostile page: only its first {MAX_PICTURES} pictures were read")
    hints = joined([*licences_of_page(document), *reader.page_licences])
    own: dict[str, list[str]] = {}
    for picture in shown:
        own.setdefault(picture.image, []).extend(picture.licences)
    merged: dict[tuple[str, str], list[tuple[str, str, _Shown]]] = {}
    for picture in shown:
        for provenance, text, lang in picture.texts:
            if picture.image and text:
                merged.setdefault((picture.image, text), []).append((provenance, lang, picture))
    candidates = [
        Candidate(
            page=page.url,
            site=host_of(page.url),
            image=image,
            text=text,
            provenance=tuple(dict.fromkeys(provenance for provenance, _, _ in places)),
            lang=next((lang for _, lang, _ in places if lang), ""),
            licence=joined(own[image]) or hints,
            page_title=document.title,
            date=page.date,
            declared_size=next((picture.size for _, _, picture in places if picture.size), None),
            where=page.where,
        )
        for (image, text), places in merged.items()
    ]
    lost = sum(not picture.image and any(text for _, text, _ in picture.texts) for picture in shown)
    notes = [*document.notes, *reader.notes, *([f"pictures without an address: {lost} have texts"] if lost else [])]
    return Extracted(candidates, tuple(notes))


class _Reader:
    """Goes through a document once.

    Attributes:
        notes: on what could not be read.
        page_licences: what its JSON-LD says about the page.
    """

    def __init__(self, document: Document) -> None:
        self.notes: list[str] = []
        self.page_licences: list[str] = []
        self._document = document
        self._open_graph = self._read_open_graph()
        self._captions: dict[int, LexborNode] = {}
        for caption in document.select("figcaption"):
            figure = next((node for node in ancestors(caption) if node.tag == "figure"), None)
            if figure is not None:
                self._captions.setdefault(figure.mem_id, caption)
        self._licences = licences_of_figures(document)
        self._last: _Shown | None = None

    def pictures(self) -> Iterator[_Shown]:
        """The pictures in document order; what comes later may still change one."""
        for node in self._document.select("meta, script, img, amp-img"):
            if node.tag == "meta":
                if node.mem_id in self._open_graph:
                    yield self._of_open_graph(node, self._open_graph[node.mem_id])
            elif node.tag == "script":
                if attribute(node, "type").partition(";")[0].strip().lower() == "application/ld+json":
                    yield from self._in_script(node)
            elif (picture := self._of_image(node)) is not None:
                yield picture

    def _read_open_graph(self) -> dict[int, OpenGraphImage]:
        metas = self._document.select("meta[content]")
        names = [(attribute(meta, "property") or attribute(meta, "name")).strip().lower() for meta in metas]
        properties = [(name, attribute(meta, "content")) for name, meta in zip(names, metas, strict=True)]
        return {metas[image.at].mem_id: image for image in images(properties, self._document.picture_address)}

    def _of_open_graph(self, node: LexborNode, image: OpenGraphImage) -> _Shown:
        texts = [("opengraph", collapsed(image.alt), self._document.lang_of(node))]
        return _Shown(image.address, texts, _size(image.width, image.height))

    def _in_script(self, node: LexborNode) -> Iterator[_Shown]:
        try:
            value = json_ld.parsed(node.text())
        except ValueError as error:
            self.notes.append(f"broken JSON-LD: {error}")
            return
        lang = self._document.lang_of(node)
        for described, name, outermost in json_ld.objects(value):
            hints = licences_of_object(described)
            if json_ld.is_image(described, name):
                image = self._document.picture_address(json_ld.address_in(described))
                texts = [("json-ld", collapsed(text), lang) for text in json_ld.texts_in(described)]
                yield _Shown(image, texts, _size(*json_ld.size_in(described)), hints)
            elif outermost:
                self.page_licences += hints

    def _of_image(self, node: LexborNode) -> _Shown | None:
        """A picture in the body; None if it only repeats the one before for browsers without scripts."""
        attributes, lang = node.attributes, self._document.lang_of(node)
        above = [around for around in ancestors(node) if around.is_element_node]
        tags = [around.tag for around in above]
        figure = next((around for around in above if around.tag == "figure"), None)
        picture = _Shown(
            image=real_address(attributes, _sources(node), self._document.picture_address),
            texts=[(name, collapsed(attributes.get(name) or ""), lang) for name in ("alt", "title")],
            size=_size(attribute(node, "width"), attribute(node, "height")),
            licences=self._licences.get(figure.mem_id, []) if figure is not None else [],
            waits=has_stand_in(attributes),
            lazy=is_lazy(attributes),
        )
        if "noscript" in tags:
            if self._repeats(picture):
                return None
        else:
            self._last = picture
        if (caption := self._take_caption(above)) is not None:
            picture.texts.append(("figcaption", text_of(caption), self._document.lang_of(caption)))
        return picture

    def _repeats(self, picture: _Shown) -> bool:
        """Whether a picture within `noscript` is the lazy one before it, which then learns its address."""
        last = self._last
        texts = {text for _, text, _ in picture.texts if text}  # without a text it may be a tracker as well
        if last is None or not (last.lazy or last.waits) or not texts or not texts <= {text for _, text, _ in last.texts}:
            return False
        if last.waits or not last.image:
            last.image = picture.image
        self._last = None
        return True

    def _take_caption(self, above: list[LexborNode]) -> LexborNode | None:
        """The caption of the nearest figure that has one, if no picture before has taken it."""
        for around in above:
            if around.tag == "figcaption":  # a picture in a caption is not what it is about
                return None
            if around.mem_id in self._captions:
                return self._captions.pop(around.mem_id)
        return None


def _sources(image: LexborNode) -> list[dict[str, str | None]]:
    """The attributes of the `source` elements before an image in its `picture`."""
    found: list[dict[str, str | None]] = []
    before = image.prev if image.parent is not None and image.parent.tag == "picture" else None
    while before is not None and before.tag != "img":
        if before.tag == "source":
            found.append(before.attributes)
        before = before.prev
    return found[::-1]


def _size(width: str, height: str) -> tuple[int, int] | None:
    """Pixels, if both are told in pixels."""
    numbers = [_PIXELS.fullmatch(value) for value in (width, height)]
    return (int(numbers[0][1]), int(numbers[1][1])) if numbers[0] and numbers[1] else None
