"""`mella index build|info`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mella_retrieval.cli.options import DEVICE, JSON, OVERRIDES, OVERWRITE
from mella_retrieval.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from mella_retrieval.embeddings.sets import EmbeddingSet

app = typer.Typer(no_args_is_help=True, help="Build FAISS indexes and look at them.")


@app.command()
def build(
    vectors: Path = typer.Argument(help="Image vectors: an embedding set or a clip-retrieval folder."),
    out: Path = typer.Argument(help="Folder of the index."),
    overrides: list[str] = OVERRIDES,
    recipe: str = typer.Option("flat", "--recipe", "-r", help="A recipe of indexes/ by name or path (`mella recipes list`)."),
    adapter: str | None = typer.Option(
        None, "--adapter", "-a", metavar="ADAPTER", help="The adapter that queries go through: a folder, or OWNER/NAME on a hub."
    ),
    text_tower: str | None = typer.Option(None, "--text-tower", help="Without an adapter: the image tower's own text tower."),
    tower: str | None = typer.Option(
        None, "--tower", "-t", help="Encoder of a clip-retrieval folder's vectors; by default the adapter's image tower."
    ),
    device: str = DEVICE,
    overwrite: bool = OVERWRITE,
) -> None:
    """Build an index. No picture is read: vectors alone suffice.

    `mella index build old-clip-vectors my-index --adapter hungarian`: a clip-retrieval folder answers in a new language.
    """
    from mella_retrieval.encoders.loading import load_text_tower
    from mella_retrieval.indexes.manifest import IndexRecipe
    from mella_retrieval.recipes import load_recipe
    from mella_retrieval.retriever import build_index

    chosen = load_recipe(IndexRecipe, "indexes", recipe, overrides or ())
    query_tower = load_text_tower(text_tower, device=device).info if text_tower else None
    made = build_index(
        _image_vectors(vectors, out, tower, adapter), out, chosen, adapter=adapter, text_tower=query_tower, overwrite=overwrite
    )
    say(f"{out}: {len(made):,} items, {made.manifest.dim} dimensions, {chosen.factory}")
    if made.manifest.text_tower:
        say(f'queries go through {made.manifest.text_tower.spec}: mella search {out} "..."')
    else:
        say("it answers pictures only: give --adapter or --text-tower to search it by text")


def _image_vectors(vectors: Path, out: Path, tower: str | None, adapter: str | None) -> EmbeddingSet:
    from mella_retrieval.adapters.adapter import Adapter
    from mella_retrieval.data.formats import clip_retrieval
    from mella_retrieval.embeddings.clip_retrieval import import_clip_retrieval
    from mella_retrieval.embeddings.sets import EmbeddingSet
    from mella_retrieval.errors import ConfigError

    if not clip_retrieval.recognises(vectors):
        return EmbeddingSet.load(vectors, deep=True)
    if tower is None and adapter is None:
        raise ConfigError(f"{vectors} is a clip-retrieval folder: name its encoder with --tower, or give --adapter.")
    spec = tower or Adapter.load(adapter or "").config.image_tower.spec
    say(f"the vectors of {vectors} are taken to be those of {spec}; the folder itself does not say")
    return import_clip_retrieval(vectors, out.with_name(out.name + ".vectors"), spec)


@app.command()
def info(
    index: Path = typer.Argument(help="Folder of the index."),
    verify: bool = typer.Option(False, "--verify", help="Compare every file with its stored hash."),
    as_json: bool = JSON,
) -> None:
    """Show what an index holds and what belongs to it."""
    from mella_retrieval.indexes.index import Index

    opened = Index.load(index)
    if verify:
        opened.verify()
    manifest = opened.manifest
    if as_json:
        print_json({"items": len(opened), **manifest.model_dump(mode="json")})
        return
    rows = [
        ["items", f"{len(opened):,}"],
        ["dimensions", str(manifest.dim)],
        ["kind", manifest.recipe.factory],
        ["segments", str(len(manifest.segments))],
        ["deleted", f"{sum(entry.rows for entry in manifest.tombstones):,}"],
        ["image tower", manifest.image_tower.spec],
        ["text tower", manifest.text_tower.spec if manifest.text_tower else "none"],
        ["adapter", manifest.adapter[:12] if manifest.adapter else "none"],
    ]
    print_table([str(index), ""], rows)
    if verify:
        say("every file has the content that the manifest lists")
