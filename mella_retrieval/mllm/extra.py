"""The packages of the extra `mllm`: imported where they are used, so that nobody needs them for the rest."""

from __future__ import annotations

from typing import Any

from mella_retrieval.data.extra import extra_package

DISTRIBUTIONS = {
    "accelerate": "accelerate",
    "bitsandbytes": "bitsandbytes",
    "nltk": "nltk",
    "openai": "openai",
    "peft": "peft",
    "pythainlp": "pythainlp",
    "rouge_score": "rouge-score",
    "sacrebleu": "sacrebleu",
    "snowballstemmer": "snowballstemmer",
    "stopwordsiso": "stopwordsiso",
    "trl": "trl",
}
"""Module -> distribution."""


def mllm_package(module: str) -> Any:
    """A module of a package of the extra `mllm`, `trl` for instance.

    Raises:
        MissingDependencyError: it is not installed.
    """
    return extra_package(module, "mllm", DISTRIBUTIONS)
