"""The filter `personal`: e-mail addresses and telephone numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from pydantic import Field

from mella_retrieval.data.collect.filters.step import KEEP, Filter, Subject, Verdict, remove
from mella_retrieval.data.extra import data_package
from mella_retrieval.errors import ConfigError
from mella_retrieval.recipes import Strict

_MAIL = re.compile(
    r"[\w.+-]+\s?(?:[@＠]|[(\[{]\s?(?:at|kukac|zavináč|zavinac|собака|골뱅이)\s?[)\]}])\s?[\w-]+(?:\s?\.\s?[\w-]+)*\s?\.\s?[^\W\d_]{2,}",
    re.I,
)

# Where a language is spoken: the plans of numbers that pages in it use.
_REGIONS: dict[str, tuple[str, ...]] = {
    "ar": ("EG", "SA", "AE", "MA", "DZ", "TN", "IQ", "JO", "LB", "SY", "KW", "QA", "BH", "OM", "YE", "LY", "SD", "PS"),
    "cs": ("CZ",), "en": ("US", "GB", "AU", "IN", "CA"), "hu": ("HU",), "ko": ("KR",), "ru": ("RU", "BY", "KZ"),
    "sr": ("RS", "BA", "ME"), "th": ("TH",), "vi": ("VN",),
}  # fmt: skip
_INTERNATIONAL = re.compile(r"^[(\[]?\s?(?:\+|＋|00\s?[1-9])")
_TELEPHONE = re.compile(
    r"(?:\btel\b|tel\.|telef|telephone|\bphone|\bcall\b|\bfax|mobil|hotline|whatsapp|viber|zalo|kakaotalk|тел\b|тел\.|телеф|моб\b|моб\.|"
    r"звон|факс|позов|هاتف|تلفون|تليفون|الجوال|جوال|موبايل|اتصل|واتساب|للتواصل|للاتصال|전화|휴대폰|연락처|문의|☎|📞|✆|โทร|เบอร์|มือถือ|ติดต่อ|"
    r"điện thoại|đt\b|đ/t|sđt|liên hệ|gọi\b|hívj|hívd|hívás|volej|zavolej)[^\d+]{0,25}$",
    re.I,
)
_MONEY = r"(?:kč|ft\b|huf|czk|eur|usd|rsd|din\b|дин|руб|₽|₫|đồng|đ\b|vnđ|vnd|฿|บาท|원|₩|€|\$|£|сум|درهم|ريال|جنيه|دينار|дол)"
_NO_NUMBER = re.compile(
    r"(?<!\d)[12]\d{3}\s?[-–—/]\s?[12]\d{3}(?!\d)"  # years, of the Buddhist era too
    r"|(?<!\d)(?:0?[1-9]|[12]\d|3[01])\s?[./-]\s?(?:0?[1-9]|1[0-2])\s?[./-]\s?(?:\d{4}|\d{2})(?!\d)"  # dates
    r"|(?<!\d)\d{4}\s?[./-]\s?(?:0?[1-9]|1[0-2])\s?[./-]\s?(?:0?[1-9]|[12]\d|3[01])(?!\d)"
    r"|\b(?:ISBN|ISSN|EAN|ISMN)\b[\s:]*[\dX -]+|(?<!\d)97[89](?:[ -]?\d){10}(?!\d)"
    rf"|{_MONEY}\s?\d[\d .,\u00a0]*|\d[\d .,\u00a0]*\s?{_MONEY}",
    re.I,
)
_GROUP = re.compile(r"\d+")
_AREA = re.compile(r"\(\d{2,5}\)\s?\d")
_DIGITS = re.compile(r"\d(?:\D{0,3}\d){5,}")


class PersonalOptions(Strict):
    """
    Attributes:
        regions: country codes whose national numbers count on every page, beside those of the page's language.
    """

    regions: tuple[str, ...] = Field(default=())


class Personal(Filter[PersonalOptions]):
    """E-mail addresses, also with the sign written out, and telephone numbers as libphonenumber knows them.

    A number counts if it is valid in a country of the page's language and written as one dials it there (with the 0 or in
    groups), or possible and written with +, in groups after a 0, with its area in brackets or after a word for telephone.
    Years, dates, prices and ISBNs are none.
    """

    options_type: ClassVar[type[Strict]] = PersonalOptions

    def __init__(self, options: PersonalOptions, languages: Sequence[str] = ()) -> None:
        super().__init__(options, languages)
        self._library: Any = data_package("phonenumbers")
        if unknown := set(options.regions) - set(self._library.SUPPORTED_REGIONS):
            raise ConfigError(f"the filter personal knows no region {min(unknown)!r}; give ISO 3166 codes, 'HU' for Hungary.")

    def judge(self, subject: Subject) -> Verdict:
        """No scores; the detail does not repeat what was found."""
        text = subject.text
        if _MAIL.search(text):
            return remove("an e-mail address")
        plain = _NO_NUMBER.sub(" ; ", text)
        if _DIGITS.search(plain) and any(self._numbers(plain, subject.lang or subject.candidate.lang)):
            return remove("a telephone number")
        return KEEP

    def _numbers(self, text: str, lang: str) -> Iterator[bool]:
        possible, matcher = self._library.Leniency.POSSIBLE, self._library.PhoneNumberMatcher
        yield from (True for found in matcher(text, None, possible) if _INTERNATIONAL.match(found.raw_string))
        own = _REGIONS.get(lang.partition("-")[0], ()) if lang else ()
        for region in dict.fromkeys((*own, *self.options.regions)):
            for found in matcher(text, region, possible):
                valid = self._library.is_valid_number(found.number) and _is_dialled(found.raw_string)
                if valid or _is_like_nothing_else(found.raw_string) or _TELEPHONE.search(text[: found.start]):
                    yield True


def _is_dialled(written: str) -> bool:
    """Whether digits are written as a number to dial: with the trunk prefix, or in groups."""
    return written.lstrip("( ").startswith("0") or len(_GROUP.findall(written)) >= 2


def _is_like_nothing_else(written: str) -> bool:
    """Whether the area stands in brackets, or the first of several groups begins with 0: no price or year is written so."""
    groups = _GROUP.findall(written)
    return _AREA.search(written) is not None or (len(groups) >= 2 and written.startswith("0") and len("".join(groups)) >= 8)
