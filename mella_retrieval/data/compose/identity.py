"""Which pictures are one image: the same image_id may mean one picture in two sources, or two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.data.compose.pictures import UNKNOWN, Looked
from mella_retrieval.data.compose.survey import NONE, Survey
from mella_retrieval.data.near.images import FLAT


@dataclass(frozen=True)
class Images:
    """The images that the records are about.

    Attributes:
        of_record: (n,) number of a record's image, `NONE` for text alone.
        of_picture: (P,) number of a picture's image.
        shown: (I,) the picture that stands for each image: the first with a file, else the first with a URL, else the first.
        turn: (I,) how many other images came before under the same image_id; above 0 the image needs another id.
    """

    of_record: NDArray[np.int64]
    of_picture: NDArray[np.int64]
    shown: NDArray[np.int64]
    turn: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.shown)


def identify(survey: Survey, distance: int | None) -> Images:
    """Pictures of one image_id are one image unless their files differ, in the look, too.

    What has no file (a URL, or no picture at all) cannot be told apart and belongs to the first image of its id.
    """
    looked = survey.looked
    count = len(survey.image_id)
    order = np.argsort(survey.image_id, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(survey.image_id[order]) != 0]) if count else np.zeros(0, dtype=np.int64)
    head = np.empty(count, dtype=np.int64)  # the first picture of each picture's image
    turn = np.zeros(count, dtype=np.int64)
    head[order] = np.repeat(order[starts], np.diff(np.r_[starts, count]))
    for begin, end in zip(starts.tolist(), [*starts[1:].tolist(), count], strict=True):
        if end - begin > 1:
            _tell_apart(order[begin:end].tolist(), looked, distance, head, turn)
    heads = np.flatnonzero(head == np.arange(count))
    of_picture = np.searchsorted(heads, head)
    of_record = np.where(survey.picture == NONE, NONE, of_picture[survey.picture] if count else NONE)
    return Images(of_record, of_picture, _shown(of_picture, looked, len(heads)), turn[heads])


def _tell_apart(
    pictures: list[int], looked: Looked, distance: int | None, head: NDArray[np.int64], turn: NDArray[np.int64]
) -> None:
    heads: list[int] = []
    for picture in pictures:
        same = next((other for other in heads if _same(picture, other, looked, distance)), None)
        if same is None:
            turn[picture] = len(heads)
            heads.append(picture)
        head[picture] = picture if same is None else same


def _same(first: int, second: int, looked: Looked, distance: int | None) -> bool:
    contents, looks = (int(looked.content[place]) for place in (first, second)), [int(looked.look[p]) for p in (first, second)]
    one, other = contents
    if UNKNOWN in (one, other) or one == other:
        return True
    return distance is not None and FLAT not in looks and (looks[0] ^ looks[1]).bit_count() <= distance


def _shown(of_picture: NDArray[np.int64], looked: Looked, images: int) -> NDArray[np.int64]:
    rank = np.where(looked.content != UNKNOWN, 0, np.where(looked.place != UNKNOWN, 1, 2))
    order = np.lexsort((np.arange(len(rank)), rank, of_picture))
    return order[np.searchsorted(of_picture[order], np.arange(images))]
