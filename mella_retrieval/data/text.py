"""Checks of one record: what is refused, what is kept with a warning, and nothing altered that the user did not ask for.

Texts are stored as they came: neither normalised (NFC and NFD both stay) nor trimmed.
"""

from __future__ import annotations

import functools
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from mella_retrieval import languages
from mella_retrieval.data.records import RawRecord, Rejected, is_url
from mella_retrieval.errors import DataError
from mella_retrieval.recipes import Strict

LONG = 10_000
EXCERPT = 120

_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# None of these is printable, and `str.isprintable` is faster than a search: texts without line ends are not searched at all.
_SUSPECT = re.compile(f"{_BIDI.pattern}|{_FORBIDDEN.pattern}")
_FORBIDDEN_IN_NAMES = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# Spaces and characters without a glyph: a text of these alone shows nothing. U+3164 and U+FFA0 are the Hangul fillers.
_VISIBLE = re.compile(
    "[^\\s\x00-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0]"
)


class ImportOptions(Strict):
    """What an import refuses or changes beyond what can never be stored.

    Attributes:
        check_images: refuse records whose picture is listed but is not on the disk (URLs cannot be checked).
        control_characters: what becomes of a text with control characters (NUL, backspace ...; tab and line ends are none):
            "auto" rejects it, except in formats of test sets, which must not shrink; "remove" keeps the rest of the text.
        strip_bidi: remove bidirectional control characters from the texts instead of only counting them.
        max_chars: refuse longer texts; without it they are kept, with a warning from 10,000 characters on.
        duplicates: what becomes of a second record with the same image_id, lang and text; "auto" rejects it, except in
            formats of test sets, which must not shrink.
        copy_images: copy the picture files into the records folder, so that it can be moved alone.
        text_only: accept texts without image_id and picture: a corpus, for methods that learn from text alone.
    """

    check_images: bool = False
    control_characters: Literal["auto", "reject", "remove", "keep"] = "auto"
    strip_bidi: bool = False
    max_chars: int | None = Field(default=None, ge=1)
    duplicates: Literal["auto", "reject", "keep"] = "auto"
    copy_images: bool = False
    text_only: bool = False


@dataclass(slots=True)
class Checked:
    """A record that passed, with its text and language as they will be stored, and the warnings that it gave.

    `encoded` is the text in UTF-8 and `digest` its SHA-256: long texts are turned into bytes once.
    """

    raw: RawRecord
    image_id: str
    text: str
    lang: str
    text_id: str
    warnings: tuple[str, ...] = ()
    encoded: bytes = b""
    digest: str = ""


def excerpt(value: object, length: int = EXCERPT) -> str:
    """The beginning of a value, fit for a report file in UTF-8: control characters and lone surrogates are escaped."""
    text = str(value)[:length]
    return _FORBIDDEN_IN_NAMES.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def check_record(raw: RawRecord, options: ImportOptions, image_root: Path) -> Checked | Rejected:
    """Check one record by itself (repeats are found by the writer). `image_root` is the folder of relative image paths."""
    corpus = options.text_only and raw.image_id == raw.image == ""
    reason = None if corpus else _bad_name("image_id", raw.image_id) or _bad_image(raw.image, options, image_root)
    if reason is None and raw.text_id:
        reason = _bad_name("text_id", raw.text_id)
    if reason is None and raw.source:
        reason = _bad_name("source", raw.source)
    reason = reason or _bad_extras(raw)
    if reason is not None:
        return Rejected(raw.where, reason, excerpt(raw.text or ""))
    if raw.text is None:
        if not raw.image:
            return Rejected(raw.where, "neither text nor picture", excerpt(raw.image_id))
        return Checked(raw, raw.image_id, "", "", raw.text_id or f"{raw.image_id}#image")
    return _check_text(raw, raw.text, options)


