"""Import the vectors of a clip-retrieval output folder."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

import pyarrow as pa

from mella_retrieval.data.formats.clip_retrieval import ClipRetrievalFolder
from mella_retrieval.embeddings.imports import Block, import_vectors, imported_tower, sha256_of_files
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.errors import DataError


def import_clip_retrieval(
    folder: Path | str, out: Path | str, spec: str, modality: Literal["image", "text"] = "image"
) -> EmbeddingSet:
    """Import one side of a clip-retrieval folder (`img_emb/` or `text_emb/`, with `metadata/`).

    Args:
        folder: the folder; the layout with an `embeddings/` folder inside is found too.
        out: folder of the embedding set.
        spec: the encoder that made the vectors, as its owner knows it (`open_clip:ViT-B-32/openai`).
        modality: `image` or `text`. Image ids are those of the metadata; a text's id is `<image id>#<row>`.

    Raises:
        DataError: see `ClipRetrievalFolder.open` and `import_vectors`.
    """
    source = ClipRetrievalFolder.open(folder)
    if modality not in source.dims:
        raise DataError(f"{source.path} has no {modality} vectors.")
    files = [file for shard in source.shards for file in (shard.vectors(modality), shard.metadata) if file is not None]
    tower = imported_tower(spec, modality, source.dims[modality])
    return import_vectors(out, tower, _blocks(source, modality), sha256_of_files(files))


def _blocks(source: ClipRetrievalFolder, modality: Literal["image", "text"]) -> Iterator[Block]:
    names = source.image_ids()
    start = 0
    for vectors, table in zip(source.read_vectors(modality), source.read_metadata(), strict=True):
        image_ids = list(islice(names, len(table)))
        ids = image_ids if modality == "image" else [f"{name}#{row}" for row, name in enumerate(image_ids, start)]
        kept = table.drop_columns(["image_id"]) if "image_id" in table.column_names else table
        kept = kept.rename_columns(["record_id" if name == "id" else name for name in kept.column_names])
        kept = kept.add_column(0, "image_id", pa.array(image_ids, pa.string()))
        yield vectors, kept.add_column(0, "id", pa.array(ids, pa.string()))
        start += len(table)
