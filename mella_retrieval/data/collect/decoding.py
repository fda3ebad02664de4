"""Bytes of a page -> text, as browsers do, and better where a page lies about its charset.

The byte order mark decides, then the header Content-Type, then the page's own declaration, with the meanings that the WHATWG
Encoding Standard gives to labels (`iso-8859-1` is windows-1252). What is valid UTF-8 is UTF-8 whatever is declared; a declared
charset in which the bytes are far less likely text than in another gives way to it; without a declaration the likeliest is taken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mella_retrieval.data.collect.charsets import LABELS, NAMES, likeliest, log_likelihood
from mella_retrieval.data.extra import data_package

_HEAD = 4096
_SAMPLE = 1 << 16
_LABEL = re.compile(rb"""((?:charset|encoding)\s*+=\s*+["']?\s*+)([\w-]++)""", re.IGNORECASE)
_WIDE = ("utf-16-le", "utf-16-be")
_ESCAPING = "iso2022_jp"

# How far the declared charset must be behind before it is called wrong: as a whole, and for each byte beyond ASCII.
_BEHIND, _BEHIND_PER_BYTE = 10.0, 0.25


@dataclass(frozen=True, slots=True)
class Decoded:
    """A page as text.

    Attributes:
        text: with U+FFFD for what cannot be decoded.
        charset: its name in the Encoding Standard.
        note: what was wrong with the declaration or the bytes, "" if nothing; counted by the part before the first colon.
    """

    text: str
    charset: str
    note: str = ""


def decode(html: bytes, content_type: str = "") -> Decoded:
    """Decode a page; never fails.

    Args:
        html: the page.
        content_type: the header, "" if there is none.
    """
    encoding = data_package("w3lib.encoding")
    marked, mark = encoding.read_bom(html)
    if marked is not None:
        return Decoded(html[len(mark) :].decode(marked, "replace"), NAMES.get(marked, marked))
    declared = _declared(html, content_type)
    chosen, note = _chosen(html, declared)
    text = encoding.to_unicode(html, chosen)
    if not note and "\ufffd" in text and b"\xef\xbf\xbd" not in html:
        note = f"damaged bytes: not all are {NAMES[chosen]}"
    return Decoded(text, NAMES[chosen], note)


def _declared(html: bytes, content_type: str) -> list[str]:
    """The codecs that the header and the page name, as far as they are charsets and possible."""
    encoding = data_package("w3lib.encoding")
    header = _LABEL.sub(_known_label, content_type.encode("ascii", "replace")).decode()
    head = _LABEL.sub(_known_label, html[:_HEAD])
    named = [encoding.http_content_type_encoding(header), encoding.html_body_declared_encoding(head)]
    if named[1] in {*_WIDE, "utf-16"}:  # what could be read as ASCII is not UTF-16
        named[1] = "utf-8"
    codecs = ["utf-16-le" if codec == "utf-16" else codec for codec in named]
    return [codec for codec in dict.fromkeys(codecs) if codec in NAMES and _possible(html, codec)]


def _known_label(found: re.Match[bytes]) -> bytes:
    """A label that w3lib does not know in one that it does."""
    label = found[2].decode()
    return found[1] + LABELS.get(label.lower(), label).encode()


def _possible(html: bytes, codec: str) -> bool:
    if codec in _WIDE:
        return b"\0" in html[:_HEAD]
    return codec != _ESCAPING or b"\x1b" in html


def _chosen(html: bytes, declared: list[str]) -> tuple[str, str]:
    """The codec, and a note if it is not the first that is declared."""
    first = declared[0] if declared else ""
    if first in _WIDE or first == _ESCAPING:
        return first, ""
    if html.isascii():
        return first or "utf-8", ""
    if _is_utf8(html):
        return "utf-8", _note(first, "utf-8")
    sample = b"<".join(part for part in html.split(b"<") if not part.isascii())[:_SAMPLE]
    best, likelihood = likeliest(sample)
    beyond = len(sample) - len(sample.translate(None, _BEYOND))
    margin = max(_BEHIND, _BEHIND_PER_BYTE * beyond)
    for codec in declared:
        if codec != "utf-8" and log_likelihood(sample, codec) >= likelihood - margin:
            return codec, _note(first, codec)
    return best, _note(first, best)


_BEYOND = bytes(range(128, 256))


def _is_utf8(html: bytes) -> bool:
    """Whether bytes beyond ASCII are UTF-8: hardly ever by chance, so that a few broken characters do not matter."""
    try:
        html.decode()
    except UnicodeDecodeError:
        text = html.decode("utf-8", "replace")
        broken = text.count("\ufffd")
        return len(text) - len(text.encode("ascii", "ignore")) - broken > 3 * broken
    return True


def _note(declared: str, read: str) -> str:
    if not declared:
        return "" if read == "utf-8" else f"no charset declared: read as {NAMES[read]}"
    return "" if read == declared else f"wrong charset: declared {NAMES[declared]}, read as {NAMES[read]}"
