"""Examples as one batch of tensors: pictures are read here, when they are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mella_retrieval.data.records import Records
from mella_retrieval.mllm.extra import mllm_package
from mella_retrieval.mllm.prompts import Prompts
from mella_retrieval.mllm.sft.conversations import Conversations
from mella_retrieval.mllm.sft.examples import Example, Examples
from mella_retrieval.mllm.sft.pictures import shown
from mella_retrieval.mllm.sft.recipe import SftRecipe

ROW, TIME = "row", "time"
"""Columns of what the trainer hands over: which example, and how often it was drawn before."""


@dataclass
class Collator:
    """Turns rows into the input of the model; labels are -100 but on the answer and its end mark.

    Each time that an example is drawn, its prompt is drawn anew: else a model that sees it often learns to tell texts by the
    wording of the question.

    Attributes:
        examples, records: what the rows are of, and where its pictures are.
        processor: of the model.
        conversations: of its chat template.
        prompts: what is asked.
        recipe: whether pictures are shown, and how large; the seed.
    """

    examples: Examples
    records: Records
    processor: Any
    conversations: Conversations
    prompts: Prompts
    recipe: SftRecipe

    def __call__(self, rows: Sequence[Mapping[str, int]]) -> Any:
        """`input_ids`, `attention_mask`, `labels` (each (n, tokens), padded at the end) and what the model has for pictures."""
        collate = mllm_package("trl.trainer.sft_trainer").DataCollatorForVisionLanguageModeling
        chosen = [(self.examples[row[ROW]], row[TIME]) for row in rows]
        return collate(self.processor, completion_only_loss=True)(
            [
                {
                    "prompt": self.conversations.question(self._prompt(one, time)),
                    "completion": self.conversations.answer(one.answer),
                    "images": [self._picture(one.image)] if self.recipe.images else [],
                }
                for one, time in chosen
            ]
        )

    def _prompt(self, one: Example, time: int) -> str:
        key = f"{one.text_id}\n{time}" if time else one.text_id
        return self.prompts.choose(one.lang, one.asked, key, self.recipe.seed)

    def _picture(self, image: str) -> Any:
        return shown(self.records.image_path(image), self.recipe.picture)
