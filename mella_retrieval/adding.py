"""Add pictures to an index: only those whose content is new go through the image tower."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.artifacts import beside, sha256_file
from mella_retrieval.data.images import read_image
from mella_retrieval.data.records import Records
from mella_retrieval.embeddings.embed import embed_images
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.embeddings.settings import EmbedSettings
from mella_retrieval.embeddings.settings import Progress as EmbedProgress
from mella_retrieval.embeddings.writing import record_columns
from mella_retrieval.errors import ArtifactError, DataError, MellaError, MismatchError
from mella_retrieval.indexes.build import Projection
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.manifest import ADAPTER
from mella_retrieval.indexes.segment import CONTENT
from mella_retrieval.indexes.update import add_to_index
from mella_retrieval.indexes.writing import Part, Resources
from mella_retrieval.retriever import Retriever, projection_of


@dataclass(frozen=True)
class Report:
    """What adding did.

    Attributes:
        added: items that are new in the index.
        replaced: items that took the place of others with their ids.
        unchanged: items that were there with the same content.
        copied: how many of the added and replaced were known under another id, so that their vector was taken over.
        skipped: pictures that could not be read.
    """

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    copied: int = 0
    skipped: int = 0


def add_vectors(
    folder: Path | str, vectors: EmbeddingSet, *, replace: bool = False, resources: Resources | None = None
) -> Report:
    """Add image vectors to an index through the adapter that lies in it.

    Args:
        folder: the index.
        vectors: an embedding set of its image tower.
        replace: items whose content changed take the place of the old ones.
        resources: memory and device to build with.

    Raises:
        MismatchError: vectors of another tower.
        DataError: an id is in the index with another content (without `replace`), repeated ids, vectors that cannot be used.
        LockedError: another process writes to the index.
    """
    before = Index.load(folder)
    after = add_to_index(folder, vectors, _projection(before), replace=replace, resources=resources)
    rows, replaced = _changes(before, after)
    return Report(added=rows - replaced, replaced=replaced, unchanged=len(vectors) - rows)


def _changes(before: Index, after: Index) -> tuple[int, int]:
    """Rows of the segments that have come, and rows that were buried for them."""
    known = {entry.name for entry in before.manifest.segments} | {entry.name for entry in before.manifest.tombstones}
    rows = sum(entry.rows for entry in after.manifest.segments if entry.name not in known)
    return rows, sum(entry.rows for entry in after.manifest.tombstones if entry.name not in known)


def add_pictures(
    folder: Path | str,
    records: Records,
    *,
    image_tower: str | None = None,
    device: str = "auto",
    allow_module: bool = False,
    settings: EmbedSettings | None = None,
    replace: bool = False,
    progress: EmbedProgress | None = None,
) -> Report:
    """Add the pictures of a record set to an index.

    Pictures that are in the index with the same content are passed over; the vector of one that is known under another id is
    taken over; only the others are embedded, into `FOLDER.adding` beside the index, where a killed job continues.

    Args:
        folder: the index.
        records: the pictures; ids are their image ids.
        image_tower, device, allow_module: as for `Retriever`.
        settings: of embedding.
        replace: pictures whose file changed take the place of the old ones.
        progress: called with (pictures done, pictures to embed).

    Raises:
        MismatchError: the index holds enriched vectors, or the tower is not its own.
        ArtifactError: the disk is full, or none of the new pictures can be read.
        DataError, LockedError: see `add_vectors`.
    """
    folder = Path(folder)
    retriever = Retriever.load(folder, image_tower=image_tower, device=device, allow_module=allow_module)
    index = retriever.index
    contents = _contents(records)
    there = index.find(contents)
    own = index.contents(there)
    new = {key: content for key, content in contents.items() if key not in there or not content or own[key] != content}
    changed = sorted(new.keys() & there.keys())
    if changed and not replace:
        raise DataError(
            f"the picture {changed[0]!r} has changed since it was added to {folder}, one of {len(changed):,} such: replace them "
            "(--replace), or leave them out."
        )
    if not new:
        return Report(unchanged=len(contents))
    projection, copies = _projection(index), _copies(index, records, new)
    done = set(copies[1]["id"].to_pylist()) if copies else set()
    copied = len(done)
    aside, made = beside(folder, ".adding"), None
    if rest := [key for key in new if key not in done]:
        try:
            made = embed_images(records, retriever.image_tower, aside, settings, where={"image_id": rest}, progress=progress)
        except ArtifactError:
            if not done or _any_readable(records, rest):
                raise  # else there is nothing to embed, and the copies are all there is
    add_to_index(folder, made, projection, copies=copies, replace=replace)
    done.update(made.ids if made else ())
    shutil.rmtree(aside, ignore_errors=True)
    replaced = len(done & there.keys())
    return Report(len(done) - replaced, replaced, len(contents) - len(new), copied, len(new) - len(done))


def _projection(index: Index) -> Projection | None:
    if index.manifest.adapter is None:
        return None
    adapter = Adapter.load(index.folder / ADAPTER)
    if adapter.config.slots is not None:
        raise MismatchError(
            f"{index.folder} holds vectors that descriptions enriched: make such vectors of the new pictures with "
            "`mella embed enrich` and add those."
        )
    return projection_of(adapter, index.folder / ADAPTER)


def _contents(records: Records) -> dict[str, str]:
    """Content hash of every picture by id; empty where the file cannot be read, which embedding reports."""
    table = records.images()

    def content(image: str) -> str:
        try:
            return sha256_file(records.image_path(image))
        except (OSError, MellaError):
            return ""

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(table["image_id"].to_pylist(), pool.map(content, table["image"].to_pylist()), strict=True))


def _any_readable(records: Records, ids: Iterable[str]) -> bool:
    wanted = set(ids)
    table = records.images()
    for key, image in zip(table["image_id"].to_pylist(), table["image"].to_pylist(), strict=True):
        if key in wanted:
            with suppress(OSError, MellaError):
                read_image(records.image_path(image))
                return True
    return False


def _copies(index: Index, records: Records, new: dict[str, str]) -> Part | None:
    """Vectors and rows of new pictures whose content the index knows under another id, where it keeps vectors as they are."""
    places = index.with_content(content for content in new.values() if content)
    known = {key: places[content] for key, content in new.items() if content in places}
    if not known or not all(segment.exact for segment in index.segments):
        return None
    rows = _first_rows(records, known)
    ids = rows["image_id"].to_pylist()
    vectors = np.concatenate([index.segments[known[key][0]].vectors(np.array([known[key][1]])) for key in ids])
    content = pa.array([new[key] for key in ids], pa.string())
    return vectors, pa.table({"id": rows["image_id"], CONTENT: content, **record_columns(rows)})


def _first_rows(records: Records, ids: Iterable[str]) -> pa.Table:
    """The first record of each of these pictures, as embedding takes it."""
    table = records.table(where={"image_id": list(ids)})
    first: dict[str, int] = {}
    for row, key in enumerate(table["image_id"].to_pylist()):
        first.setdefault(key, row)
    return table.take(pa.array(list(first.values()), pa.int64()))
