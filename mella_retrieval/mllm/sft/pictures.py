"""Pictures as the model is shown them."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from mella_retrieval.data.images import read_image
from mella_retrieval.errors import DataError
from mella_retrieval.mllm.sft.recipe import Picture

Size = tuple[int, int]
"""Width and height in pixels."""


def shown(path: Path, limits: Picture) -> Image.Image:
    """A picture within the limits of the resolution.

    Raises:
        DataError: it cannot be read.
    """
    return limits.apply(read_image(path))


def sizes(paths: Iterable[Path], limits: Picture, workers: int = 4) -> list[Size | str]:
    """Size of each picture as it will be shown, decoded from end to end, or why it cannot be read."""

    def size(path: Path) -> Size | str:
        try:
            return shown(path, limits).size
        except DataError as error:
            return str(error)

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(size, paths))
