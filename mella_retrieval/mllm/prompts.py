"""What an MLLM is asked: templates per language and kind of text, of which one is drawn for each text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mella_retrieval import languages
from mella_retrieval.artifacts import fingerprint
from mella_retrieval.errors import ConfigError, DataError
from mella_retrieval.recipes import find_recipe, read_yaml, suggest

SOURCES = ("know", "ling")
"""Kinds of text: `know` asks for an alt-text, `ling` for a description."""


class Prompts:
    """Templates: language -> source -> what may be asked.

    Args:
        templates: canonical language code -> source (`SOURCES`) -> different non-empty texts.
        where: the file that they are from, for messages.
    """

    def __init__(self, templates: Mapping[str, Mapping[str, tuple[str, ...]]], where: str) -> None:
        self.where = where
        self._templates = {lang: dict(of) for lang, of in templates.items()}

    @classmethod
    def load(cls, path: Path | str | None = None) -> Prompts:
        """Read a file of templates, by default the one that comes with the package (en and MELLA's eight languages).

        Raises:
            ConfigError: it cannot be read, or names an unknown language or source, or has an empty or repeated template.
        """
        path = Path(path) if path is not None else find_recipe("mllm", "prompts")
        templates: dict[str, dict[str, tuple[str, ...]]] = {}
        for code, of in read_yaml(path).items():
            lang = _language(code, path)
            if lang in templates:
                raise ConfigError(f"{path} has templates of {lang} twice, the second time under {code!r}.")
            templates[lang] = _of_language(of, f"{path}, {code}")
        if not templates:
            raise ConfigError(f"{path} has no templates: `hu: {{know: [...], ling: [...]}}` is needed.")
        return cls(templates, str(path))

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages that there are templates in, sorted."""
        return tuple(sorted(self._templates))

    @property
    def fingerprint(self) -> str:
        """Hash of all templates."""
        return fingerprint(self._templates)

    def of(self, lang: str, source: str) -> tuple[str, ...]:
        """The templates of a language and source.

        Raises:
            ConfigError: there are none.
        """
        lang = _language(lang, self.where)
        if lang not in self._templates:
            raise ConfigError(
                f"{self.where} has no template in {lang}; it has: {', '.join(self.languages)}. Add `{lang}: {{know: [...], "
                "ling: [...]}` to a copy (`mella recipes copy mllm prompts my.yaml`) and say prompts=my.yaml."
            )
        if source not in self._templates[lang]:
            known = ", ".join(self._templates[lang])
            raise ConfigError(f"{self.where} has no template of {source!r} in {lang}; it has: {known}.")
        return self._templates[lang][source]

    def choose(self, lang: str, source: str, key: str, seed: int = 0) -> str:
        """The template drawn for one text: the same for the same `key` (its text_id) and `seed`, whatever else is asked.

        Raises:
            ConfigError: as `of`.
        """
        known = self.of(lang, source)
        drawn = hashlib.sha256(f"{seed}\n{key}".encode()).digest()
        return known[int.from_bytes(drawn[:8], "big") % len(known)]


def _language(code: Any, where: Path | str) -> str:
    try:
        return languages.normalise(code)
    except DataError as error:
        raise ConfigError(f"{where}: {error}") from None


def _of_language(of: Any, where: str) -> dict[str, tuple[str, ...]]:
    if not isinstance(of, Mapping) or not of:
        raise ConfigError(f"{where} needs {' and '.join(SOURCES)}, each with a list of templates.")
    for source in of:
        if source not in SOURCES:
            raise ConfigError(
                f"{where}: there is no source {source!r}.{suggest(str(source), SOURCES)} Known: {', '.join(SOURCES)}."
            )
    return {source: _texts(texts, f"{where}, {source}") for source, texts in of.items()}


def _texts(texts: Any, where: str) -> tuple[str, ...]:
    if not isinstance(texts, list) or not texts:
        raise ConfigError(f"{where}: a list of templates is needed.")
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise ConfigError(f"{where}: {text!r} is no template; a text is needed.")
    if len(set(texts)) < len(texts):
        raise ConfigError(f"{where}: a template stands twice.")
    return tuple(texts)
