"""Pictures that stand in more than one split: what is trained on would be tested."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from mella_retrieval.data.records import Records
from mella_retrieval.data.stats import SPLIT


def has_splits(records: Records) -> bool:
    """Whether a column names the split of each record."""
    return SPLIT in records.schema.names


def split_leaks(records: Records, contents: pa.Table | None = None) -> Iterator[tuple[str, str]]:
    """Pictures in several splits: by image_id, by path or URL, and by content. Records without a split are left out.

    Args:
        records: with splits.
        contents: `image_id` and `content` (a hash) of the pictures that were read.

    Yields:
        image_id and what is wrong, each picture for one reason only.
    """
    table = records.table(["image_id", "image", SPLIT])
    table = table.set_column(2, SPLIT, pc.fill_null(table[SPLIT].cast(pa.string()), ""))
    table = table.filter(pc.and_(pc.not_equal(table[SPLIT], ""), pc.not_equal(table["image_id"], "")))
    told: set[str] = set()
    for (image_id,), splits in _in_several(table, "image_id"):
        told.add(image_id)
        yield image_id, f"the picture stands in the splits {_listed(splits)}"
    yield from _under_several_ids(table.filter(pc.not_equal(table["image"], "")), "image", "path or URL", told)
    if contents is not None:
        yield from _under_several_ids(table.join(contents, "image_id", join_type="inner"), "content", "content", told)


def _under_several_ids(table: pa.Table, key: str, what: str, told: set[str]) -> Iterator[tuple[str, str]]:
    for ids, splits in _in_several(table, key):
        if told.isdisjoint(ids):
            told.update(ids)
            yield ids[0], f"one {what} stands under the image_ids {_listed(ids)} in the splits {_listed(splits)}"


def _in_several(table: pa.Table, key: str) -> list[tuple[list[str], list[str]]]:
    """The image_ids and the splits under each value of `key` that stands in more than one split."""
    found = table.group_by(key, use_threads=False).aggregate([("image_id", "distinct"), (SPLIT, "distinct")])
    found = found.filter(pc.greater(pc.list_value_length(found[f"{SPLIT}_distinct"]), 1))
    pairs = zip(found["image_id_distinct"].to_pylist(), found[f"{SPLIT}_distinct"].to_pylist(), strict=True)
    return sorted((sorted(ids), sorted(splits)) for ids, splits in pairs)


def _listed(values: list[str], most: int = 4) -> str:
    shown = ", ".join(repr(value) for value in values[:most])
    return shown + (f" and {len(values) - most} more" if len(values) > most else "")
