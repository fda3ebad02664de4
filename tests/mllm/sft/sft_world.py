"""A small world to fine-tune on, and how it is done in a moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.text import ImportOptions
from mella_retrieval.data.writing import write_records
from mella_retrieval.encoders.image_text_models import load_image_text_model
from mella_retrieval.mllm.prompts import Prompts
from mella_retrieval.mllm.sft import SftRecipe
from mella_retrieval.mllm.sft.collating import Collator
from mella_retrieval.mllm.sft.conversations import Conversations
from mella_retrieval.mllm.sft.examples import Examples, Reading
from mella_retrieval.mllm.sft.lengths import Lengths
from mella_retrieval.mllm.sft.preparing import EXAMPLES, Preparing

COLOURS = {"piros": (220, 20, 20), "zöld": (20, 200, 20), "kék": (20, 20, 220), "sárga": (220, 220, 20)}
SIZES = ((60, 80), (90, 70), (200, 60))
KILLED_AT = 5
QUICK: dict[str, Any] = {
    "steps": 6,
    "batch": 4,
    "learning_rate": 1e-2,
    "max_length": 1024,
    "activation_checkpointing": False,
    "log_every": 3,
    "checkpoint_every": 2,
    "evaluation": {"share": 0.1, "every": 3},
}


def quick(**further: Any) -> SftRecipe:
    """A recipe of six steps."""
    return SftRecipe(**{**QUICK, **further})


def stop_at(step: int, stage: str = "training") -> Callable[[str, int, int], None]:
    """A progress that interrupts."""

    def progress(told: str, done: int, total: int) -> None:
        if (told, done) == (stage, step):
            raise KeyboardInterrupt

    return progress


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


def prepared(model: Path, records: Records, work: Path, recipe: SftRecipe) -> tuple[Examples, Collator]:
    """The records as examples, and what makes batches of them."""
    processor = load_image_text_model(str(model), device="cpu").processor
    conversations = Conversations(processor, "tiny", images=recipe.images, system=recipe.system)
    lengths = Lengths(processor, conversations, images=recipe.images)
    Preparing(work, Reading(records, recipe, Prompts.load()), conversations, lengths, recipe.max_length).run()
    examples = Examples(work / EXAMPLES)
    return examples, Collator(examples, records, processor, conversations, Prompts.load(), recipe)
