"""The filters `image-broken`, `image-size` and `aspect`: what a picture must be to show something."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from mella_retrieval.data.collect.filters.step import KEEP, Filter, Nothing, Picture, Stage, Subject, Verdict
from mella_retrieval.recipes import Strict


class ImageBroken(Filter[Nothing]):
    """No file, no picture, cut short, or not to be fetched; the detail says which."""

    options_type: ClassVar[type[Strict]] = Nothing
    stage: ClassVar[Stage] = Stage.PICTURE

    def judge(self, subject: Subject) -> Verdict:
        """No scores."""
        picture = _picture(subject)
        return Verdict(False, picture.failure) if picture.failure else KEEP


class ImageSizeOptions(Strict):
    """
    Attributes:
        shorter: pixels of the shorter side, at least.
    """

    shorter: int = Field(default=100, ge=1)


class ImageSize(Filter[ImageSizeOptions]):
    """Thumbnails and avatars; a picture that cannot be read has no size, and passes here."""

    options_type: ClassVar[type[Strict]] = ImageSizeOptions
    stage: ClassVar[Stage] = Stage.PICTURE

    def judge(self, subject: Subject) -> Verdict:
        """Scores: `width` and `height`."""
        picture = _picture(subject)
        if picture.failure:
            return KEEP
        scores = {"width": picture.width, "height": picture.height}
        if min(picture.width, picture.height) < self.options.shorter:
            return Verdict(False, f"{picture.width} x {picture.height} pixels", scores)
        return Verdict(True, scores=scores)


class AspectOptions(Strict):
    """
    Attributes:
        ratio: longer by shorter side, at most.
    """

    ratio: float = Field(default=3.0, ge=1)


class Aspect(Filter[AspectOptions]):
    """Banners, rules and ribbons."""

    options_type: ClassVar[type[Strict]] = AspectOptions
    stage: ClassVar[Stage] = Stage.PICTURE

    def judge(self, subject: Subject) -> Verdict:
        """Score: `aspect`, longer by shorter side."""
        picture = _picture(subject)
        if picture.failure:
            return KEEP
        longer, shorter = max(picture.width, picture.height), min(picture.width, picture.height)
        scores = {"aspect": round(longer / shorter, 3)}
        if longer > self.options.ratio * shorter:
            return Verdict(False, f"{picture.width} x {picture.height} pixels", scores)
        return Verdict(True, scores=scores)


def _picture(subject: Subject) -> Picture:
    if subject.picture is None:
        raise ValueError("a filter of pictures was asked before the picture was there")
    return subject.picture
