"""Words that are no keywords: the lists of stopwordsiso, with what `stop_words.yaml` puts in and takes out."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from mella_retrieval import languages
from mella_retrieval.mllm.extra import mllm_package
from mella_retrieval.mllm.score.words import base, words
from mella_retrieval.recipes import read_yaml

LISTS = Path(__file__).with_name("stop_words.yaml")

_LIST_OF = {"bs": "hr", "nn": "no", "sr": "hr"}
"""Language without a list -> the nearest that has one."""


@functools.cache
def stop_words(lang: str) -> frozenset[str]:
    """The stop words of a language in the form for comparing (`words.fold`); empty where there is no list.

    Raises:
        MissingDependencyError: stopwordsiso is not installed.
    """
    code, listed = base(lang), mllm_package("stopwordsiso")
    code_of_list = _LIST_OF.get(code, code)
    general = listed.stopwords(code_of_list) if listed.has_lang(code_of_list) else ()
    own = {name: _own().get(name, {}).get(code, ()) for name in ("content", "pictures", "more")}
    kept = {*_single(own["content"], code)}
    return frozenset(_single([*general, *own["pictures"], *own["more"]], code) - kept)


def _single(listed: Any, code: str) -> set[str]:
    """Those that are one word; of phrases each word may be a keyword elsewhere."""
    divided = (words(str(entry), languages.normalise(code)) for entry in listed)
    return {found[0] for found in divided if len(found) == 1}


@functools.cache
def _own() -> dict[str, Any]:
    return read_yaml(LISTS)
