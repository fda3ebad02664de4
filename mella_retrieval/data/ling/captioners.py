"""Captioners that stand on this floor: descriptions that exist already, and classes of the user's own. Models come from above.

records:FOLDER?split=train             texts of a records folder, joined by image_id; options are column=value filters
table:FILE?image_id=id&text=caption    a table (CSV, TSV, JSONL, Parquet), joined by image_id; options name its columns
module:package.module:Class?key=value  a class with `describe(pictures, ask)`; options go to its constructor
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from mella_retrieval import languages
from mella_retrieval.artifacts import fingerprint, sha256_file
from mella_retrieval.data.formats import table
from mella_retrieval.data.ling.contracts import Ask, Captioner, Failed, Picture
from mella_retrieval.data.ling.plugins import (
    Loaders,
    Request,
    check_options,
    filtered_records,
    load_plugin,
    make_module,
    warn_of_unreadable,
)
from mella_retrieval.data.records import RawRecord, Rejected
from mella_retrieval.errors import DataError
from mella_retrieval.languages import Language
from mella_retrieval.recipes import build_config


def load_captioner(spec: str, plugins: Loaders[Captioner] | None = None, *, allow_module: bool = False) -> Captioner:
    """The captioner that a spec names.

    Args:
        spec: see the module's docstring.
        plugins: kinds beside `CAPTIONERS`, or instead of them.
        allow_module: import the class that a `module:` spec names. Say so only for a spec that the user gave.

    Raises:
        ConfigError, EncoderError: see `load_plugin`. ArtifactError, DataError: there is no such folder or file.
    """
    return load_plugin(spec, {**CAPTIONERS, **(plugins or {})}, "captioner", allow_module=allow_module)


class _Existing(ABC):
    """Answers from texts by image_id, which are held in memory from the first question on."""

    reads_pictures = False

    def __init__(self, name: str, identity: str) -> None:
        self.name, self.fingerprint = name, identity
        self._held = ""
        self._texts: dict[str, list[str]] = {}

    def describe(self, pictures: Sequence[Picture], ask: Ask) -> Sequence[Sequence[str] | Failed]:
        """See `Captioner`."""
        if self._held != ask.lang.code:
            texts: dict[str, list[str]] = defaultdict(list)
            for image_id, text in self._pairs(ask.lang):
                texts[image_id].append(text)
            self._held, self._texts = ask.lang.code, texts  # only now: nothing is answered from half of it
        return [list(dict.fromkeys(self._texts.get(picture.image_id, ())))[: len(ask.prompts)] for picture in pictures]

    def close(self) -> None:
        """See `Captioner`."""
        self._held, self._texts = "", {}

    @abstractmethod
    def _pairs(self, lang: Language) -> Iterator[tuple[str, str]]:
        """image_id and text, in stored order."""


class RecordsCaptioner(_Existing):
    """Texts of a records folder in the describing language, in stored order."""

    def __init__(self, request: Request) -> None:
        self._records, self._where = filtered_records(request)
        super().__init__(request.file, fingerprint({"records": self._records.fingerprint, "where": self._where}))

    def _pairs(self, lang: Language) -> Iterator[tuple[str, str]]:
        for batch in self._records.batches(columns=["image_id", "text"], where={**self._where, "lang": lang.code}):
            yield from zip(batch["image_id"].to_pylist(), batch["text"].to_pylist(), strict=True)


class TableCaptioner(_Existing):
    """Texts of a table; rows of a column of languages that is not the describing one are passed over."""

    def __init__(self, request: Request) -> None:
        check_options(request, {"image_id", "text", "lang"})
        self._path = Path(request.name)
        columns = {"image": "", **request.options}
        self._options = build_config(table.TableOptions, {"columns": columns, "extras": []}, request.spec)
        if not self._path.is_file():
            raise DataError(f"there is no file {self._path}.")
        if not any(isinstance(row, RawRecord) for row in table.read(self._path, self._options)):  # stops at the first
            raise DataError(f"{self._path} has no row with an image_id and a text that can be read.")
        super().__init__(request.file, fingerprint({"table": sha256_file(self._path), "columns": columns}))

    def _pairs(self, lang: Language) -> Iterator[tuple[str, str]]:
        unreadable = 0
        for row in table.read(self._path, self._options):
            if isinstance(row, Rejected) or (isinstance(row, RawRecord) and not isinstance(row.text, str)):
                unreadable += 1
            elif isinstance(row, RawRecord) and row.text and _is(row.lang, lang):
                yield row.image_id, row.text
        warn_of_unreadable(unreadable, self._path)


def _is(code: str, lang: Language) -> bool:
    try:
        return not code or languages.normalise(code) == lang.code
    except DataError:
        return False


class ModuleCaptioner:
    """A class of the user's own. It may have `reads_pictures`, `version` (to be changed with its answers) and `close`."""

    def __init__(self, request: Request) -> None:
        self._made, self.fingerprint = make_module(request, "describe", "captioner")
        self.name = request.spec
        self.reads_pictures = bool(getattr(self._made, "reads_pictures", True))

    def describe(self, pictures: Sequence[Picture], ask: Ask) -> Sequence[Sequence[str] | Failed]:
        """See `Captioner`."""
        answers: Sequence[Sequence[str] | Failed] = self._made.describe(pictures, ask)
        return answers

    def close(self) -> None:
        """See `Captioner`."""
        if hasattr(self._made, "close"):
            self._made.close()


CAPTIONERS: Loaders[Captioner] = {"records": RecordsCaptioner, "table": TableCaptioner, "module": ModuleCaptioner}
"""Kind -> loader."""
