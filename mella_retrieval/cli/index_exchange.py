"""`mella index import|export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from mella_retrieval.cli.options import DEVICE, OVERWRITE
from mella_retrieval.cli.output import say

if TYPE_CHECKING:
    from mella_retrieval.encoders.towers import TowerInfo
    from mella_retrieval.indexes.build import Projection


def import_(
    source: Path = typer.Argument(help="A clip-retrieval folder with image.index, or a FAISS file with --rows."),
    out: Path = typer.Argument(help="Folder of the index."),
    tower: str | None = typer.Option(
        None, "--tower", "-t", help="The encoder that made the vectors; by default the adapter's image tower. It is not verified."
    ),
    adapter: str | None = typer.Option(
        None, "--adapter", "-a", metavar="ADAPTER", help="The adapter of queries, which must leave image vectors as they are."
    ),
    text_tower: str | None = typer.Option(None, "--text-tower", help="Without an adapter: the image tower's own text tower."),
    rows: Path | None = typer.Option(None, "--rows", help="CSV, JSONL or Parquet table whose row i belongs to vector i."),
    vectors: Path | None = typer.Option(None, "--vectors", help="With --rows: .npy file of the vectors, where it is at hand."),
    id_column: str = typer.Option("id", "--id-column", help="Column of the table that holds the ids."),
    store: Literal["auto", "none", "float16", "float32"] = typer.Option(
        "auto", "--store", help="Keep the vectors beside the codes; auto: where the codes lose precision."
    ),
    rerank: int = typer.Option(0, "--rerank", min=0, help="Candidates per hit that are scored again from the kept vectors."),
    device: str = DEVICE,
    overwrite: bool = OVERWRITE,
) -> None:
    """Take over an index that another program built, without building it anew.

    `mella index import clip-output my-index --tower open_clip:ViT-B-32/openai --adapter hungarian`
    """
    from mella_retrieval.encoders.loading import load_text_tower
    from mella_retrieval.errors import ConfigError
    from mella_retrieval.indexes.importing import import_index
    from mella_retrieval.indexes.sources import Source

    if adapter and text_tower:
        raise ConfigError("an adapter brings its own text tower: give --adapter or --text-tower.")
    image_tower, query_tower, projection = _adapter_side(adapter, tower, source) if adapter else (tower, None, None)
    if image_tower is None:
        raise ConfigError(f"name the encoder that made the vectors of {source} with --tower, or give --adapter.")
    if text_tower:
        query_tower = load_text_tower(text_tower, device=device).info
    made = import_index(
        Source.find(source, rows, vectors, id_column),
        out,
        image_tower,
        projection=projection,
        text_tower=query_tower,
        store=store,
        rerank=rerank,
        overwrite=overwrite,
    )
    manifest = made.manifest
    say(f"{out}: {len(made):,} items, {manifest.dim} dimensions, {manifest.recipe.factory}, as {source} has them")
    say(f"its vectors are taken to be those of {manifest.image_tower.spec}; the files themselves do not say")
    if not made.segments[0].exact:
        say("the vectors are not there, only codes of them: it cannot be compacted")
    if manifest.text_tower:
        say(f'queries go through {manifest.text_tower.spec}: mella search {out} "..."')
    else:
        say("it answers pictures only: give --adapter or --text-tower to search it by text")


def _adapter_side(adapter: str, tower: str | None, source: Path) -> tuple[TowerInfo, TowerInfo, Projection]:
    """Image tower, text tower and image side of an adapter."""
    from mella_retrieval.adapters.adapter import Adapter
    from mella_retrieval.adapters.hub import adapter_folder
    from mella_retrieval.embeddings.imports import imported_tower
    from mella_retrieval.retriever import projection_of

    folder = adapter_folder(adapter)
    chosen = Adapter.load(folder)
    own = chosen.config.image_tower
    image_tower = imported_tower(tower or own.spec, "image", own.dim)
    chosen.require_image_tower(image_tower, str(source))
    return image_tower, chosen.config.text_tower, projection_of(chosen, folder)


def export(
    index: Path = typer.Argument(help="Folder of the index."),
    out: Path = typer.Argument(help="Folder to write."),
    faiss: bool = typer.Option(False, "--faiss", help="Write image.index too: one FAISS file over all rows."),
    dtype: Literal["float16", "float32"] = typer.Option("float16", "--dtype", help="Precision of the plain vectors."),
    overwrite: bool = OVERWRITE,
) -> None:
    """Write an index as clip-retrieval does: img_emb/, metadata/ and, where asked for, image.index."""
    from mella_retrieval.data.formats.clip_retrieval import ClipRetrievalFolder
    from mella_retrieval.indexes.exporting import export_index

    written = ClipRetrievalFolder.open(export_index(index, out, dtype=dtype, faiss_file=faiss, overwrite=overwrite))
    say(f"{out}: {len(written):,} items, {written.dims['image']} dimensions{', with image.index' if faiss else ''}")
