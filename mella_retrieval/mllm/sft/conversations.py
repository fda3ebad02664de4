"""Conversations as a model's chat template writes them: what is asked, and the answer with its end mark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mella_retrieval.errors import EncoderError

_PROBE = "answer"


class Conversations:
    """Writes the two halves of a conversation about a picture.

    Args:
        processor: with a chat template.
        name: of the model, for messages.
        images: whether the picture is shown.
        system: what the model is told first; "" leaves it to the template.

    Raises:
        EncoderError: the template does not write an answer behind the question.
    """

    def __init__(self, processor: Any, name: str, *, images: bool = True, system: str = "") -> None:
        self._processor, self._images, self._system = processor, images, system
        marks = [*processor.tokenizer.all_special_tokens, *processor.tokenizer.get_added_vocab()]
        self._marks = tuple(sorted({mark for mark in marks if mark.strip()}))
        self._before, self._after = self._around_answer(name)

    def question(self, prompt: str) -> str:
        """All that comes before the answer."""
        return self._written(self._asked(prompt), add_generation_prompt=True)

    def answer(self, text: str) -> str:
        """The answer with the template's end mark: what the loss is on."""
        return self._before + text.strip() + self._after

    def mark_in(self, text: str) -> str:
        """A mark of the model's that stands in a text and would be read as such; "" if there is none."""
        return next((mark for mark in self._marks if mark in text), "")

    def _asked(self, prompt: str) -> list[dict[str, Any]]:
        picture = [{"type": "image"}] if self._images else []
        system = [{"role": "system", "content": [{"type": "text", "text": self._system}]}] if self._system else []
        return [*system, {"role": "user", "content": [*picture, {"type": "text", "text": prompt}]}]

    def _around_answer(self, name: str) -> tuple[str, str]:
        """What the template writes around an answer, from one that is known.

        Space behind the end mark belongs to the next turn. A template without an end mark gets the tokenizer's, else the
        model would not learn to stop.
        """
        asked = self._asked("question")
        said = [{"role": "assistant", "content": [{"type": "text", "text": _PROBE}]}]
        question, whole = self._written(asked, add_generation_prompt=True), self._written([*asked, *said])
        before, found, after = whole.removeprefix(question).partition(_PROBE)
        if not whole.startswith(question) or not found:
            raise EncoderError(f"{name}: its chat template does not put the answer behind the question, so it cannot be trained.")
        return before, after.strip() or str(self._processor.tokenizer.eos_token or "")

    def _written(self, messages: Sequence[dict[str, Any]], **options: Any) -> str:
        return str(self._processor.apply_chat_template(list(messages), tokenize=False, **options))
