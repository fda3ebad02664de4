"""What every export is measured with before it is handed out: its files, loaded anew, against our own vectors."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import numpy as np

from mella_retrieval.adapters.heads import Array
from mella_retrieval.errors import ExportError

if TYPE_CHECKING:
    from PIL.Image import Image

_LINES = (
    "A photo of a cat.",
    "  Two DOGS,  one frisbee_disc!? ",
    "Egy kakas és néhány tyúk az udvaron",
    "Šedá kočka spí na střeše",
    "Ћирилица и latinica заједно",
    "صورة قِطّة",
    "กระเป๋าเดินทาง 3 ใบ",
    "개와 고양이",
    "İstanbul’da vapur — 42 €",
    "x",
)

TEXTS = (
    *_LINES,
    *(unicodedata.normalize("NFD", line) for line in _LINES[2:8]),  # decomposed spellings are the same texts
    " ".join(_LINES * 20),  # longer than towers read
)
"""Texts in several scripts, decomposed ones and one that is cut."""


def pictures(size: int, count: int = 3) -> list[Image]:
    """Square pictures of noise that no transform of that size changes."""
    from PIL import Image as images

    generator = np.random.default_rng(0)
    return [images.fromarray(generator.integers(0, 256, (size, size, 3), dtype=np.uint8)) for _ in range(count)]


def difference(ours: Array, theirs: Array, allowed: float, what: str) -> float:
    """The largest difference of a component.

    Raises:
        ExportError: it is more than allowed, or the shapes differ.
    """
    found = float(np.abs(ours - theirs).max()) if ours.shape == theirs.shape else float("inf")
    if not found <= allowed:
        raise ExportError(
            f"the exported {what} side gives other vectors than the adapter (largest difference {found:.2g}, allowed "
            f"{allowed:g}); nothing was written. Its tower does something that the format does not keep."
        )
    return found