def _check_text(raw: RawRecord, text: object, options: ImportOptions) -> Checked | Rejected:
    if not isinstance(text, str):
        return Rejected(raw.where, f"text is not a string: it is of type {type(text).__name__}", excerpt(text))
    warnings: list[str] = []
    suspect = not text.isprintable() and _SUSPECT.search(text) is not None
    if suspect and (found := _FORBIDDEN.search(text)):
        treatment = options.control_characters
        if treatment in ("auto", "reject") or _SURROGATE.search(text):
            return Rejected(raw.where, _forbidden((_SURROGATE.search(text) or found).group(), "text"), excerpt(text))
        warnings.append(f"control characters {'kept' if treatment == 'keep' else 'removed'}")
        text = _FORBIDDEN.sub("", text) if treatment == "remove" else text
    if _VISIBLE.search(text) is None:
        return Rejected(raw.where, "empty text", excerpt(text))
    if suspect and _BIDI.search(text):
        warnings.append("bidirectional control characters " + ("removed" if options.strip_bidi else "kept"))
        text = _BIDI.sub("", text) if options.strip_bidi else text
    if options.max_chars is not None and len(text) > options.max_chars:
        return Rejected(raw.where, f"text longer than {options.max_chars} characters: it has {len(text)}", excerpt(text))
    if len(text) > LONG:
        warnings.append(f"texts of more than {LONG} characters kept")
    if "\ufffd" in text:
        warnings.append("texts with replacement characters (U+FFFD: an earlier conversion lost characters) kept")
    lang, problem = _language(raw.lang) if isinstance(raw.lang, str) else ("", f"language code is not a string: {raw.lang!r}")
    if problem is not None:
        return Rejected(raw.where, problem, excerpt(text))
    if lang != raw.lang:
        warnings.append(f"language code {excerpt(raw.lang)} written as {lang}")
    encoded = text.encode()
    digest = hashlib.sha256(encoded).hexdigest()
    # A derived text_id is the same wherever the record stands, so that additions keep old ids.
    text_id = raw.text_id or f"{raw.image_id}#{lang}#{digest[:16]}"
    return Checked(raw, raw.image_id, text, lang, text_id, tuple(warnings), encoded, digest)


@functools.lru_cache(maxsize=4096)
def _language(code: str) -> tuple[str, str | None]:
    """Canonical code, and the reason for refusing it if there is one."""
    if not code.strip():
        return "", "no language: give a language column, or one code for all rows (lang=hu)"
    try:
        return languages.normalise(code), None
    except DataError as error:
        return "", f"unknown language code: {excerpt(error)}"


def _bad_name(column: str, value: object) -> str | None:
    if not isinstance(value, str):
        return f"{column} is not a string: it is of type {type(value).__name__}"
    if column == "image_id" and not value.strip():
        return "no image_id"
    if not value.isprintable() and (found := _FORBIDDEN_IN_NAMES.search(value)):
        return _forbidden(found.group(), column)
    return None


def _bad_extras(raw: RawRecord) -> str | None:
    for name, value in raw.extras.items():
        if isinstance(value, str) and not value.isascii() and (found := _SURROGATE.search(value)):
            return _forbidden(found.group(), f"column {excerpt(name)}")
    return None


def _bad_image(image: str | bytes, options: ImportOptions, image_root: Path) -> str | None:
    if isinstance(image, bytes):
        return None if image else "picture of zero bytes"
    if reason := _bad_name("image", image):
        return reason
    if not options.check_images or not image or is_url(image):
        return None
    try:
        if (image_root / image).stat().st_size == 0:
            return f"picture of zero bytes: {excerpt(image)}"
    except OSError as error:
        return f"picture not found: {excerpt(image)} ({error.strerror})"
    return None


def _forbidden(character: str, column: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"{column} is not UTF-8: byte 0x{code - 0xDC00:02x} cannot stand where it does"
    if 0xD800 <= code <= 0xDFFF:
        return f"{column} is not valid Unicode: it holds the lone surrogate U+{code:04X}"
    return f"control character in {column}: U+{code:04X}"
