"""`mella search`."""

from __future__ import annotations

from pathlib import Path

import typer

from mella_retrieval.cli.options import ALLOW_MODULE, DEVICE, INDEX_DEVICE, JSON
from mella_retrieval.cli.output import print_json, print_table


def search(
    index: Path = typer.Argument(help="Folder of the index."),
    query: str = typer.Argument("", help="A text in any language that the text tower reads."),
    image: Path | None = typer.Option(None, "--image", help="Search by this picture instead of a text."),
    lang: str | None = typer.Option(None, "--lang", help="Language of the query, for towers that need it."),
    where: str | None = typer.Option(
        None, "--where", metavar="CONDITION", help="Only pictures whose record fits, as 'lang == \"hu\" and year >= 2010'."
    ),
    k: int = typer.Option(10, "-k", min=1, help="How many results."),
    as_json: bool = JSON,
    text_tower: str | None = typer.Option(None, "--text-tower", help="Spec of the text tower, where it has moved."),
    image_tower: str | None = typer.Option(None, "--image-tower", help="Spec of the image tower, where it has moved."),
    device: str = DEVICE,
    index_device: str = INDEX_DEVICE,
    allow_module: bool = ALLOW_MODULE,
) -> None:
    """Search an index: `mella search my-index "kakas és tyúk"`."""
    from mella_retrieval.retriever import Retriever

    if bool(query) == (image is not None):
        raise typer.BadParameter("give either a text or --image", param_hint="QUERY")
    retriever = Retriever.load(
        index,
        index_device=index_device,
        text_tower=text_tower,
        image_tower=image_tower,
        device=device,
        allow_module=allow_module,
    )
    hits = retriever.search_image(image, k, where) if image is not None else retriever.search(query, k, lang, where)
    if as_json:
        print_json([hit.to_json() for hit in hits])
        return
    rows = [[str(hit.rank), f"{hit.score:.4f}", hit.id, _shorten(hit.record)] for hit in hits]
    print_table(["rank", "score", "id", "record"], rows, right=(0, 1))


def _shorten(record: dict[str, object], width: int = 80) -> str:
    shown = [f"{name}: {value}" for name, value in record.items() if name not in ("id", "image_id") and value not in ("", None)]
    text = "; ".join(shown)
    return text if len(text) <= width else text[: width - 1] + "…"
