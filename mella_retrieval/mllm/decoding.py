"""How a model turns its probabilities into text: one object for local models and servers, so that two arms can be compared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random

from pydantic import Field

from mella_retrieval.recipes import Strict, build_config


@dataclass(frozen=True, slots=True)
class Written:
    """An answer. Attributes: text: without special tokens. cut: it reached the longest length without an end."""

    text: str
    cut: bool


class Decoding(Strict):
    """Settings of decoding. A model's own `generation_config.json` is not heeded, except for its end marks.

    Attributes:
        max_new_tokens: longest answer; one that reaches it is counted as cut.
        temperature: 0 is greedy: the most probable token each time.
        top_p: sampling from the most probable tokens that hold this share of the probability.
        repetition_penalty: of tokens that stand in the question or the answer already; 1 is none.
    """

    max_new_tokens: int = Field(default=256, ge=1)
    temperature: float = Field(default=0.0, ge=0, le=10)
    top_p: float = Field(default=1.0, gt=0, le=1)
    repetition_penalty: float = Field(default=1.0, gt=0, le=10)

    @property
    def greedy(self) -> bool:
        """Whether nothing is drawn: one question has one answer."""
        return self.temperature == 0


def decoding_of(options: Mapping[str, str], where: str = "the spec") -> Decoding:
    """The settings among the options of a spec; other options are passed over, what is not given has its default.

    Raises:
        ConfigError: a value is impossible.
    """
    return build_config(Decoding, {name: options[name] for name in Decoding.model_fields if name in options}, where)


def seed_of(seed: int, parts: Iterable[object]) -> int:
    """A seed for one question (31 bits): decided by the job's seed and what the question is about, not by its neighbours."""
    text = "\0".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def draw_of(seed: int, parts: Iterable[object]) -> Random:
    """Random numbers for one question."""
    return Random(seed_of(seed, parts))
