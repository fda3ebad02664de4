"""`mella index add|delete|compact|merge|verify`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mella_retrieval.cli.options import ALLOW_MODULE, DEVICE, INDEX_DEVICE, JSON, MEMORY, size
from mella_retrieval.cli.output import counted, print_json, progress_bar, say

if TYPE_CHECKING:
    from mella_retrieval.adding import Report
    from mella_retrieval.embeddings.sets import EmbeddingSet

INDEX = typer.Argument(help="Folder of the index.")


def add(
    index: Path = INDEX,
    source: Path = typer.Argument(help="A records folder (pictures), an embedding set, or a clip-retrieval folder."),
    replace: bool = typer.Option(False, "--replace", help="Items whose content changed take the place of the old ones."),
    image_tower: str | None = typer.Option(None, "--image-tower", help="Spec of the image tower, where it has moved."),
    device: str = DEVICE,
    index_device: str = INDEX_DEVICE,
    memory: str | None = MEMORY,
    allow_module: bool = ALLOW_MODULE,
    as_json: bool = JSON,
) -> None:
    """Add items. Of a records folder only pictures whose content is new are embedded; known ones are passed over.

    `mella index add my-index photos`
    """
    from mella_retrieval import adding
    from mella_retrieval.data.records import Records
    from mella_retrieval.indexes.writing import Resources

    if _is_records(source):
        with progress_bar("embedding pictures", "pictures") as progress:
            done = adding.add_pictures(
                index,
                Records.load(source),
                image_tower=image_tower,
                device=device,
                allow_module=allow_module,
                replace=replace,
                progress=progress,
            )
    else:
        with _vectors(index, source) as vectors, progress_bar("adding vectors", "vectors") as progress:
            resources = Resources(size(memory), index_device, counted(progress, len(vectors)))
            done = adding.add_vectors(index, vectors, replace=replace, resources=resources)
    _report(index, done, as_json=as_json)


def _is_records(source: Path) -> bool:
    from mella_retrieval.artifacts import MANIFEST, read_json
    from mella_retrieval.data.records import KIND

    manifest = source / MANIFEST
    return manifest.is_file() and read_json(manifest).get("kind") == KIND


@contextmanager
def _vectors(index: Path, source: Path) -> Iterator[EmbeddingSet]:
    """The vectors to add; those of a clip-retrieval folder lie beside the index as an embedding set meanwhile."""
    from mella_retrieval.artifacts import beside
    from mella_retrieval.data.formats import clip_retrieval
    from mella_retrieval.embeddings.clip_retrieval import import_clip_retrieval
    from mella_retrieval.embeddings.sets import EmbeddingSet
    from mella_retrieval.indexes.manifest import IndexManifest

    if not clip_retrieval.recognises(source):
        yield EmbeddingSet.load(source, deep=True)
        return
    spec = IndexManifest.read(index).image_tower.spec
    say(f"the vectors of {source} are taken to be those of {spec}; the folder itself does not say")
    aside = beside(index, ".importing")
    try:
        yield import_clip_retrieval(source, aside, spec)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _report(index: Path, done: Report, *, as_json: bool) -> None:
    from dataclasses import asdict

    from mella_retrieval.indexes.index import Index

    items = len(Index.load(index))
    if as_json:
        print_json({"items": items, **asdict(done)})
        return
    parts = [f"{done.added:,} added", f"{done.replaced:,} replaced", f"{done.unchanged:,} were there already"]
    if done.copied:
        parts.append(f"{done.copied:,} of them known under another id, not embedded again")
    say(f"{index}: {', '.join(parts)}; {items:,} items now")
    if done.skipped:
        say(f"skipped: {done.skipped:,} pictures that cannot be read (`mella data check` lists them)")


def delete(
    index: Path = INDEX,
    ids: list[str] = typer.Argument(None, metavar="[ID]...", help="Ids of items to delete."),
    from_file: Path | None = typer.Option(None, "--from", allow_dash=True, help="File with one id a line; - for standard input."),
    where: str | None = typer.Option(None, "--where", metavar="CONDITION", help="Delete what fits, as 'source == \"old\"'."),
    missing_ok: bool = typer.Option(False, "--missing-ok", help="Pass over ids that are not in the index."),
) -> None:
    """Delete items by id, or all that fit a condition. Their vectors stay on disk until `mella index compact`.

    Ids that begin with a dash stand behind `--`.
    """
    from mella_retrieval.indexes.index import Index
    from mella_retrieval.indexes.update import delete_from_index

    wanted = [*(ids or ()), *(_lines(from_file) if from_file else ())]
    if where is not None and (ids or from_file):
        raise typer.BadParameter("give ids or a condition, not both", param_hint="--where")
    if where is not None:
        wanted += Index.load(index).ids(where)
    elif not wanted:
        raise typer.BadParameter("name ids, --from or --where", param_hint="ID")
    before = len(Index.load(index))
    after = len(delete_from_index(index, wanted, missing_ok=missing_ok))
    say(f"{index}: {before - after:,} deleted; {after:,} items now")


def _lines(path: Path) -> list[str]:
    import sys

    from mella_retrieval.errors import DataError

    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}") from None
    lines = (line.removesuffix("\r") for line in text.split("\n"))  # other separators of lines may stand in ids
    return [line for line in lines if line.strip()]


def compact(index: Path = INDEX, memory: str | None = MEMORY, index_device: str = INDEX_DEVICE) -> None:
    """Join the segments and drop what was deleted for good; readers that are open keep what they see."""
    from mella_retrieval.indexes.compact import compact_index
    from mella_retrieval.indexes.index import Index
    from mella_retrieval.indexes.writing import Resources

    before = Index.load(index)
    with progress_bar("compacting", "vectors") as progress:
        after = compact_index(index, resources=Resources(size(memory), index_device, counted(progress, len(before))))
    if before.manifest.generation == after.manifest.generation:
        say(f"{index}: nothing to gain, {len(after.segments):,} segments without deleted items")
        return
    dropped = sum(entry.rows for entry in before.manifest.segments) - len(after)
    say(f"{index}: {len(after):,} items in {len(after.segments):,} of formerly {len(before.segments):,} segments, "
        f"{dropped:,} deleted ones dropped")  # fmt: skip


def merge(
    index: Path = INDEX,
    others: list[Path] = typer.Argument(help="Indexes whose items it takes over; they stay as they are."),
) -> None:
    """Take over the items of other indexes of the same tower, adapter and recipe; nothing is embedded or trained."""
    from mella_retrieval.indexes.index import Index
    from mella_retrieval.indexes.merge import merge_indexes

    before = len(Index.load(index))
    after = merge_indexes(index, others)
    say(f"{index}: {len(after) - before:,} items taken over; {len(after):,} items in {len(after.segments):,} segments now")


def verify(index: Path = INDEX) -> None:
    """Read every file of an index and compare it with its stored hash."""
    from mella_retrieval.retriever import verify_index

    opened = verify_index(index)
    say(f"{index}: {len(opened):,} items; every file has the content that the manifest lists")
