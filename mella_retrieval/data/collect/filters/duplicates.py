"""The filters `duplicate-image` and `duplicate-text`: what was kept before, in nearly the same form, on the same site."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from mella_retrieval.data.collect.filters.scoped_texts import ScopedTexts
from mella_retrieval.data.collect.filters.step import KEEP, Filter, Picture, Stage, Subject, Verdict, remove
from mella_retrieval.data.collect.filters.tokens import letters, script, without_counters, without_punctuation, words
from mella_retrieval.data.near.images import FLAT, hamming
from mella_retrieval.data.near.shingles import digests, normal_form
from mella_retrieval.data.statistics.scripts import SPACELESS
from mella_retrieval.recipes import Strict

Scope = Literal["site", "everywhere"]


class DuplicateImageOptions(Strict):
    """
    Attributes:
        distance: bits of 64 in which the perceptual hashes of two pictures may differ.
        scope: compare with pictures of the same site, or with all.
    """

    distance: int = Field(default=10, ge=0, le=16)
    scope: Scope = "site"


class DuplicateImage(Filter[DuplicateImageOptions]):
    """The same picture again: other size, compression, border or name. The first stays.

    Several texts of one address on one page are not duplicates: they say different things about one picture. A picture with
    too little in it for a hash is a duplicate only if the files are equal.
    """

    options_type: ClassVar[type[Strict]] = DuplicateImageOptions
    stage: ClassVar[Stage] = Stage.KEPT

    def __init__(self, options: DuplicateImageOptions, languages: Sequence[str] = ()) -> None:
        super().__init__(options, languages)
        self._hashes: dict[str, array[int]] = defaultdict(lambda: array("Q"))
        self._files: set[int] = set()
        self._places: set[int] = set()

    def judge(self, subject: Subject) -> Verdict:
        """No scores."""
        picture = subject.picture
        if picture is None or picture.failure or self._place(subject) in self._places:
            return KEEP
        if self._file(subject, picture) in self._files:
            return remove("the file of an earlier picture")
        known = np.frombuffer(self._hashes[self._scope(subject)], dtype=np.uint64)
        if picture.hash != FLAT and len(known):
            nearest = int(hamming(known, np.uint64(picture.hash)).min())
            if nearest <= self.options.distance:
                return remove(f"{nearest} bits from an earlier picture")
        return KEEP

    def remember(self, subject: Subject) -> None:
        """Of a picture 8 bytes for its hash, which is compared with all of its scope, and about 120 for its file and place."""
        picture, place = subject.picture, self._place(subject)
        if picture is None or picture.failure or place in self._places:
            return
        self._places.add(place)
        self._files.add(self._file(subject, picture))
        if picture.hash != FLAT:
            self._hashes[self._scope(subject)].append(picture.hash)

    def _scope(self, subject: Subject) -> str:
        return subject.candidate.site if self.options.scope == "site" else ""

    def _file(self, subject: Subject, picture: Picture) -> int:
        return _key(self._scope(subject), picture.digest)

    def _place(self, subject: Subject) -> int:
        return _key(subject.candidate.page, subject.candidate.image)


class DuplicateTextOptions(Strict):
    """
    Attributes:
        similarity: shared part of the three-letter shingles of two texts from which they count as one.
        long_similarity: the same for texts of `long_words` words or more. By default what is left of eight words of five to
            seven letters if two are others.
        long_words: words; where there are no spaces five letters count as one.
        scope: compare with texts of the same site, or with all.
    """

    similarity: float = Field(default=0.8, gt=0.3, lt=1)
    long_similarity: float = Field(default=0.55, gt=0.3, lt=1)
    long_words: int = Field(default=8, ge=1)
    scope: Scope = "site"


class DuplicateText(Filter[DuplicateTextOptions]):
    """The same text again but for case, punctuation, a counter, a letter or, in long texts, a word or two. The first stays."""

    options_type: ClassVar[type[Strict]] = DuplicateTextOptions
    stage: ClassVar[Stage] = Stage.KEPT

    def __init__(self, options: DuplicateTextOptions, languages: Sequence[str] = ()) -> None:
        super().__init__(options, languages)
        self._known = ScopedTexts(min(options.similarity, options.long_similarity))

    def judge(self, subject: Subject) -> Verdict:
        """Score: `text_similarity` to the most similar text that was kept before, where that is of note."""
        similarity = self._known.nearest(self._scope(subject), _compared(subject.text))
        if not similarity:
            return KEEP
        long = _length(subject.text) >= self.options.long_words
        same = similarity >= (self.options.long_similarity if long else self.options.similarity)
        detail = f"{similarity:.2f} of an earlier text" if same else ""
        return Verdict(not same, detail, {"text_similarity": round(similarity, 3)})

    def remember(self, subject: Subject) -> None:
        """Memory as for `ScopedTexts`."""
        self._known.add(self._scope(subject), _compared(subject.text))

    def _scope(self, subject: Subject) -> str:
        return subject.candidate.site if self.options.scope == "site" else ""


def _compared(text: str) -> str:
    plain = without_punctuation(normal_form(without_counters(text)))
    return plain or normal_form(text)


def _length(text: str) -> float:
    """Words of a text."""
    return sum(letters(word) / 5 if script(word) in SPACELESS else 1 for word in words(text))


def _key(*parts: str) -> int:
    """64 bits that stand for some texts."""
    return int(digests(["\n".join(parts)])[0])
