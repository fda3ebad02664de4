"""The generated card (`README.md`) of an adapter folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mella_retrieval.adapters.adapter import Adapter


def write_card(adapter: Adapter) -> str:
    """Markdown with a metadata head: what the adapter joins, what it was fitted on and how to use it."""
    config = adapter.config
    image_side = (
        "Image vectors are re-projected by the adapter (a matrix product over stored vectors, no re-encoding)."
        if adapter.projects_images
        else "Image vectors stay as they are: an existing index of the image tower remains valid."
    )
    inputs = [f"| {name} | {value['rows']:,} |" for name, value in config.inputs.items() if isinstance(value, dict)]
    control = ["", "**A control, not for use: its pairs were shuffled.**"] if config.inputs.get("shuffled_pairs") else []
    lines = [
        "---",
        "library_name: mella-retrieval",
        "tags: [image-text-retrieval, cross-lingual, adapter]",
        f"language: {json.dumps(config.languages)}",
        "---",
        f"# {config.method} adapter: {config.text_tower.spec} into {config.image_tower.spec}",
        *control,
        "",
        f"Text tower (frozen): `{config.text_tower.spec}`, {config.text_tower.dim} dimensions.  ",
        f"Image tower (frozen): `{config.image_tower.spec}`, {config.image_tower.dim} dimensions.  ",
        f"Method: `{config.method}`, {adapter.text_head.parameters + adapter.image_head.parameters:,} parameters. {image_side}",
        "",
        "| fitted on | rows |",
        "|---|---|",
        *inputs,
        "",
        f"Selection on {config.selection.get('on', 'nothing')} ({config.selection.get('measure', 'no measure')}); details in "
        "`config.json`. The languages listed above are those of the texts it was fitted on.",
        "",
        "```python",
        "from mella_retrieval import Retriever",
        'Retriever.load("index-built-with-this-adapter").search("...", k=10)',
        "```",
        "",
    ]
    return "\n".join(lines)
