"""Candidates: every text that a page offers for a picture, before anything is judged."""

from __future__ import annotations

from dataclasses import dataclass

PROVENANCES = ("alt", "title", "figcaption", "opengraph", "json-ld")
"""Where a text may stand: `title` is the attribute of an img, `opengraph` is og:image:alt or og:title."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One text about one picture of one page.

    Attributes:
        page: address of the page.
        site: its host.
        image: address of the picture, absolute and without a fragment; or a `data:` URI.
        text: as the page has it: entities decoded once, white space collapsed and trimmed, nothing else changed.
        provenance: where on the page it stands, in document order, of `PROVENANCES`.
        lang: canonical code of the declared language, "" if there is none or nobody knows it.
        licence: hints at it, addresses or texts as found, joined by "; ".
        page_title: of the page.
        date: of the page, as its source tells it.
        declared_size: width and height by the page, pixels.
        where: the page's place in its source.
    """

    page: str
    site: str
    image: str
    text: str
    provenance: tuple[str, ...]
    lang: str = ""
    licence: str = ""
    page_title: str = ""
    date: str = ""
    declared_size: tuple[int, int] | None = None
    where: str = ""
