"""What differs between embedding pictures and texts: how inputs become ready for the tower, and in which order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import pyarrow as pa

from mella_retrieval.artifacts import fingerprint, sha256_bytes
from mella_retrieval.data.images import read_image
from mella_retrieval.data.records import Records
from mella_retrieval.encoders.towers import Encoded, ImageTower, TextTower, TowerInfo
from mella_retrieval.errors import DataError, EncoderError

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a shard.

    Attributes:
        row: its place in the shard.
        item: what the tower takes, or None where a known vector or a reason to skip stands instead.
        content: hash of the input.
        reason: why it is skipped, or "".
        truncated: whether it is a text longer than the tower reads.
    """

    row: int
    item: Any
    content: str
    reason: str = ""
    truncated: bool = False


class Preparer(Protocol):
    """Prepares the inputs of one modality and hands them to its tower."""

    info: TowerInfo
    id_column: str
    input_column: str

    def inputs(self, table: pa.Table, known: Container[str]) -> Iterator[Input]:
        """The inputs of one shard, each row once, in the order in which they are batched."""

    def encode(self, items: Sequence[Any], *, tokens: bool) -> Encoded:
        """Encode one batch of prepared inputs."""


class PicturePreparer:
    """Reads, decodes and transforms pictures in threads, ahead of the model.

    Threads suffice: decoding and resizing release the interpreter's lock, and no tower has to be copied into other processes.
    At most `ahead` prepared pictures are in memory besides the batch that the model has.
    """

    id_column = "image_id"
    input_column = "image"

    def __init__(self, records: Records, tower: ImageTower, workers: int, ahead: int) -> None:
        self._records, self._tower, self._workers, self._ahead = records, tower, workers, ahead
        self.info = tower.info

    def inputs(self, table: pa.Table, known: Container[str]) -> Iterator[Input]:
        """See `Preparer`; in the order of the rows."""
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="decode")
        try:
            rows = enumerate(table["image"].to_pylist())
            yield from _map_ahead(pool, lambda place: self._prepare(*place, known), rows, self._ahead)
        finally:
            pool.shutdown(cancel_futures=True)

    def _prepare(self, row: int, image: str, known: Container[str]) -> Input:
        try:
            data = self._records.image_path(image).read_bytes()
        except FileNotFoundError:
            return Input(row, None, "", "the file does not exist")
        except (OSError, ValueError, DataError) as error:
            return Input(row, None, "", f"the file cannot be read: {error}")
        content = sha256_bytes(data)
        if content in known:
            return Input(row, None, content)
        try:
            return Input(row, self._tower.prepare(read_image(data)), content)
        except DataError as error:
            return Input(row, None, content, str(error))
        except (ValueError, TypeError, EncoderError) as error:
            raise EncoderError(f"{self.info.spec} could not prepare the picture {image}: {error}") from error

    def encode(self, items: Sequence[Any], *, tokens: bool) -> Encoded:
        """See `Preparer`."""
        return self._tower.encode(items, tokens=tokens)


def picture_sizes(records: Records, images: Iterable[str]) -> str:
    """Hash over the sizes of picture files: it tells that a file was exchanged, is missing or has come back.

    Cheap enough for millions of files, and the same on every machine, which times of change are not.
    """
    return fingerprint([_size(records, image) for image in images])


def _size(records: Records, image: str) -> int:
    try:
        return records.image_path(image).stat().st_size
    except (OSError, ValueError, DataError):
        return -1


class TextPreparer:
    """Orders texts by length, so that little is spent on padding, and marks those that the tower cuts short.

    The longest come first: a batch that does not fit into memory shows itself before work was done on the others.
    """

    id_column = "text_id"
    input_column = "text"

    def __init__(self, tower: TextTower) -> None:
        self._tower = tower
        self.info = tower.info

    def inputs(self, table: pa.Table, known: Container[str]) -> Iterator[Input]:
        """See `Preparer`."""
        texts, langs = table["text"].to_pylist(), table["lang"].to_pylist()
        lengths = self._tower.count_tokens(texts)
        for row in sorted(range(len(texts)), key=lambda row: -lengths[row]):
            item = (texts[row], langs[row])
            content = fingerprint(item)
            truncated = lengths[row] > self._tower.max_tokens
            if not self._tower.prepare(*item).strip():
                yield Input(row, None, content, "the text is empty after the tower's text preparation")
            else:
                yield Input(row, None if content in known else item, content, truncated=truncated)

    def encode(self, items: Sequence[Any], *, tokens: bool) -> Encoded:
        """See `Preparer`."""
        return self._tower.encode([text for text, _ in items], [lang for _, lang in items], tokens=tokens)


def _map_ahead(pool: ThreadPoolExecutor, function: Callable[[Item], Any], items: Iterable[Item], ahead: int) -> Iterator[Any]:
    """Results in order, with at most `ahead` computed or waiting."""
    waiting: deque[Future[Any]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
