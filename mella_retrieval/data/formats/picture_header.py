"""Size and format of a picture file from its first bytes, without decoding it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from PIL import Image


class PictureHeader(NamedTuple):
    """Width and height in pixels as stored (EXIF orientation not applied), file format (JPEG, PNG ...), size in bytes."""

    width: int
    height: int
    format: str
    bytes: int


def picture_header(path: Path) -> PictureHeader | None:
    """The header of a picture file; None where it is missing or no picture."""
    try:
        with Image.open(path) as image:
            return PictureHeader(image.width, image.height, image.format or "", path.stat().st_size)
    except Exception:  # what decoders raise on damaged headers has no common base
        return None
