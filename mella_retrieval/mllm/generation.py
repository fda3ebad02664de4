"""Having a model of transformers write: answers depend on their question, seed and settings, not on what else is in the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import torch
from torch.nn.functional import pad
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from mella_retrieval.mllm.decoding import Decoding, Written


def write(
    model: Any, tokenizer: Any, inputs: Mapping[str, torch.Tensor], decoding: Decoding, draws: Sequence[Random] = ()
) -> list[Written]:
    """Answers to a batch of questions.

    Args:
        model: a causal one of transformers, in eval mode.
        tokenizer: its own.
        inputs: what the model reads, padded on the left, on its device; `input_ids` and `attention_mask` (n, length) among them.
        decoding: settings.
        draws: n sources of random numbers; only needed where `decoding` is not greedy.
    """
    ends = _ends(model, tokenizer)
    settings = GenerationConfig(
        max_new_tokens=decoding.max_new_tokens,
        do_sample=False,
        num_beams=1,
        eos_token_id=ends or None,
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (ends or [0])[0],
        bos_token_id=tokenizer.bos_token_id,
    )
    own, model.generation_config = model.generation_config, settings  # what it lacks would be taken from the model's own
    try:
        with torch.inference_mode():
            tokens = model.generate(
                **inputs, generation_config=settings, logits_processor=_processors(decoding, inputs["attention_mask"], draws)
            )
    finally:
        model.generation_config = own
    answers = tokens[:, inputs["input_ids"].shape[1] :].tolist()
    return [_written(answer, ends, tokenizer) for answer in answers]


def _processors(decoding: Decoding, mask: torch.Tensor, draws: Sequence[Random]) -> LogitsProcessorList:
    penalty = [] if decoding.repetition_penalty == 1 else [Penalty(decoding.repetition_penalty, mask)]
    return LogitsProcessorList([*penalty, *([] if decoding.greedy else [Draw(decoding, draws)])])


class Penalty(LogitsProcessor):  # type: ignore[misc]
    """Lowers the scores of what a row has already, as transformers' own does, which takes its padding for a token, too: where
    that is the end mark, answers would grow longer with the padding, and so with the batch.
    """

    def __init__(self, penalty: float, mask: torch.Tensor) -> None:
        self._penalty, self._mask = penalty, mask

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores (n, vocabulary) after `input_ids` (n, length)."""
        real = pad(self._mask, (0, input_ids.shape[1] - self._mask.shape[1]), value=1)
        size = scores.shape[1]
        # Padding, and tokens of pictures that no model says, go into one more column, which is left out again.
        ids = input_ids.masked_fill(real == 0, size).clamp(max=size)
        there = torch.zeros(len(scores), size + 1, dtype=torch.bool, device=scores.device).scatter(1, ids, True)[:, :size]
        lowered = torch.where(scores < 0, scores * self._penalty, scores / self._penalty)
        return torch.where(there, lowered, scores)


class Draw(LogitsProcessor):  # type: ignore[misc]
    """Leaves of each row the one token that its own random number falls on: greedy search then draws from the distribution."""

    def __init__(self, decoding: Decoding, draws: Sequence[Random]) -> None:
        self._temperature, self._top_p, self._draws = decoding.temperature, decoding.top_p, draws

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores (n, vocabulary): -inf except for the drawn token, which has 0."""
        if len(self._draws) != len(scores):
            raise ValueError(f"{len(scores)} rows are drawn for, with {len(self._draws)} sources of random numbers")
        probability, order = torch.softmax(scores.float() / self._temperature, dim=-1).sort(dim=-1, descending=True)
        below = probability.cumsum(dim=-1)
        kept = probability.masked_fill(below - probability >= self._top_p, 0.0)  # the first is always kept
        below = kept.cumsum(dim=-1)
        at = torch.tensor([[draw.random()] for draw in self._draws], dtype=below.dtype, device=below.device)
        place = torch.searchsorted(below, at * below[:, -1:], right=True)
        place = torch.minimum(place, (kept > 0).sum(dim=-1, keepdim=True) - 1).clamp(min=0)
        return torch.full_like(scores, -torch.inf).scatter(1, order.gather(1, place), 0.0)


def _ends(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end an answer: the model's own, else the tokenizer's."""
    own = getattr(model.generation_config, "eos_token_id", None)
    found = own if own is not None else tokenizer.eos_token_id
    return [found] if isinstance(found, int) else list(found or [])


def _written(tokens: list[int], ends: Sequence[int], tokenizer: Any) -> Written:
    end = next((place for place, token in enumerate(tokens) if token in ends), None)
    text = tokenizer.decode(tokens[:end], skip_special_tokens=True)
    return Written(text.strip(), cut=end is None)
