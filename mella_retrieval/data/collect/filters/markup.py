"""The filter `markup`: addresses, HTML, templates, style sheets and scripts where a text should be."""

from __future__ import annotations

import html.entities
import re

from mella_retrieval.data.collect.filters.step import KEEP, Filter, Nothing, Subject, Verdict, remove, shown

_CODES = "caption|gallery|img|image|url|quote|embed|video|audio|youtube|button|center|size|color|b|i|u|code|list|table|more"
_RESIDUE: dict[str, re.Pattern[str]] = {
    "an address": re.compile(r"\b(?:https?|ftp)://|\bwww\.[\w-]+\.\w|\bjavascript:|\bdata:image/", re.I),
    "a tag": re.compile(
        r"</?[a-z][a-z0-9]*(?:\s+[a-z-]+\s*=|\s*/?>)|<!--|-->|<\?|<!\[CDATA\[|\b(?:src|href|class|alt)=[\"']", re.I
    ),
    "an encoded character": re.compile(r"%20|(?:%[0-9A-F]{2}){2,}|\\u[0-9a-f]{4}|\\x[0-9a-f]{2}|\\[nrt](?![a-z])", re.I),
    "a template": re.compile(r"\{\{|\}\}|\{%|%\}|<%|%>|\$\{|#\{|\{\d+\}|\{[a-z][\w.]*\}|%%?[A-Za-z_]+%%?|\[\[|\]\]", re.I),
    "a shortcode": re.compile(rf"\[/?[a-z][\w-]*(?:\s+[\w-]+=[^\]]*)\]|\[/?(?:{_CODES})(?:=[^\]]*)?\]|\[/[a-z][\w-]*\]", re.I),
    "Markdown": re.compile(r"!?\[[^\]]*\]\([^)]*\)|\*\*[^*]+\*\*"),
    "a script": re.compile(
        r"\bfunction\s*\w*\s*\(|\b(?:document|window|console)\.\w+|=>\s*\{|\bvar\s+\w+\s*=|\breturn\s+(?:false|true)\b|"
        r"\[object \w+\]|\(\)\s*;"
    ),
    "a style": re.compile(
        r"[{;]\s*[a-z-]+\s*:[^;{}]*[;}]|\b(?:width|height|margin|padding|font-size|font-family|background|color|display|"
        r"text-align|border|float|opacity)\s*:\s*[^;\s][^;]{0,40};|!important|@media\b",
        re.I,
    ),
    "nothing but a value": re.compile(r"^\W*(?:undefined|null|NaN|none|true|false)\W*$", re.I),
}
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});", re.I)


class Markup(Filter[Nothing]):
    """What a person wrote has no tags, entities, percent codes or placeholders left in it."""

    def judge(self, subject: Subject) -> Verdict:
        """No scores."""
        text = subject.text
        for entity in _ENTITY.finditer(text):
            if entity[0][1] == "#" or entity[0][1:] in html.entities.html5:
                return remove(f"an entity: {entity[0]}")
        for what, pattern in _RESIDUE.items():
            if found := pattern.search(text):
                return remove(f"{what}: {shown(found[0])}")
        return KEEP
