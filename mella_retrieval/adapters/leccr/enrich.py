"""Enrich stored image vectors with descriptions, once: what a slot adapter's gallery is made of.

An adapter with slots (`leccr`) does not search the vectors of its image tower. It searches vectors that its slots made from the
tower's tokens and those of a description. They are an embedding set of their own, by a tower of its own: `SlotsInfo.tower`
names frozen towers and slots together, and that is the image tower which the adapter's configuration names. So everything
that takes image vectors (`mella index build`, `search`, `benchmark`) takes the enriched set as it is, and refuses another.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.adapters.heads import Array
from mella_retrieval.adapters.leccr.scenes import DESCRIBED, Rows, Scenes, hashed_keys, without_asked
from mella_retrieval.adapters.leccr.slot_file import StoredSlots
from mella_retrieval.artifacts import writer_lock
from mella_retrieval.embeddings.sets import EmbeddingSet, Selection
from mella_retrieval.embeddings.settings import EmbedSettings, Progress
from mella_retrieval.embeddings.writing import EmbeddingWriter, Shard
from mella_retrieval.encoders.towers import same_model
from mella_retrieval.errors import MismatchError

DESCRIPTIONS = "descriptions"
"""Column of an enriched set: how many descriptions each picture had."""


def enrich(
    adapter: Adapter,
    images: EmbeddingSet,
    descriptions: EmbeddingSet,
    out: Path | str,
    settings: EmbedSettings | None = None,
    *,
    asked: Selection | None = None,
    hide: bool = False,
    progress: Progress | None = None,
) -> EmbeddingSet:
    """Write the enriched vectors of pictures as an embedding set; a killed job continues where it stopped.

    Args:
        adapter: an adapter with slots.
        images: pictures through its frozen image tower, with tokens.
        descriptions: texts through its text tower, with tokens and the column `image_id`; several per picture are read one after
            another. A picture without any is given the learned token that stands for that.
        out: folder of the set.
        settings: rows per shard and stored precision; the batch size is fixed.
        asked: texts that will be asked, such as the captions of a test set: descriptions that are among them are left out.
        hide: show no description: what the gallery would be without any.
        progress: called with (pictures done, pictures in all).

    Returns:
        A set with the rows of `images`. Pooled: the global vectors, 256 dimensions. Tokens: the n local vectors of each picture,
        L2-normalised (none where the adapter was fitted with `slots: false`). The column `descriptions` says how many
        descriptions each picture had; `described_by` holds hashes of what they say, by which evaluations refuse to ask with them.

    Raises:
        MismatchError: the adapter has no slots, or the sets belong to other towers.
        ArtifactError: a set has no tokens.
        DataError: no description belongs to a picture.
    """
    settings = settings or EmbedSettings()
    scenes = _scenes(adapter, images, descriptions, asked)
    scenes = scenes.undescribed() if hide else scenes
    has_slots = adapter.slots is not None and adapter.slots.info.shape.slots
    job = {
        "images": images.fingerprint,
        "descriptions": descriptions.fingerprint,
        "shard_rows": settings.shard_rows,
        "dtype": settings.dtype,
        "hide": hide,
        "tokens": has_slots,
        **({"asked": asked.fingerprint} if asked is not None else {}),
    }
    out = Path(out)
    with writer_lock(out):
        writer = EmbeddingWriter(out, adapter.config.image_tower, job)
        current = writer.current()
        if current is not None:
            return current
        writer.open()
        columns = _columns(images, scenes)
        for start in range(writer.rows_done, len(images), settings.shard_rows):
            rows = np.arange(start, min(start + settings.shard_rows, len(images)))
            pooled, local = _vectors(adapter.slots, images, scenes, rows, progress)
            part = columns.slice(start, len(rows))
            shard = Shard(pooled, {name: part[name] for name in part.column_names}, local if has_slots else None)
            writer.add(shard, inputs=len(rows))
        return writer.finish()


def _scenes(adapter: Adapter, images: EmbeddingSet, descriptions: EmbeddingSet, asked: Selection | None) -> Scenes:
    if adapter.slots is None:
        raise MismatchError(f"the {adapter.config.method} adapter has no slots: it takes image vectors as they are.")
    own = adapter.slots.info.image_tower
    if images.tower.modality != "image" or images.dim != own.dim or not same_model(images.tower, own):
        raise MismatchError(f"the slots take vectors of {own.spec}, but {images.folder} was made by {images.tower.spec}.")
    adapter.require_text_tower(descriptions.tower, str(descriptions.folder))
    shape = adapter.slots.info.shape
    for found, wanted in ((images, shape.token_dim), (descriptions, shape.description_dim)):
        if found.token_dim != wanted:
            raise MismatchError(f"the slots take tokens of {wanted} dimensions, those in {found.folder} have {found.token_dim}.")
    scenes = Scenes.match(images.select(), descriptions.select())
    if asked is None:
        return scenes
    return Scenes.match(images.select(), without_asked(Selection(descriptions, np.sort(scenes.described_by)), asked))


def _columns(images: EmbeddingSet, scenes: Scenes) -> pa.Table:
    """The pictures' own columns, and what was written about each."""
    own = images.table.drop_columns([name for name in ("tokens", DESCRIPTIONS, DESCRIBED) if name in images.table.column_names])
    keys = hashed_keys(scenes.descriptions.source)
    said = [
        [keys[row] for row in scenes.described_by[start:end]]
        for start, end in zip(scenes.starts, scenes.starts[1:], strict=False)
    ]
    added = own.append_column(DESCRIPTIONS, pa.array(scenes.descriptions_each, pa.int64()))
    return added.append_column(DESCRIBED, pa.array(said, pa.list_(pa.string())))


def _vectors(
    slots: StoredSlots | None, images: EmbeddingSet, scenes: Scenes, rows: Rows, progress: Progress | None
) -> tuple[Array, list[Array]]:
    from mella_retrieval.adapters.leccr.scene_batches import enriched_blocks, load_slots

    assert slots is not None
    pooled: list[Array] = []
    local: list[Array] = []
    for glob, several in enriched_blocks(load_slots(slots), scenes, images.vectors, rows):
        pooled.append(glob)
        local += list(several)
        if progress:
            progress(int(rows[0]) + len(local), len(images))
    return np.concatenate(pooled), local
