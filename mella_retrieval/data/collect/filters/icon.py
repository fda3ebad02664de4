"""The filter `icon`: icons, sprites, logos, buttons and trackers, by their address and declared size, before they are fetched."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar
from urllib.parse import unquote, urlsplit

from pydantic import Field

from mella_retrieval.data.collect.addresses import is_data
from mella_retrieval.data.collect.filters.step import KEEP, Filter, Subject, Verdict, remove, shown
from mella_retrieval.errors import ConfigError
from mella_retrieval.recipes import Strict

_KINDS = (".svg", ".svgz", ".ico", ".cur")

# Words of an address that say what a file is: by themselves, and those that name things which are photographed, too.
_STRONG = frozenset(
    {
        *("icon", "icons", "ico", "icone", "favicon", "favicons", "sprite", "sprites", "logo", "logos", "logotype", "logotyp"),
        *("spacer", "1x1", "btn", "btns", "preloader", "glyph", "glyphs"),
    }
)
_WEAK = frozenset(
    {
        *("pixel", "blank", "tracker", "tracking", "beacon", "badge", "badges", "button", "buttons", "arrow", "arrows", "bullet"),
        *("emoji", "emojis", "emoticon", "smiley", "smileys", "smilies", "loader", "loading", "spinner", "captcha", "hamburger"),
        *("chevron", "caret", "checkbox"),
    }
)
_PHOTOS = (".jpg", ".jpeg")
_TRACKING_PATH = re.compile(
    r"/(?:tr|pixel|track(?:er|ing)?|beacon|collect|impression|hit|counter|count|stat)(?:\.[a-z]{2,4})?/?$", re.I
)
_TRACKERS = re.compile(
    r"(?:^|\.)(?:doubleclick\.net|google-analytics\.com|googletagmanager\.com|scorecardresearch\.com|quantserve\.com|"
    r"mc\.yandex\.(?:ru|com)|top-fwz1\.mail\.ru|counter\.[\w.-]+|hit\.gemius\.pl|gemius\.[a-z]+|toplist\.cz|liveinternet\.ru|"
    r"pixel\.[\w.-]+|stats?\.wp\.com|analytics\.[\w.-]+|bat\.bing\.com)$",
    re.I,
)
_LONGEST_HOST = 253  # characters, as names of hosts have at most; the patterns take for ever over a long one
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+x\d+|\d+")


class IconOptions(Strict):
    """
    Attributes:
        name_words: a file's name of more words is taken as a description, whatever is among them; of a JPEG, which is what
            photos are, one word less.
        declared: pixels; a picture that the page shows with both sides up to this is an icon.
        more: further words of addresses, in Latin letters without signs.
    """

    name_words: int = Field(default=3, ge=1)
    declared: int = Field(default=32, ge=0)
    more: tuple[str, ...] = ()


class Icon(Filter[IconOptions]):
    """Folders and short file names that say so, vector drawings, embedded data, trackers, pictures shown at icon size."""

    options_type: ClassVar[type[Strict]] = IconOptions

    def __init__(self, options: IconOptions, languages: Sequence[str] = ()) -> None:
        super().__init__(options, languages)
        more = {word.lower() for word in options.more}
        if other := {word for word in more if _words(word) != [word]}:
            raise ConfigError(f"the filter icon cannot find {min(other)!r}: a word of an address is Latin letters, or digits.")
        self._strong = _STRONG | more

    def judge(self, subject: Subject) -> Verdict:
        """No scores."""
        candidate = subject.candidate
        if is_data(candidate.image):
            return remove("embedded data")
        if candidate.declared_size is not None and max(candidate.declared_size) <= self.options.declared:
            return remove("shown at {} x {} pixels".format(*candidate.declared_size))
        return self._address(candidate.image)

    def _address(self, address: str) -> Verdict:
        try:
            parts = urlsplit(address)
        except ValueError:  # an address that is none; its picture is broken
            return KEEP
        path = unquote(parts.path)
        if path.lower().endswith(_KINDS):
            return remove(f"kind: {shown(path.rpartition('/')[2])}")
        if _TRACKERS.search((parts.hostname or "")[-_LONGEST_HOST:]) or _TRACKING_PATH.search(path):
            return remove(f"tracker: {shown(address)}")
        *folders, name = path.split("/")
        for folder in folders:
            if found := (self._strong | _WEAK).intersection(_words(folder)):
                return remove(f"folder: {min(found)}")
        photo = name.lower().endswith(_PHOTOS)
        stem = _words(name.rpartition(".")[0] or name)
        few = sum(not word.isdigit() for word in stem) <= self.options.name_words - photo
        if few and not (self._strong if photo else self._strong | _WEAK).isdisjoint(stem):
            return remove(f"name: {shown(name)}")
        return KEEP


def _words(name: str) -> list[str]:
    """The words of a name: parted by signs, by digits, and where a capital begins one."""
    return [part.lower() for part in _PARTS.findall(name)]
