"""A small world to fine-tune on, and how it is done in a moment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.text import ImportOptions
from mella_retrieval.data.writing import write_records
from mella_retrieval.mllm.sft import SftRecipe

COLOURS = {"piros": (220, 20, 20), "zöld": (20, 200, 20), "kék": (20, 20, 220), "sárga": (220, 220, 20)}
SIZES = ((60, 80), (90, 70), (200, 60))
QUICK: dict[str, Any] = {
    "steps": 6,
    "batch": 4,
    "learning_rate": 1e-2,
    "max_length": 1024,
    "activation_checkpointing": False,
    "log_every": 2,
    "checkpoint_every": 2,
    "evaluation": {"share": 0.1, "every": 3},
}


def quick(**further: Any) -> SftRecipe:
    """A recipe of six steps."""
    return SftRecipe(**{**QUICK, **further})


def pictures(folder: Path) -> list[RawRecord]:
    """Coloured pictures, each with an alt-text in Hungarian and a description in Thai."""
    items = []
    folder.mkdir(parents=True, exist_ok=True)
    shown = [(word, colour, size) for word, colour in COLOURS.items() for size in SIZES]
    for number, (word, colour, size) in enumerate(shown):
        Image.new("RGB", size, colour).save(folder / f"p{number}.png")
        image = (f"i{number}", f"p{number}.png")
        items.append(RawRecord(*image, f"{word} ház", "hu", source="know", text_id=f"k{number}"))
        items.append(RawRecord(*image, f"บ้าน: {word} – ทุ่งนา", "th", source="ling", text_id=f"l{number}"))
    return items


def written(folder: Path, items: Sequence[RawRecord], images: Path) -> Records:
    """The items as a records folder."""
    write_records(folder, items, image_root=images, options=ImportOptions(text_only=True))
    return Records.load(folder)
