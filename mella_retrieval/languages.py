"""The one table of language codes: ISO 639-1/-3, FLORES-200, XM3600, XTD10, CLDR and BCP-47 map to one another.

The table is `languages.csv` beside this file. Its columns and where they come from:

- `code`: what records carry; the XM3600 form where XM3600 has the language, else ISO 639-1, else ISO 639-3. A script
  other than the language's usual one is part of it (`sr-Latn`, `zh-Hant`). Every code is a valid BCP-47 tag.
- `iso639_1`, `iso639_3`: ISO 639; the macrolanguage where ISO 639-1 names one (`ara`, `zho`, `msa`).
- `flores`: the FLORES-200 code, all 204 of its list.
- `name`: English. `script`: ISO 15924, after CLDR's likely subtags (`Zyyy`: no usual script).
- `resource_class`: 0 (left-behinds) to 5 (winners) of Joshi et al. 2020, from the list published with the paper; empty
  where it lacks the language or names it twice with different classes. Two scripts of a language share its class.
- `aliases`: other codes in use: individual members of a macrolanguage, ISO 639-2/B, withdrawn codes, XTD10's `jp`.
"""

from __future__ import annotations

import csv
import difflib
import re
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib.resources import files

from mella_retrieval.errors import DataError

MELLA = ("ar", "cs", "hu", "ko", "ru", "sr", "th", "vi")
UCLIP = ("cs", "fi", "hr", "hu", "ro")
XTD10 = ("de", "en", "es", "fr", "it", "ja", "ko", "pl", "ru", "tr", "zh")
XM3600 = (
    "ar", "bn", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fil", "fr", "he", "hi", "hr", "hu", "id", "it",
    "ja", "ko", "mi", "nl", "no", "pl", "pt", "quz", "ro", "ru", "sv", "sw", "te", "th", "tr", "uk", "vi", "zh",
)  # fmt: skip

_RIGHT_TO_LEFT = frozenset({"Arab", "Avst", "Hebr", "Thaa"})

# Where a region alone implies a script that is not the language's usual one (CLDR, likely subtags).
_SCRIPT_OF_REGION = {
    "az-iq": "Arab", "az-ir": "Arab", "kk-cn": "Arab", "ky-cn": "Arab", "mn-cn": "Mong", "pa-pk": "Arab",
    "sr-me": "Latn", "tg-pk": "Arab", "ug-kz": "Cyrl", "uz-af": "Arab", "yue-cn": "Hans",
    "zh-hk": "Hant", "zh-mo": "Hant", "zh-tw": "Hant",
}  # fmt: skip

# RFC 5646: language, script, region, then variants, extensions and private use, which are dropped. Only common variants
# are accepted, so that a script written out (`ace_Arabic`) is refused instead of dropped.
_TAG = re.compile(
    r"(?P<language>[a-z]{2,3})(?:-(?P<script>[a-z]{4}))?(?:-(?P<region>[a-z]{2}|\d{3}))?"
    r"(?:-(?:\d[a-z0-9]{3}|ekavsk|ijekavsk|monoton|oxendict|polyton|scotland|tarask|valencia))*"
    r"(?:-[a-wyz0-9](?:-[a-z0-9]{2,8})+)*(?:-x(?:-[a-z0-9]{1,8})+)?"
)


@dataclass(frozen=True, slots=True)
class Language:
    """One language in one script; see the module's docstring for the fields. Empty strings: there is no such code."""

    code: str
    iso639_1: str
    iso639_3: str
    flores: str
    name: str
    script: str
    resource_class: int | None
    aliases: tuple[str, ...]

    @property
    def rtl(self) -> bool:
        """Whether the script is written from right to left."""
        return self.script in _RIGHT_TO_LEFT


@cache
def known() -> tuple[Language, ...]:
    """Every row of the table, sorted by code."""
    lines = (files("mella_retrieval") / "languages.csv").read_text(encoding="utf-8").splitlines()
    return tuple(_language(row) for row in csv.DictReader(lines))


def get(code: str) -> Language:
    """The language that `code` names, in any of the standards above; case and `_` or `-` do not matter.

    Regions and variants are dropped (`pt-BR` is `pt`) after a region has told the script (`zh-TW` is `zh-Hant`). A
    language in a script that has no row of its own keeps the script (`hi-Latn`): to a tokenizer it is other text.

    Raises:
        DataError: no such language; the nearest known one is named.
    """
    language = _find(code) if isinstance(code, str) else None
    if language is None:
        raise DataError(_unknown(str(code)))
    return language


def normalise(code: str) -> str:
    """The canonical code of a language, as records carry it; raises as `get` does."""
    return get(code).code


def _language(row: dict[str, str]) -> Language:
    resource_class = int(row["resource_class"]) if row["resource_class"] else None
    aliases = tuple(row["aliases"].split())
    return Language(
        code=row["code"],
        iso639_1=row["iso639_1"],
        iso639_3=row["iso639_3"],
        flores=row["flores"],
        name=row["name"],
        script=row["script"],
        resource_class=resource_class,
        aliases=aliases,
    )


def _key(code: str) -> str:
    return code.strip().replace("_", "-").lower()


@cache
def _table() -> dict[str, Language]:
    table: dict[str, Language] = {}
    for language in known():
        codes = [language.code, language.flores, *language.aliases]
        if "-" not in language.code:  # `srp` is Serbian in its usual script, not one of its other scripts
            codes.append(language.iso639_3)
        for code in filter(None, codes):
            other = table.setdefault(_key(code), language)
            if other is not language:
                raise ValueError(f"languages.csv gives the code {code!r} to {other.code} and to {language.code}")
    return table


@lru_cache(maxsize=4096)  # once per distinct spelling, not once per record
def _find(code: str) -> Language | None:
    table, key = _table(), _key(code)
    if key in table:
        return table[key]
    tag = _TAG.fullmatch(key)
    if tag is None or tag["language"] not in table:
        return None
    language = table[tag["language"]]
    stem = language.code.partition("-")[0].lower()
    script = tag["script"] or _SCRIPT_OF_REGION.get(f"{stem}-{tag['region']}", "")
    return _in_script(language, stem, script.title()) if script else language


def _in_script(language: Language, stem: str, script: str) -> Language | None:
    table = _table()
    row = table.get(f"{stem}-{script}".lower())
    if row is not None:
        return row
    usual = table[stem]
    if script == usual.script:
        return usual
    if script not in {other.script for other in known()}:
        return None
    name = f"{usual.name} ({script})"
    return replace(usual, code=f"{stem}-{script}", flores="", name=name, script=script, aliases=())


@lru_cache(maxsize=4096)  # a column of a million wrong codes must not cost a million searches
def _unknown(code: str) -> str:
    by_spelling = {language.name.lower(): language for language in known()} | _table()
    key = _key(code)
    same_initial = [spelling for spelling in by_spelling if spelling[0] == key[:1]]
    near = difflib.get_close_matches(key, same_initial or by_spelling, n=1, cutoff=0.5)
    hint = f" Did you mean {by_spelling[near[0]].code!r} ({by_spelling[near[0]].name})?" if near else ""
    return f"{code!r} is not a known language code.{hint} Use ISO 639, FLORES-200 or BCP-47: 'hu', 'hun', 'hun_Latn'."
