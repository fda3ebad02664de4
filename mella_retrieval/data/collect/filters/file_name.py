"""The filter `file-name`: names of files and counters of cameras instead of a text."""

from __future__ import annotations

import re

from mella_retrieval.data.collect.filters.step import KEEP, Filter, Nothing, Subject, Verdict, remove, shown

_ENDING = re.compile(r"\.(?:jpe?g|jpe|jfif|png|gif|webp|avif|svg|bmp|tiff?|heic|psd|ai|eps|cr2|nef|mp4|mov|pdf|docx?)\W*$", re.I)

# What cameras, telephones and programs call their files: a prefix, then a number.
_COUNTER = re.compile(
    r"^(?:_?(?:IMG|MG|DSC[NF]?|DSCF|DCIM|PICT|PIC|CIMG|HPIM|SAM|SANY|GOPR|DJI|MVI|MVIMG|PXL|PANO|BURST|SDC|KIF|FB_IMG|RIMG|VID|CRW)"
    r"[-_ ]?(?:[A-Z]{2,3}[-_])?\d|P\d{7}\b|P10\d{5}\b)",
    re.I,
)
_CAPTURE = re.compile(
    r"^(?:screen[ _-]?shot|screen[ _-]?capture|whatsapp[ _-]?(?:image|video)|photo|image|scan(?:ned)?|picture|video|signal|"
    r"snímek obrazovky|képernyőfotó|képernyőkép|скриншот|снимок экрана|снимак екрана|스크린샷|لقطة شاشة|ภาพหน้าจอ|"
    r"ảnh chụp màn hình)[ _-]*(?:from|at|on|em|z|s)?[ _-]*\(?\d{4}[-_.]?\d{2}[-_.]?\d{2}",
    re.I,
)
_GENERIC = (
    r"(?:image|img|photo|foto|fotó|pic|picture|kép|obr|obrazek|obrázek|slika|слика|фото|фотография|картинка|изображение|"
    r"snimek|snímek|사진|이미지|صورة|ภาพ|รูป|รูปภาพ|ảnh|hinh|anh|scan|screenshot|banner|slide|slider|header|footer|thumb|"
    r"thumbnail|untitled|unnamed|noname|download|file|copy|final|cover|icon|logo|bg|background|hero|gallery|galerie|galeria)"
)
# `\w` has `_` and `x`, too: a pattern that can part `a_a_a` in several ways takes for ever over a long one that does not match.
_NUMBERED = re.compile(rf"^{_GENERIC}[-_.]?\d+(?:[-_.x]\w+(?:[-.]\w+)*)?$|^\d+[-_]{_GENERIC}(?:[-_]\w+(?:-\w+)*)?$", re.I)
_HASH = re.compile(r"^(?=.*\d)(?=.*[a-f])[0-9a-f]{12,}$|^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.I)
_NUMBERS = re.compile(r"^\d+(?:[-_.x]\d+)+$|^\d{5,}$")
_JOINED = re.compile(r"^\w+_\w+(?:[-_]?\(?\d+\)?)?$")
_SLUG = re.compile(r"^[a-z0-9]+(?:-[a-z0-9]+){3,}$|^(?=.*\d)[a-z0-9]+(?:-[a-z0-9]+)+$")


class FileName(Filter[Nothing]):
    """A text that ends as files do (`.jpg`), begins as cameras count (`IMG_2034`), or is one piece of words joined by `_` or `-`.

    Names of things with a number (`MiG-29`, `COVID-19`) and hyphenated words are none: a slug is lower-case ASCII and has a
    number or three hyphens.
    """

    def judge(self, subject: Subject) -> Verdict:
        """No scores."""
        text = subject.text.strip().strip("\"'()[]")
        whole = (_ENDING, _COUNTER, _CAPTURE)
        alone = (_NUMBERED, _HASH, _NUMBERS, _JOINED, _SLUG)
        found = any(pattern.search(text) for pattern in whole) or (" " not in text and any(p.match(text) for p in alone))
        return remove(shown(text)) if found else KEEP
