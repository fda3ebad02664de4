"""`mella export`."""

from __future__ import annotations

from pathlib import Path

import typer

from mella_retrieval.cli.options import OVERWRITE
from mella_retrieval.cli.output import say


def export(
    adapter: str = typer.Argument(help="An adapter: a folder, or OWNER/NAME on a hub."),
    out: Path = typer.Argument(help="Folder to write."),
    to: str = typer.Option(..., "--to", metavar="FORMAT", help="sentence-transformers or onnx."),
    text_tower: str | None = typer.Option(None, "--text-tower", metavar="SPEC", help="The text tower, where it has moved."),
    image_tower: str | None = typer.Option(None, "--image-tower", metavar="SPEC", help="The image tower, where it has moved."),
    text_only: bool = typer.Option(False, "--text-only", help="Leave the image side out."),
    overwrite: bool = OVERWRITE,
) -> None:
    """Write an adapter with its towers in a format that other programs load.

    sentence-transformers: one folder of stock modules for plain SentenceTransformer(folder); onnx: text.onnx, image.onnx and a
    tokenizer file. What is written is loaded anew and compared with the adapter's own vectors first.
    """
    from mella_retrieval.adapters.adapter import Adapter
    from mella_retrieval.adapters.export.formats import ExportRequest
    from mella_retrieval.adapters.export.formats import export as write
    from mella_retrieval.errors import ConfigError

    if text_only and image_tower:
        raise ConfigError("--text-only leaves the image side out, so --image-tower has nothing to name: give one of them.")
    request = ExportRequest(Adapter.load(adapter), text_tower, image_tower, text_only)
    made = write(request, out, to, overwrite=overwrite)
    sides = {"text": "texts", "image": "pictures"}
    say(f"{out}: {to}, {' and '.join(sides[side] for side in made.differences)}")
    for side, value in made.differences.items():
        say(f"largest difference from the adapter's own vectors, {sides[side]}: {value:.1e}")
    for note in made.notes:
        say(note)
