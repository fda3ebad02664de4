"""`mella index build|info`; the other commands are in `index_update.py` and `index_exchange.py`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mella_retrieval.cli import index_exchange, index_update
from mella_retrieval.cli.options import DEVICE, INDEX_DEVICE, JSON, MEMORY, OVERRIDES, OVERWRITE, size
from mella_retrieval.cli.output import counted, print_json, print_table, progress_bar, say

if TYPE_CHECKING:
    from mella_retrieval.embeddings.sets import EmbeddingSet
    from mella_retrieval.indexes.auto.curve import Curve
    from mella_retrieval.indexes.manifest import IndexManifest

app = typer.Typer(no_args_is_help=True, help="Build FAISS indexes, change them and look at them.")
app.command(name="add")(index_update.add)
app.command(name="delete")(index_update.delete)
app.command(name="compact")(index_update.compact)
app.command(name="merge")(index_update.merge)
app.command(name="verify")(index_update.verify)
app.command(name="import")(index_exchange.import_)
app.command(name="export")(index_exchange.export)


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
    queries: Path | None = typer.Option(
        None, "--queries", metavar="TEXTS", help="For --recipe auto: an embedding set of texts like those that will be asked."
    ),
    bank: Path | None = typer.Option(
        None, "--bank", metavar="TEXTS", help="For scoring.method=...: an embedding set of texts to correct hubs by."
    ),
    centring: Path | None = typer.Option(
        None, "--centring", metavar="MEANS", help="Language means; queries that name their language are moved by them."
    ),
    centring_to: list[str] = typer.Option(
        [], "--centring-to", metavar="LANG", help="To the mean of these languages; by default of those the adapter was fitted on."
    ),
    memory: str | None = MEMORY,
    index_device: str = INDEX_DEVICE,
    device: str = DEVICE,
    overwrite: bool = OVERWRITE,
) -> None:
    """Build an index. No picture is read: vectors alone suffice.

    `mella index build old-clip-vectors my-index --adapter hungarian`: a clip-retrieval folder answers in a new language.

    `mella index build vectors my-index -a hungarian -r auto auto.memory=2GB auto.recall=0.95 --queries texts`: chosen and tuned.
    """
    from mella_retrieval.embeddings.sets import EmbeddingSet
    from mella_retrieval.encoders.loading import load_text_tower
    from mella_retrieval.indexes.recipe import IndexRecipe
    from mella_retrieval.indexes.writing import Resources
    from mella_retrieval.recipes import load_recipe
    from mella_retrieval.retriever import build_index

    chosen = load_recipe(IndexRecipe, "indexes", recipe, overrides or ())
    query_tower = load_text_tower(text_tower, device=device).info if text_tower else None
    opened = _image_vectors(vectors, out, tower, adapter)
    with progress_bar("adding vectors", "vectors") as progress:
        made = build_index(
            opened,
            out,
            chosen,
            adapter=adapter,
            text_tower=query_tower,
            queries=EmbeddingSet.load(queries, deep=True) if queries else None,
            bank=EmbeddingSet.load(bank, deep=True) if bank else None,
            centring=centring,
            centring_to=centring_to,
            resources=Resources(size(memory), index_device, counted(progress, len(opened))),
            overwrite=overwrite,
            say=say,
        )
    say(f"{out}: {len(made):,} items, {made.manifest.dim} dimensions, {made.manifest.recipe.factory}")
    if made.manifest.text_tower:
        say(f'queries go through {made.manifest.text_tower.spec}: mella search {out} "..."')
    else:
        say("it answers pictures only: give --adapter or --text-tower to search it by text")


def _image_vectors(vectors: Path, out: Path, tower: str | None, adapter: str | None) -> EmbeddingSet:
    from mella_retrieval.adapters.adapter import Adapter
    from mella_retrieval.artifacts import beside
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
    return import_clip_retrieval(vectors, beside(out, ".vectors"), spec)


@app.command()
def info(
    index: Path = typer.Argument(help="Folder of the index."),
    curve: Path | None = typer.Option(None, "--curve", metavar="FILE", help="Draw the tuning curve as .png or .svg."),
    as_json: bool = JSON,
) -> None:
    """Show what an index holds and what belongs to it."""
    from mella_retrieval.indexes.index import Index

    opened = Index.load(index)
    manifest = opened.manifest
    if curve is not None:
        _draw(index, manifest.curve, curve)
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
    if manifest.scoring:
        rows.append(["scoring", f"{manifest.scoring.method} ({manifest.scoring.place})"])
    if manifest.centring:
        rows.append(["texts moved to", ", ".join(manifest.centring.to)])
    if values := _search_values(manifest):
        rows.append(["search", values])
    if tuned := manifest.curve:
        rows.append(["tuned", f"recall@{tuned.k} {tuned.recall:.3f} on {tuned.held_out} held-out queries"])
    print_table([str(index), ""], rows)


def _search_values(manifest: IndexManifest) -> str:
    recipe = manifest.recipe
    values = {**recipe.search, **({"rerank": recipe.rerank} if recipe.rerank else {})}
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _draw(index: Path, curve: Curve | None, path: Path) -> None:
    from mella_retrieval.cli.index_curve import draw_curve
    from mella_retrieval.errors import ConfigError

    if curve is None:
        raise ConfigError(f"{index} was not tuned, so it has no curve: build it with --recipe auto.")
    draw_curve(curve, path)
    say(f"{path}: recall against milliseconds a query")
