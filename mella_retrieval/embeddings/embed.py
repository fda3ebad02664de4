"""Embed the pictures or texts of a record set: resumable, and only what is new or changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mella_retrieval.artifacts import Json, writer_lock
from mella_retrieval.data.records import Records
from mella_retrieval.embeddings.known import KnownRows
from mella_retrieval.embeddings.prepare import Input, PicturePreparer, Preparer, TextPreparer, picture_sizes
from mella_retrieval.embeddings.sets import EmbeddingSet, Where
from mella_retrieval.embeddings.settings import EmbedSettings, Progress
from mella_retrieval.embeddings.writing import EmbeddingWriter, Shard, record_columns
from mella_retrieval.encoders.batching import find_batch_size
from mella_retrieval.encoders.towers import Encoded, ImageTower, TextTower
from mella_retrieval.errors import EncoderError

FIRST_BATCH = 64
"""Inputs per forward pass where none is asked for; halved where memory does not suffice."""


def embed_images(
    records: Records,
    tower: ImageTower,
    out: Path | str,
    settings: EmbedSettings | None = None,
    *,
    where: Where | None = None,
    progress: Progress | None = None,
) -> EmbeddingSet:
    """Embed every picture of a record set once.

    Args:
        records: the record set; `where` keeps only rows with the given column values.
        tower: the frozen image tower.
        out: folder of the embedding set. A set made there before by the same call is returned as it is; one made from other
            records, or whose picture files have other sizes now, is made anew, known pictures (by content hash) keeping their
            vectors.
        settings: batch size, shard size and so on.
        progress: called with (pictures done, pictures in all).

    Returns:
        The finished set: ids are image ids; columns are those of the picture's first record. Pictures that cannot be read are
        listed in its `skipped.csv` with the reason.

    Raises:
        LockedError: another process writes to `out`.
        ArtifactError: nothing could be embedded, the disk is full, or `out` holds something else.
        EncoderError: the tower fails, or memory does not suffice for a single input.
    """
    settings = settings or EmbedSettings()
    ahead = 4 * settings.workers + 2 * (settings.batch_size or FIRST_BATCH)
    preparer = PicturePreparer(records, tower, settings.workers, ahead)
    table = _first_row_of_each_picture(records.table(where=where))
    job = _job(records, where, settings) | {"picture_sizes": picture_sizes(records, table["image"].to_pylist())}
    return _run(table, preparer, Path(out), settings, job, progress)


def embed_texts(
    records: Records,
    tower: TextTower,
    out: Path | str,
    settings: EmbedSettings | None = None,
    *,
    where: Where | None = None,
    progress: Progress | None = None,
) -> EmbeddingSet:
    """Embed every text of a record set; as `embed_images`, with text ids as ids and truncated texts counted per language."""
    settings = settings or EmbedSettings()
    table = records.texts(where=where)
    return _run(table, TextPreparer(tower), Path(out), settings, _job(records, where, settings), progress)


def _job(records: Records, where: Where | None, settings: EmbedSettings) -> Json:
    chosen = {name: sorted([value] if isinstance(value, str) else value) for name, value in (where or {}).items()}
    return {"records": records.fingerprint, "where": chosen, **settings.model_dump(exclude={"workers"})}


def _first_row_of_each_picture(table: pa.Table) -> pa.Table:
    table = table.filter(pc.not_equal(table["image"], ""))
    first: dict[str, int] = {}
    for row, image_id in enumerate(table["image_id"].to_pylist()):
        first.setdefault(image_id, row)
    return table.take(pa.array(list(first.values()), type=pa.int64()))


def _run(
    table: pa.Table, preparer: Preparer, out: Path, settings: EmbedSettings, job: Json, progress: Progress | None
) -> EmbeddingSet:
    with writer_lock(out):
        writer = EmbeddingWriter(out, preparer.info, job)
        current = writer.current()
        if current is not None:
            return current
        writer.open()
        known = writer.known_rows()
        for start in range(writer.rows_done, len(table), settings.shard_rows):
            part = table.slice(start, settings.shard_rows)
            writer.add(_encode_shard(part, preparer, known, writer, settings, _Counter(progress, start, len(table))), len(part))
        return writer.finish()


class _Counter:
    """Counts inputs for the progress bar, from the first one of a shard on."""

    def __init__(self, progress: Progress | None, start: int, total: int) -> None:
        self._progress, self._start, self._total = progress, start, total

    def show(self, done: int) -> None:
        if self._progress:
            self._progress(self._start + done, self._total)


def _encode_shard(
    part: pa.Table, preparer: Preparer, known: KnownRows, writer: EmbeddingWriter, settings: EmbedSettings, counter: _Counter
) -> Shard:
    """Encode one shard, with smaller batches from here on where memory does not suffice.

    Then the whole shard is encoded again: its batch boundaries follow from one size.
    """
    done: list[Shard] = []

    def encode(size: int) -> None:
        writer.set_batch_size(size)
        filling = _Filling(part, preparer, known, settings.tokens)
        counter.show(0)
        for batch in _batches(preparer.inputs(part, known), size):
            filling.take(batch)
            counter.show(filling.done)
        done.append(filling.shard())

    find_batch_size(encode, start=writer.journal["batch_size"] or settings.batch_size or FIRST_BATCH)
    return done[0]


def _batches(inputs: Iterable[Input], size: int) -> Iterator[list[Input]]:
    """Groups of inputs of which `size` go to the tower; the others (known or skipped) come along."""
    batch: list[Input] = []
    waiting = 0
    for found in inputs:
        batch.append(found)
        waiting += found.item is not None
        if waiting == size:
            yield batch
            batch, waiting = [], 0
    if batch:
        yield batch


class _Filling:
    """A shard whose rows arrive in any order."""

    def __init__(self, part: pa.Table, preparer: Preparer, known: KnownRows, tokens: bool) -> None:
        self._part, self._preparer, self._known = part, preparer, known
        self._vectors = np.empty((len(part), preparer.info.dim), np.float32)
        self._tokens: list[Any] | None = [None] * len(part) if tokens else None
        self._inputs: list[Input | None] = [None] * len(part)
        self.done = 0

    def take(self, batch: list[Input]) -> None:
        """Encode those inputs of a batch that need it and note the others."""
        todo = [found for found in batch if found.item is not None]
        if todo:
            encoded = self._encode(todo)
            rows = [found.row for found in todo]
            self._vectors[rows] = encoded.pooled
            if self._tokens is not None and encoded.tokens is not None:
                for row, tokens in zip(rows, encoded.tokens, strict=True):
                    self._tokens[row] = tokens
        for found in batch:
            if found.item is None and not found.reason:
                self._vectors[found.row] = self._known[found.content]
            self._inputs[found.row] = replace(found, item=None)
        self.done += len(batch)

    def _encode(self, todo: list[Input]) -> Encoded:
        try:
            return self._preparer.encode([found.item for found in todo], tokens=self._tokens is not None)
        except EncoderError as error:
            first, last = (self._part[self._preparer.id_column][found.row].as_py() for found in (todo[0], todo[-1]))
            raise EncoderError(f"in the batch {first!r} ... {last!r}: {error}") from error

    def shard(self) -> Shard:
        """The filled shard."""
        inputs = [found for found in self._inputs if found is not None]
        keep = [found.row for found in inputs if not found.reason]
        ids, sources = self._part[self._preparer.id_column], self._part[self._preparer.input_column]
        kept = self._part.take(pa.array(keep, pa.int64()))
        content = pa.array([inputs[row].content for row in keep], pa.string())
        langs = self._part["lang"]
        return Shard(
            self._vectors[keep],
            {"id": kept[self._preparer.id_column], "content": content, **record_columns(kept)},
            None if self._tokens is None else [self._tokens[row] for row in keep],
            [(ids[it.row].as_py(), sources[it.row].as_py()[:200], it.reason) for it in inputs if it.reason],
            dict(sorted(Counter(langs[found.row].as_py() for found in inputs if found.truncated).items())),
        )
