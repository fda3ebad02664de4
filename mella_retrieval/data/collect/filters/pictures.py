"""The filters `image-broken`, `image-size` and `aspect`: what a picture must be to show something."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from pydantic import Field

from mella_retrieval.data.collect.filters.step import KEEP, Filter, Nothing, Options, Picture, Score, Stage, Subject, Verdict
from mella_retrieval.recipes import Strict


class ImageBroken(Filter[Nothing]):
    """No file, no picture, cut short, or not to be fetched; the detail says which."""

    stage: ClassVar[Stage] = Stage.PICTURE

    def judge(self, subject: Subject) -> Verdict:
        """No scores."""
        picture = _picture(subject)
        return Verdict(False, picture.failure) if picture.failure else KEEP


class _Measured(Filter[Options]):
    """What measures a picture by its sides; one that cannot be read has none, and passes."""

    stage: ClassVar[Stage] = Stage.PICTURE

    def judge(self, subject: Subject) -> Verdict:
        """Scores: what `_measure` gives."""
        picture = _picture(subject)
        if picture.failure:
            return KEEP
        ok, scores = self._measure(picture.width, picture.height)
        return Verdict(ok, "" if ok else f"{picture.width} x {picture.height} pixels", scores)

    @abstractmethod
    def _measure(self, width: int, height: int) -> tuple[bool, dict[str, Score]]:
        """Whether a picture of so many pixels stays, and its scores."""


class ImageSizeOptions(Strict):
    """
    Attributes:
        shorter: pixels of the shorter side, at least.
    """

    shorter: int = Field(default=100, ge=1)


class ImageSize(_Measured[ImageSizeOptions]):
    """Thumbnails and avatars. Scores: `width` and `height`."""

    options_type: ClassVar[type[Strict]] = ImageSizeOptions

    def _measure(self, width: int, height: int) -> tuple[bool, dict[str, Score]]:
        return min(width, height) >= self.options.shorter, {"width": width, "height": height}


class AspectOptions(Strict):
    """
    Attributes:
        ratio: longer by shorter side, at most.
    """

    ratio: float = Field(default=3.0, ge=1)


class Aspect(_Measured[AspectOptions]):
    """Banners, rules and ribbons. Score: `aspect`, longer by shorter side."""

    options_type: ClassVar[type[Strict]] = AspectOptions

    def _measure(self, width: int, height: int) -> tuple[bool, dict[str, Score]]:
        shorter, longer = sorted((width, height))
        return longer <= self.options.ratio * shorter, {"aspect": round(longer / shorter, 3)}


def _picture(subject: Subject) -> Picture:
    if subject.picture is None:
        raise ValueError("a filter of pictures was asked before the picture was there")
    return subject.picture
