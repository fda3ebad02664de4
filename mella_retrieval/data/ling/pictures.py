"""Pictures on their way to a captioner: decoded by threads a little ahead, unreadable ones set aside with the reason."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from PIL.Image import Image

from mella_retrieval.data.images import read_image
from mella_retrieval.data.ling.contracts import Picture
from mella_retrieval.data.records import Records, is_url
from mella_retrieval.data.text import excerpt
from mella_retrieval.errors import DataError

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A picture that cannot be decoded."""

    image_id: str
    reason: str


def read_pictures(
    rows: Iterable[tuple[str, str]],
    records: Records,
    workers: int,
    ahead: int,
    prepare: Callable[[Image], Image] | None = None,
) -> Iterator[Picture | Unreadable]:
    """Decode pictures given as (image_id, image) in their order, and `prepare` them; at most `ahead` wait in memory."""

    def read(row: tuple[str, str]) -> Picture | Unreadable:
        image_id, image = row
        if is_url(image):
            return Unreadable(image_id, f"picture is a URL: {excerpt(image)}; download it first")
        path = records.image_path(image)
        try:
            decoded = read_image(path)
            return Picture(image_id, prepare(decoded) if prepare else decoded)
        except DataError as error:
            return Unreadable(image_id, f"unreadable picture: {str(error).replace(str(path), excerpt(image))}")

    yield from _in_order(read, rows, workers, ahead)


def _in_order(work: Callable[[In], Out], items: Iterable[In], workers: int, ahead: int) -> Iterator[Out]:
    waiting: deque[Future[Out]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
