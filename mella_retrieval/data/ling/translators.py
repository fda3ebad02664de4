"""Translators that stand on this floor: translations that exist already, and classes of the user's own. Models come from above.

records:FOLDER?source=ling             texts whose column `source_text_id` names the text that they translate
table:FILE?en=caption_en&hu=caption_hu one row, one text in several languages, joined by the text in the describing language
module:package.module:Class?key=value  a class with `translate(texts, source, target)`; options go to its constructor
"""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mella_retrieval import languages
from mella_retrieval.artifacts import fingerprint, sha256_file
from mella_retrieval.data.formats.rows import read_rows
from mella_retrieval.data.ling.contracts import Failed, Translator
from mella_retrieval.data.ling.plugins import Loaders, Request, filtered_records, load_plugin, make_module, warn_of_unreadable
from mella_retrieval.data.records import Rejected
from mella_retrieval.errors import ConfigError, DataError
from mella_retrieval.languages import Language

SOURCE_TEXT_ID = "source_text_id"
"""Column of a translation: the text_id of what it translates."""


def load_translator(spec: str, plugins: Loaders[Translator] | None = None, *, allow_module: bool = False) -> Translator:
    """The translator that a spec names; arguments and errors as for `captioners.load_captioner`."""
    return load_plugin(spec, {**TRANSLATORS, **(plugins or {})}, "translator", allow_module=allow_module)


class _Existing(ABC):
    """Answers from pairs of texts, held in memory for one pair of languages at a time.

    Texts are compared in NFC and without regard to white space. Of several translations of one text the first is taken.
    """

    prompts: tuple[str, ...] = ()

    def __init__(self, name: str, identity: str) -> None:
        self.name, self.fingerprint = name, identity
        self._held: tuple[str, str] | None = None
        self._texts: dict[str, str] = {}

    def translate(self, texts: Sequence[str], source: Language, target: Language) -> Sequence[str | Failed]:
        """See `Translator`."""
        if self._held != (source.code, target.code):
            found: dict[str, str] = {}
            for text, translation in self._pairs(source, target):
                found.setdefault(_key(text), translation)
            self._held, self._texts = (source.code, target.code), found  # only now: nothing is answered from half of it
        return [self._texts.get(_key(text), "") for text in texts]

    def close(self) -> None:
        """See `Translator`."""
        self._held, self._texts = None, {}

    @abstractmethod
    def _pairs(self, source: Language, target: Language) -> Iterator[tuple[str, str]]:
        """Text and translation, in stored order."""


def _key(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


class RecordsTranslator(_Existing):
    """Translations in a records folder beside the texts that they translate, as an earlier `mella data ling` made them."""

    def __init__(self, request: Request) -> None:
        self._records, self._where = filtered_records(request)
        super().__init__(request.file, fingerprint({"records": self._records.fingerprint, "where": self._where}))

    def require(self, source: Language, target: Language) -> None:
        """See `Translator`."""
        if SOURCE_TEXT_ID not in self._records.schema.names:
            raise DataError(f"{self.name} has no column {SOURCE_TEXT_ID}, which names the text that a text translates.")
        if missing := {source.code, target.code} - set(self._records.languages):
            known = ", ".join(self._records.languages)
            raise DataError(f"{self.name} has no texts in {', '.join(sorted(missing))}; it has {known}.")

    def _pairs(self, source: Language, target: Language) -> Iterator[tuple[str, str]]:
        texts = self._records.texts(["text_id", "text"], {"lang": source.code})
        by_id = dict(zip(texts["text_id"].to_pylist(), texts["text"].to_pylist(), strict=True))
        where = {**self._where, "lang": target.code}
        for batch in self._records.batches(columns=[SOURCE_TEXT_ID, "text"], where=where):
            for source_id, translation in zip(batch[SOURCE_TEXT_ID].to_pylist(), batch["text"].to_pylist(), strict=True):
                if source_id in by_id:
                    yield by_id[source_id], translation


class TableTranslator(_Existing):
    """A table with one column per language: named by the options, else by the language's code in any known form."""

    def __init__(self, request: Request) -> None:
        self._path = Path(request.name)
        self._columns = {languages.normalise(code): column for code, column in request.options.items()}
        first = next((row for row in read_rows(self._path) if not isinstance(row, Rejected)), None)
        if first is None:
            raise DataError(f"{self._path} has no row that can be read.")
        self._columns = self._columns or {found: name for name in first[1] if (found := _code(name))}
        for code, column in self._columns.items():
            if column not in first[1]:
                raise ConfigError(f"{self._path} has no column {column!r} for {code}; it has {', '.join(first[1])}.")
        super().__init__(request.file, fingerprint({"table": sha256_file(self._path), "columns": self._columns}))

    def require(self, source: Language, target: Language) -> None:
        """See `Translator`."""
        for lang in (source, target):
            if lang.code not in self._columns:
                known = ", ".join(self._columns) or "none"
                hint = f"Name it: {lang.code}=COLUMN after '?'."
                raise DataError(f"{self._path} has no column for {lang.name}; languages found: {known}. {hint}")

    def _pairs(self, source: Language, target: Language) -> Iterator[tuple[str, str]]:
        unreadable = 0
        for row in read_rows(self._path):
            if isinstance(row, Rejected):
                unreadable += 1
                continue
            text, translation = (self._cell(row[1], lang) for lang in (source, target))
            if text and translation:
                yield text, translation
        warn_of_unreadable(unreadable, self._path)

    def _cell(self, row: Mapping[str, Any], lang: Language) -> str:
        value = row.get(self._columns[lang.code])
        return value if isinstance(value, str) else ""


def _code(name: str) -> str:
    try:
        return languages.normalise(name)
    except DataError:
        return ""


class ModuleTranslator:
    """A class of the user's own. It may have `prompts`, `version`, `require` and `close`."""

    def __init__(self, request: Request) -> None:
        self._made, self.fingerprint = make_module(request, "translate", "translator")
        self.name = request.spec
        self.prompts = tuple(getattr(self._made, "prompts", ()))

    def require(self, source: Language, target: Language) -> None:
        """See `Translator`."""
        if hasattr(self._made, "require"):
            self._made.require(source, target)

    def translate(self, texts: Sequence[str], source: Language, target: Language) -> Sequence[str | Failed]:
        """See `Translator`."""
        answers: Sequence[str | Failed] = self._made.translate(texts, source, target)
        return answers

    def close(self) -> None:
        """See `Translator`."""
        if hasattr(self._made, "close"):
            self._made.close()


TRANSLATORS: Loaders[Translator] = {"records": RecordsTranslator, "table": TableTranslator, "module": ModuleTranslator}
"""Kind -> loader."""
