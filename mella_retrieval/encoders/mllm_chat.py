"""What a multimodal language model reads: a question in its own chat format, about a picture or a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PIL.Image import Image
from torch import Tensor

from mella_retrieval.encoders.specs import EncoderSpec
from mella_retrieval.errors import ConfigError, EncoderError

IMAGE_PROMPT = "Summary of the image above in one word:"
TEXT_PROMPT = "{text}\nSummary of the sentence above in one word:"
"""`{text}` is where the text stands."""

_PLACE = "\u2402text\u2403"  # nothing that a template would strip or a prompt would say


def begun_once(tokenizer: Any, rendered: Sequence[str]) -> dict[str, bool]:
    """For a tokenizer or processor that reads what a template made: where that has the token that begins a text already, the
    tokenizer is not to write it once more.
    """
    beginning = tokenizer.bos_token
    return {"add_special_tokens": False} if beginning and all(text.startswith(beginning) for text in rendered) else {}


class Chat:
    """A processor with a chat template.

    Attributes:
        opening: the tokens with which the template opens an answer.

    Raises:
        EncoderError: the template does not open answers.
    """

    def __init__(self, processor: Any, spec: EncoderSpec) -> None:
        self._processor, self._tokenizer, self._spec = processor, processor.tokenizer, spec
        asked, open_ = (self._rendered([{"type": "text", "text": _PLACE}], answer=answer) for answer in (False, True))
        if not open_.startswith(asked) or not (opening := open_[len(asked) :]):
            raise EncoderError(f"{spec}: the chat template does not open an answer (add_generation_prompt changes nothing).")
        self.opening = self._ids(opening)

    def about_picture(self, picture: Image, prompt: str) -> Mapping[str, Tensor]:
        """The model's inputs, one row: the picture, the prompt, and the opening of the answer."""
        rendered = self._rendered([{"type": "image"}, *([{"type": "text", "text": prompt}] if prompt else [])])
        made = self._processor(
            text=[rendered], images=[[picture]], return_tensors="pt", **begun_once(self._tokenizer, [rendered])
        )
        return {name: value for name, value in made.items() if isinstance(value, Tensor)}

    def around_text(self, prompt: str) -> tuple[list[int], list[int]]:
        """The tokens before and behind a text, the opening of the answer among the latter.

        Raises:
            ConfigError: the prompt has no `{text}`, or has it twice. EncoderError: the template does not keep the text.
        """
        if prompt.count("{text}") != 1:
            raise ConfigError(f"{self._spec}: text_prompt must say once where the text stands, as {{text}}: {prompt!r}.")
        rendered = self._rendered([{"type": "text", "text": prompt.replace("{text}", _PLACE)}])
        if rendered.count(_PLACE) != 1:
            raise EncoderError(f"{self._spec}: the chat template does not keep the text that it is given.")
        head, tail = rendered.split(_PLACE)
        beginning = self._tokenizer.bos_token_id
        adds = (
            not begun_once(self._tokenizer, [head])
            and beginning is not None
            and self._tokenizer("")["input_ids"][:1] == [beginning]
        )
        return [*([beginning] if adds else []), *self._ids(head)], self._ids(tail)

    def plain(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, in which nothing is a mark of the chat."""
        if not texts:
            return []
        options = {"truncation": False, "padding": False, "verbose": False, "add_special_tokens": False}
        ids: list[list[int]] = self._tokenizer(list(texts), split_special_tokens=True, **options)["input_ids"]
        return ids

    def _rendered(self, content: list[dict[str, str]], *, answer: bool = True) -> str:
        messages = [{"role": "user", "content": content}]
        try:
            rendered: str = self._processor.apply_chat_template(messages, add_generation_prompt=answer, tokenize=False)
        except Exception as error:
            raise EncoderError(f"{self._spec}: the chat template cannot be used ({type(error).__name__}: {error}).") from error
        return rendered

    def _ids(self, rendered: str) -> list[int]:
        ids: list[int] = self._tokenizer(rendered, add_special_tokens=False, split_special_tokens=False)["input_ids"]
        return ids
