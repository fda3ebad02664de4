"""`mella embed images|texts|import|enrich`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from mella_retrieval.cli.options import ALLOW_MODULE, DEVICE, PRECISION, RECORDS, WHERE, parse_where
from mella_retrieval.cli.output import progress_bar, say

if TYPE_CHECKING:
    from mella_retrieval.embeddings.sets import EmbeddingSet

app = typer.Typer(no_args_is_help=True, help="Embed records with a frozen tower, or import vectors that exist already.")

OUT = typer.Argument(help="Folder of the embedding set. Run the same command again to continue or to add what is new.")
SPEC = typer.Option(
    ...,
    "--tower",
    "-t",
    help="open_clip:NAME/TAG, transformers:NAME, sentence-transformers:NAME, mllm:NAME (hub names or folders), "
    "or module:pkg.mod:Class.",
)
BATCH = typer.Option(None, "--batch-size", min=1, help="Inputs per forward pass; found automatically by default.")
SHARD = typer.Option(4096, "--shard-rows", min=1, help="Inputs per shard; a killed job loses at most one.")
DTYPE = typer.Option("float32", "--dtype", help="Stored precision.")
TOKENS = typer.Option(False, "--tokens", help="Store token vectors beside the pooled ones.")


@app.command()
def images(
    records: Path = RECORDS,
    out: Path = OUT,
    tower: str = SPEC,
    where: list[str] = WHERE,
    batch_size: int | None = BATCH,
    shard_rows: int = SHARD,
    dtype: Literal["float32", "float16"] = DTYPE,
    tokens: bool = TOKENS,
    workers: int = typer.Option(2, "--workers", min=1, help="Threads that decode pictures ahead of the model."),
    device: str = DEVICE,
    precision: str = PRECISION,
    allow_module: bool = ALLOW_MODULE,
) -> None:
    """Embed every picture of a record set once. Unreadable pictures are listed in OUT/skipped.csv."""
    from mella_retrieval.data.records import Records
    from mella_retrieval.embeddings.embed import embed_images
    from mella_retrieval.encoders.loading import load_image_tower

    settings = _settings(batch_size=batch_size, shard_rows=shard_rows, dtype=dtype, tokens=tokens, workers=workers)
    opened = Records.load(records)
    loaded = load_image_tower(tower, device=device, precision=precision, allow_module=allow_module)
    with progress_bar("embedding pictures", "pictures") as progress:
        made = embed_images(opened, loaded, out, settings, where=parse_where(where), progress=progress)
    _report(made)


@app.command()
def texts(
    records: Path = RECORDS,
    out: Path = OUT,
    tower: str = SPEC,
    where: list[str] = WHERE,
    batch_size: int | None = BATCH,
    shard_rows: int = SHARD,
    dtype: Literal["float32", "float16"] = DTYPE,
    tokens: bool = TOKENS,
    device: str = DEVICE,
    precision: str = PRECISION,
    allow_module: bool = ALLOW_MODULE,
) -> None:
    """Embed every text of a record set. Texts that the tower cuts short are counted per language."""
    from mella_retrieval.data.records import Records
    from mella_retrieval.embeddings.embed import embed_texts
    from mella_retrieval.encoders.loading import load_text_tower

    settings = _settings(batch_size=batch_size, shard_rows=shard_rows, dtype=dtype, tokens=tokens)
    opened = Records.load(records)
    loaded = load_text_tower(tower, device=device, precision=precision, allow_module=allow_module)
    with progress_bar("embedding texts", "texts") as progress:
        made = embed_texts(opened, loaded, out, settings, where=parse_where(where), progress=progress)
    _report(made)


@app.command("import")
def import_(
    source: Path = typer.Argument(
        help="A clip-retrieval folder, features of video clips (a BigFile, or a folder of .npy files), "
        "or an .npy / .safetensors file with --rows."
    ),
    out: Path = typer.Argument(help="Folder of the embedding set."),
    tower: str = typer.Option(
        ..., "--tower", "-t", help="The encoder that made them, e.g. open_clip:ViT-B-32/openai; it is recorded as not verified."
    ),
    modality: Literal["image", "text"] = typer.Option("image", "--modality", help="What was encoded."),
    rows: Path | None = typer.Option(None, "--rows", help="CSV, JSONL or Parquet table whose row i belongs to vector i."),
    id_column: str = typer.Option("id", "--id-column", help="Column of the table that holds the ids."),
    key: str | None = typer.Option(None, "--key", help="Tensor in a .safetensors file."),
    normalise_frames: bool = typer.Option(
        False, "--normalise-frames", help="Video clips: L2-normalise every frame before the mean over a clip's frames."
    ),
) -> None:
    """Import vectors that somebody computed before: a folder of old CLIP vectors becomes searchable without its pictures."""
    from mella_retrieval.embeddings.clip_retrieval import import_clip_retrieval
    from mella_retrieval.embeddings.imports import import_file
    from mella_retrieval.embeddings.video_features import import_video_features, is_video_features
    from mella_retrieval.errors import DataError

    if not source.exists():
        raise DataError(f"there is no file or folder {source}.")
    video = source.is_dir() and is_video_features(source)
    if normalise_frames and not video:
        raise typer.BadParameter("only video clips have frames", param_hint="--normalise-frames")
    if video and modality == "text":
        raise typer.BadParameter("frames of video clips are images", param_hint="--modality")
    if video:
        made = import_video_features(source, out, tower, normalise_frames=normalise_frames)
    elif source.is_dir():
        made = import_clip_retrieval(source, out, tower, modality)
    elif rows is None:
        raise typer.BadParameter("a file of vectors needs the table of its rows", param_hint="--rows")
    else:
        made = import_file(source, rows, out, tower, modality, key=key, id_column=id_column)
    _report(made)


@app.command()
def enrich(
    images: Path = typer.Argument(help="Embedding set of the pictures, made with --tokens."),
    descriptions: Path = typer.Argument(help="Embedding set of descriptions, made with --tokens; their image_id names pictures."),
    out: Path = OUT,
    adapter: Path = typer.Option(..., "--adapter", "-a", help="An adapter with slots (`mella train leccr`)."),
    asked: str | None = typer.Option(
        None,
        "--asked",
        metavar="SET",
        help="Text vectors that will be asked, or some of them ('SET?split=test'): descriptions that say the same are left out.",
    ),
    shard_rows: int = SHARD,
    dtype: Literal["float32", "float16"] = DTYPE,
) -> None:
    """Enrich image vectors with descriptions: the gallery that an adapter with slots searches. It is made once."""
    from mella_retrieval.adapters.adapter import Adapter
    from mella_retrieval.adapters.leccr.enrich import DESCRIPTIONS
    from mella_retrieval.adapters.leccr.enrich import enrich as run
    from mella_retrieval.adapters.sources import Source
    from mella_retrieval.embeddings.sets import EmbeddingSet

    settings = _settings(shard_rows=shard_rows, dtype=dtype, tokens=True)
    pictures, written = EmbeddingSet.load(images, deep=True), EmbeddingSet.load(descriptions, deep=True)
    queries = Source.open(asked).select(split=()) if asked else None
    with progress_bar("enriching pictures", "pictures") as progress:
        made = run(Adapter.load(adapter), pictures, written, out, settings, asked=queries, progress=progress)
    _report(made)
    if missing := made.column(DESCRIPTIONS).count(0):
        say(f"without description: {missing:,} pictures")


def _settings(**values: Any) -> Any:
    from mella_retrieval.embeddings.settings import EmbedSettings
    from mella_retrieval.recipes import build_config

    return build_config(EmbedSettings, values, "options")


def _report(made: EmbeddingSet) -> None:
    say(f"{made.folder}: {len(made):,} {made.modality} vectors of {made.dim} dimensions, by {made.tower.spec}")
    manifest = made.manifest
    if manifest.get("skipped"):
        say(f"skipped: {manifest['skipped']:,} inputs, listed with reasons in {made.folder / 'skipped.csv'}")
    for lang, count in manifest.get("truncated", {}).items():
        say(f"truncated: {count:,} texts in {lang or 'no language'} are longer than the tower reads")
