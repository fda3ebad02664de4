"""How many tokens a conversation has, known before it is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from mella_retrieval.mllm.sft.conversations import Conversations
from mella_retrieval.mllm.sft.pictures import Size


class Lengths:
    """Counts tokens as training will see them.

    Args:
        processor: of the model, with its limits of the resolution.
        conversations: its halves of a conversation.
        images: whether pictures are shown.
    """

    def __init__(self, processor: Any, conversations: Conversations, *, images: bool) -> None:
        self._processor, self._conversations, self._images = processor, conversations, images
        self._of_size: dict[Size, int | str] = {}
        self._of_prompts: dict[tuple[str, ...], int] = {}

    def count(self, asked: Sequence[tuple[tuple[str, ...], str]]) -> list[int]:
        """Tokens of the longest question and the answer of each conversation, a picture counted as its one placeholder."""
        answers = self._tokens([self._conversations.answer(answer) for _, answer in asked])
        return [self._longest(prompts) + answer for (prompts, _), answer in zip(asked, answers, strict=True)]

    def _longest(self, prompts: tuple[str, ...]) -> int:
        if prompts not in self._of_prompts:
            self._of_prompts[prompts] = max(self._tokens([self._conversations.question(prompt) for prompt in prompts]))
        return self._of_prompts[prompts]

    def of_picture(self, size: Size) -> int | str:
        """Tokens that a picture of this size adds to its placeholder, or why the processor refuses it.

        The number depends on the size alone, so that the processor is asked once for each, with a grey picture.
        """
        if size not in self._of_size:
            self._of_size[size] = self._added(size)
        return self._of_size[size]

    def _added(self, size: Size) -> int | str:
        question = self._conversations.question("")
        try:
            prepared = self._processor(images=[[Image.new("RGB", size, "grey")]], text=[question], add_special_tokens=False)
        except ValueError as error:
            return f"the model's processor refuses the picture: {size[0]} x {size[1]} pixels, {error}"
        return len(prepared["input_ids"][0]) - self._tokens([question])[0]

    def _tokens(self, texts: Sequence[str]) -> list[int]:
        if not texts:
            return []
        return [len(ids) for ids in self._processor.tokenizer(list(texts), add_special_tokens=False)["input_ids"]]
